"""Mosaics: pictures too large for memory, read and written by box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels: first row ``y``, first column ``x``, ``height`` and ``width`` in px."""

    y: int
    x: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index into an array that starts at (0, 0)."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def grown(self, margin: int) -> Box:
        """Return the box with ``margin`` px more on every side."""
        return Box(self.y - margin, self.x - margin, self.height + 2 * margin, self.width + 2 * margin)

    def clipped(self, shape: tuple[int, int]) -> Box:
        """Return the part of the box that lies in an array of ``shape``; height or width may become 0."""
        top, left = min(max(self.y, 0), shape[0]), min(max(self.x, 0), shape[1])
        bottom = max(min(self.y + self.height, shape[0]), top)
        right = max(min(self.x + self.width, shape[1]), left)
        return Box(top, left, bottom - top, right - left)

    def within(self, other: Box) -> Box:
        """Return the part of the box that lies in another one; height or width may become 0."""
        moved = Box(self.y - other.y, self.x - other.x, self.height, self.width).clipped((other.height, other.width))
        return Box(moved.y + other.y, moved.x + other.x, moved.height, moved.width)

    def tiles(self, height: int, width: int) -> Iterator[Box]:
        """Yield boxes of at most ``height`` x ``width`` that cover this box, row by row."""
        for y in range(self.y, self.y + self.height, height):
            for x in range(self.x, self.x + self.width, width):
                yield Box(y, x, min(height, self.y + self.height - y), min(width, self.x + self.width - x))


@dataclass(frozen=True, slots=True)
class Patch:
    """A frame on its way into the mosaic.

    Attributes
    ----------
    index : int
        Frame index.
    image : ndarray of float32, shape (h, w)
        The whole frame in [0, 1].
    y_px, x_px : float
        Mosaic coordinates of the centre of its first pixel, sub-pixel.
    gain, offset : float
        Brightness correction, corrected = gain * image + offset.
    affine : ndarray of float64, shape (2, 2), or None
        The pixel at (y, x) from the frame's middle belongs at ``affine @ (y, x)`` from the middle of its place; None if
        that is the same.
    """

    index: int
    image: NDArray[np.float32]
    y_px: float
    x_px: float
    gain: float = 1.0
    offset: float = 0.0
    affine: NDArray[np.float64] | None = None


@runtime_checkable
class Mosaic(Protocol):
    """A large picture on disk, with levels that halve its size, a validity mask and a pixel size.

    Attributes
    ----------
    shape : tuple of int
        (height, width) of level 0, px.
    dtype : numpy.dtype
        Type of the stored pixels.
    level_shapes : tuple of (int, int)
        Shape of each level; level 0 is the full picture, each next one half of it (rounded up).
    pixel_size_um : float or None
        Edge of a pixel at level 0, micrometres.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]: ...

    @property
    def pixel_size_um(self) -> float | None: ...

    @property
    def float_range(self) -> tuple[float, float]:
        """Stored values that `read` maps to 0 and 1, if the pixels are floats."""
        return (0.0, 1.0)

    def read(self, box: Box, level: int = 0) -> NDArray[np.float32]:
        """Return the pixels of ``box`` (which must lie inside) as float32 in [0, 1]; 0 where nothing was imaged."""
        ...

    def read_valid(self, box: Box, level: int = 0) -> NDArray[np.bool_]:
        """Return where ``box`` was imaged."""
        ...
