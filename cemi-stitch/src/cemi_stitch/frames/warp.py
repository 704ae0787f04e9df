"""Frames made upright: turned, stretched and sheared back, so that all of an overlap fits at one shift."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from cemi_core.model.flat_field import flattened
from cemi_core.model.frame import Frame, FrameSource, GreyFrames
from cemi_core.model.layout import Layout


def straightened(
    image: NDArray[np.float32],
    affine: NDArray[np.float64],
    start_px: tuple[float, float] = (0.0, 0.0),
    shape: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return what a frame shows at the pixels of its upright place, by cubic splines.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        NaN where nothing was imaged.
    affine : ndarray of float64, shape (2, 2)
        See `cemi_core.model.layout.Layout.affine`.
    start_px : tuple of float
        (y, x) of the first pixel asked for, from the first pixel of the place.
    shape : tuple of int, optional
        (height, width) of what is asked for; as large as the frame by default.

    Returns
    -------
    ndarray of float32
        NaN where the frame does not reach, and where it is NaN within a pixel.
    """
    back = np.linalg.inv(affine)
    middle = (np.array(image.shape) - 1) / 2
    offset = middle + back @ (np.array(start_px) - middle)
    known = np.isfinite(image)
    complete = bool(known.all())
    filled = image if complete else np.where(known, image, image[known].mean() if known.any() else 0)
    place = {"output_shape": shape or image.shape, "mode": "constant"}
    upright: NDArray[np.float32] = affine_transform(
        np.asarray(filled, np.float32), back, offset, order=3, cval=np.nan, output=np.float32, **place
    )
    if not complete:
        share = affine_transform(known.astype(np.float32), back, offset, order=1, cval=0.0, **place)
        upright[share < 1 - 1e-3] = np.nan
    return upright


class UprightFrames(GreyFrames):
    """Frames of another source as a layout makes them: without the shading that all share, and upright.

    Parameters
    ----------
    source : FrameSource
    flat_field : ndarray of float64, shape (m, k), or None
    affine : ndarray of float64, shape (n, 2, 2), or None
        See `cemi_core.model.layout.Layout`.
    """

    def __init__(
        self, source: FrameSource, flat_field: NDArray[np.float64] | None, affine: NDArray[np.float64] | None
    ) -> None:
        self._source, self._flat_field, self._affine = source, flat_field, affine
        self.dropped, self.float_range = tuple(source.dropped), source.float_range

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames, as the source describes them."""
        return tuple(self._source.frames)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the source's pixels."""
        return self._source.dtype

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index``, float32 (h, w); NaN where a frame that was turned does not reach its corners."""
        image = self._source.read(index)
        if self._flat_field is not None:
            image = flattened(image, self._flat_field)
        if self._affine is not None and not np.array_equal(self._affine[index], np.eye(2)):
            image = straightened(image, self._affine[index])
        return image


def as_laid_out(source: FrameSource, layout: Layout) -> FrameSource:
    """Return the frames as they go into the mosaic of ``layout``, but for gain and offset."""
    if layout.flat_field is None and layout.affine is None:
        return source
    return UprightFrames(source, layout.flat_field, layout.affine)
