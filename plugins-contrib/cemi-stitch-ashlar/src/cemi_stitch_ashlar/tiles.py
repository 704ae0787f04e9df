"""Frames of CEMI as ASHLAR's reader and metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_stitch_ashlar.without_java import ashlar_alignment


def reader_of(source: FrameSource, nominal_px: NDArray[np.float64]) -> Any:
    """Return an ``ashlar.reg.Reader`` of the frames.

    Parameters
    ----------
    source : FrameSource
        Frames of one size.
    nominal_px : ndarray, shape (n, 2)
        Nominal (y, x); a pixel is taken for a micrometre, so that ASHLAR's lengths are px.
    """
    reg = ashlar_alignment()

    class FrameMetadata(reg.Metadata):  # type: ignore[misc, name-defined]
        """What ASHLAR asks before it reads."""

        _num_images = len(source.frames)
        num_channels = 1
        pixel_size = 1.0
        pixel_dtype = np.dtype(np.float32)

        def tile_position(self, index: int) -> NDArray[np.float64]:
            return np.asarray(nominal_px[index])

        def tile_size(self, index: int) -> NDArray[np.int64]:
            return np.array(source.frames[index].shape)

    class FrameReader(reg.Reader):  # type: ignore[misc, name-defined]
        """Reads frames; unknown pixels become the mean, which carries no structure."""

        metadata = FrameMetadata()

        def read(self, series: int, c: int) -> NDArray[np.float32]:
            image = np.clip(source.read(int(series)), 0, 1)
            known = np.isfinite(image)
            if known.all():
                return image
            return np.where(known, image, image[known].mean() if known.any() else 0).astype(np.float32)

    return FrameReader()
