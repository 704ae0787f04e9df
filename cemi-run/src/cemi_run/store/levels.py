"""What mosaics of every format share: the shapes of their levels, and reading boxes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import to_unit_range
from cemi_core.model.mosaic import Box
from cemi_run.store.encoding import check_inside

#: Edge of a chunk of a mosaic, px (raw 512 x 512 chunks).
CHUNK_PX = 512


def pyramid_shapes(shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the (height, width) of every level: each half of the one before, rounded up, until one chunk holds it."""
    shapes = [shape]
    while max(shapes[-1]) > CHUNK_PX:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return tuple(shapes)


class LeveledMosaic(ABC):
    """A `MosaicStore` whose levels are arrays that are indexed by slices; a format adds `create`, `open` and `write`.

    Parameters
    ----------
    path : Path
        The file or folder.
    levels, valid : sequence of array-like, shape (h, w)
        Stored pixels, and 1 where the specimen was imaged, per level.
    pixel_size_um : float or None
        Edge of a pixel of level 0, micrometres.
    float_range : tuple of float
        What 0 and 1 are in the stored pixels, if these are floats.
    """

    def __init__(
        self,
        path: Path,
        levels: Sequence[Any],
        valid: Sequence[Any],
        pixel_size_um: float | None,
        float_range: tuple[float, float],
    ) -> None:
        self._path = path
        self._levels = tuple(levels)
        self._valid = tuple(valid)
        self._level_shapes = tuple((int(level.shape[0]), int(level.shape[1])) for level in levels)
        self._dtype: np.dtype[Any] = np.dtype(levels[0].dtype)
        self._pixel_size_um = pixel_size_um
        self._float_range = float(float_range[0]), float(float_range[1])

    @classmethod
    @abstractmethod
    def open(cls, path: Path, writable: bool = False) -> Self:
        """Open a mosaic."""

    @abstractmethod
    def write(self, box: Box, image: NDArray[np.float32], level: int = 0) -> None:
        """Store ``image``, float32 (box.height, box.width) in [0, 1], NaN where nothing was imaged."""

    @abstractmethod
    def close(self) -> None:
        """Flush and close."""

    @property
    @abstractmethod
    def writer_px(self) -> tuple[int, int]:
        """(height, width) of the aligned region that only one writer may touch at a time."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self._path

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of level 0, px."""
        return self._level_shapes[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored pixels."""
        return self._dtype

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level, px."""
        return self._level_shapes

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of a pixel of level 0, micrometres."""
        return self._pixel_size_um

    @property
    def float_range(self) -> tuple[float, float]:
        """What 0 and 1 are in the stored pixels, if these are floats."""
        return self._float_range

    def read(self, box: Box, level: int = 0) -> NDArray[np.float32]:
        """Return the pixels of ``box`` as float32 in [0, 1]; 0 where nothing was imaged."""
        return to_unit_range(self._read(self._levels[level], box, level), self._float_range)

    def read_valid(self, box: Box, level: int = 0) -> NDArray[np.bool_]:
        """Return where ``box`` was imaged."""
        return self._read(self._valid[level], box, level).view(np.bool_)

    def _read(self, array: Any, box: Box, level: int) -> NDArray[Any]:
        check_inside(box, self._level_shapes[level], f"level {level} of {self._path}")
        if box.height == 0 or box.width == 0:
            return np.zeros((box.height, box.width), array.dtype)
        try:
            return np.asarray(array[box.slices])
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path} is damaged: level {level} cannot be read around {box} ({error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).open, (self._path,)
