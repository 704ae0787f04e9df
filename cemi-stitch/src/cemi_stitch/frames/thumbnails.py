"""Thumbnails: copies of all frames, small enough to keep in memory, for the coarse search and for brightness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: A thumbnail has at most this many pixels, ...
MAX_PIXELS = 48_000
#: ... and all of them together at most this many (one byte each).
MAX_TOTAL_PIXELS = 200_000_000


@dataclass(frozen=True)
class Thumbnail:
    """A frame averaged over blocks, in one byte per pixel.

    Attributes
    ----------
    levels : ndarray of uint8, shape (h, w)
        0 where nothing was imaged; else 1 to 255 for ``low`` to ``low + 254 * step``.
    low, step : float
        On the [0, 1] scale.
    """

    levels: NDArray[np.uint8]
    low: float
    step: float

    @property
    def image(self) -> NDArray[np.float32]:
        """The picture as float32, NaN where nothing was imaged."""
        image = (self.levels.astype(np.float32) - 1) * np.float32(self.step) + np.float32(self.low)
        image[self.levels == 0] = np.nan
        return image


def thumbnail_factor(shapes: Sequence[tuple[int, int]]) -> int:
    """Return the edge in px of the blocks that become one pixel, the same for all frames."""
    budget = min(MAX_PIXELS, MAX_TOTAL_PIXELS / max(len(shapes), 1))
    largest = max(height * width for height, width in shapes)
    shortest = min(min(shape) for shape in shapes)
    return max(1, min(math.ceil(math.sqrt(largest / budget)), shortest // 8))


def make_thumbnail(image: NDArray[np.float32], factor: int) -> Thumbnail:
    """Average ``image`` (float32, NaN allowed) over whole blocks of ``factor`` x ``factor`` px."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA) if factor > 1 else whole
    if not np.isfinite(small).all():
        blocks = np.isfinite(whole).reshape(height, factor, width, factor)
        total = np.nan_to_num(whole, nan=0.0, posinf=0.0, neginf=0.0).reshape(blocks.shape).sum((1, 3))
        share = blocks.mean((1, 3))
        with np.errstate(invalid="ignore", divide="ignore"):
            small = np.where(share >= 0.5, total / (share * factor**2), np.nan).astype(np.float32)
    valid = np.isfinite(small)
    low = float(small[valid].min()) if valid.any() else 0.0
    high = float(small[valid].max()) if valid.any() else 0.0
    step = (high - low) / 254 or 1.0
    levels = np.where(valid, np.rint((np.where(valid, small, low) - low) / step) + 1, 0).astype(np.uint8)
    return Thumbnail(levels, low, step)
