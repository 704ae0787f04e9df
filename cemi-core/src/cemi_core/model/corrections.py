"""What a layout corrects in a frame, applied in one place: shading, then brightness, then rotation, stretch and shear.

Blending needs only a part of each frame, so `patch_of` divides out the shading and hands brightness and affine map on
with the `Patch`; whoever resamples the patch applies them by `adjusted` and `straightened`. Whoever needs whole frames
reads `corrected_frames`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame, FrameSource, GreyFrames
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Patch


def flattened(image: NDArray[np.float32], flat_field: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Return a frame without its shading, float32 of the same shape.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        In [0, 1]; NaN stays NaN.
    flat_field : ndarray of float64, shape (m, n), or None
        Relative brightness of an evenly lit picture, above 0, at points spread evenly from the first pixel to the last.
        None leaves the frame as it is.
    """
    return image if flat_field is None else image * _correction(flat_field.tobytes(), flat_field.shape, image.shape)


def spread_over(flat_field: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the flat field (m, n) at every pixel of a frame of ``shape`` (h, w), by linear interpolation."""
    rows, columns = (_between(size, points) for size, points in zip(shape, flat_field.shape, strict=True))
    full: NDArray[np.float64] = rows @ flat_field @ columns.T
    return full


def adjusted(image: NDArray[np.float32], gain: float, offset: float) -> NDArray[np.float32]:
    """Return ``gain * image + offset``, float32: a frame as bright as its neighbours show the same specimen."""
    if gain == 1.0 and offset == 0.0:
        return image
    return image * np.float32(gain) + np.float32(offset)


def straightened(
    image: NDArray[np.float32],
    affine: NDArray[np.float64],
    start_px: tuple[float, float] = (0.0, 0.0),
    shape: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return what a frame shows at the pixels of its upright position, by cubic splines.

    Of periods of 10 px they keep all but 4e-5; OpenCV's and kornia's bicubic warps, 4 to 10 times as fast, err by 3e-3.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        NaN where nothing was imaged.
    affine : ndarray of float64, shape (2, 2)
        See `cemi_core.model.layout.Layout.affine`.
    start_px : tuple of float
        (y, x) of the first pixel asked for, from the first pixel of the upright frame.
    shape : tuple of int, optional
        (height, width) of what is asked for; as large as the frame by default.

    Returns
    -------
    ndarray of float32
        NaN where the frame does not reach, and where it is NaN within a pixel.
    """
    from scipy.ndimage import affine_transform

    back = np.linalg.inv(affine)
    middle = (np.array(image.shape) - 1) / 2
    offset = middle + back @ (np.array(start_px) - middle)
    known = np.isfinite(image)
    complete = bool(known.all())
    filled = image if complete else np.where(known, image, image[known].mean() if known.any() else 0)
    asked: dict[str, Any] = {"output_shape": shape or image.shape, "mode": "constant"}
    upright: NDArray[np.float32] = affine_transform(
        np.asarray(filled, np.float32), back, offset, order=3, cval=np.nan, output=np.float32, **asked
    )
    if not complete:
        share = affine_transform(known.astype(np.float32), back, offset, order=1, cval=0.0, **asked)
        upright[share < 1 - 1e-3] = np.nan
    return upright


def patch_of(layout: Layout, index: int, image: NDArray[np.float32]) -> Patch:
    """Return frame ``index`` at its position, without shading; blending applies the rest.

    Parameters
    ----------
    layout : Layout
    index : int
    image : ndarray of float32, shape (h, w)
        The frame as its source reads it.
    """
    y, x = layout.positions_px[index]
    gain, offset = float(layout.gain[index]), float(layout.offset[index])
    return Patch(index, flattened(image, layout.flat_field), float(y), float(x), gain, offset, layout.affine_of(index))


class CorrectedFrames(GreyFrames):
    """The frames of another source, read with a layout's corrections.

    Parameters
    ----------
    source : FrameSource
    flat_field : ndarray of float64, shape (m, k), or None
        Shading that is divided out.
    affine : ndarray of float64, shape (n, 2, 2), or None
        Maps that are undone, one per frame; see `cemi_core.model.layout.Layout`.
    gain, offset : ndarray of float64, shape (n,), optional
        Brightness; left as it is by default, for those who compare frames by correlation.
    """

    def __init__(
        self,
        source: FrameSource,
        flat_field: NDArray[np.float64] | None,
        affine: NDArray[np.float64] | None,
        gain: NDArray[np.float64] | None = None,
        offset: NDArray[np.float64] | None = None,
    ) -> None:
        self._source, self._flat_field, self._affine = source, flat_field, affine
        self._gain, self._offset = gain, offset
        self.dropped = tuple(source.dropped)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames, as the source describes them."""
        return tuple(self._source.frames)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the source's pixels."""
        return self._source.dtype

    @property
    def float_range(self) -> tuple[float, float]:  # type: ignore[override]
        """Float values that the source maps to 0 and 1."""
        return self._source.float_range

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index``, float32 (h, w); NaN where a frame that was turned does not reach its corners."""
        image = flattened(self._source.read(index), self._flat_field)
        if self._gain is not None and self._offset is not None:
            image = adjusted(image, float(self._gain[index]), float(self._offset[index]))
        if self._affine is not None and not np.array_equal(self._affine[index], np.eye(2)):
            image = straightened(image, self._affine[index])
        return image


def corrected_frames(source: FrameSource, layout: Layout, brightness: bool = True) -> FrameSource:
    """Return the frames as they go into the mosaic of ``layout``.

    Parameters
    ----------
    source : FrameSource
    layout : Layout
        Of the same frames.
    brightness : bool
        Whether gain and offset are applied as well.
    """
    plain = not brightness or bool((layout.gain == 1).all() and (layout.offset == 0).all())
    if layout.flat_field is None and layout.affine is None and plain:
        return source
    gain, offset = (None, None) if plain else (layout.gain, layout.offset)
    return CorrectedFrames(source, layout.flat_field, layout.affine, gain, offset)


@lru_cache(maxsize=4)
def _correction(values: bytes, points: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
    correction = (1 / spread_over(np.frombuffer(values).reshape(points), shape)).astype(np.float32)
    correction.flags.writeable = False
    return correction


def _between(size: int, points: int) -> NDArray[np.float64]:
    """Return the weights, shape (size, points), that interpolate ``points`` values to ``size`` pixels."""
    place = np.linspace(0, points - 1, size)[:, None]
    weights: NDArray[np.float64] = np.clip(1 - np.abs(place - np.arange(points)), 0, 1)
    return weights
