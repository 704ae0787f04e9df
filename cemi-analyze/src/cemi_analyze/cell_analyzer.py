"""What the analyzers share: a whole picture is a grid of one cell, and cells become maps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.picture.cell import as_picture
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.result import GridMap, Measurement, Result
from cemi_core.model.stages import BlockInfo

#: Longer edge of a cell in an overlay, px.
_THUMBNAIL_PX = 24
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


class CellAnalyzer(ABC):
    """Base of the analyzers: `measure` is `process` and `merge` on one cell."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def halo(self) -> int:
        """Pixels around a cell that its measurement looks at."""

    @abstractmethod
    def process(self, block: NDArray[np.float32], info: BlockInfo) -> Any:
        """Measure one cell (block with halo); None where too little of it was imaged."""

    @abstractmethod
    def merge(self, partials: Iterable[tuple[int, int, Any]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into maps."""

    def measure(self, image: NDArray[Any], pixel_size_um: float | None = None) -> Measurement:
        """Measure a whole picture as one cell.

        Parameters
        ----------
        image : ndarray, shape (h, w)
            uint8, uint16, or float in [0, 1]; NaN where nothing was imaged.
        pixel_size_um : float, optional
            Edge of a pixel; lengths come out in px without it.

        Returns
        -------
        Measurement
            NaN if the picture does not show what is measured. ``extra`` holds the analyzer's further quantities.

        Raises
        ------
        InputError
            Not a grey picture of at least 32 x 32 px with finite pixels.
        """
        picture = as_picture(image)
        core = (slice(0, picture.shape[0]), slice(0, picture.shape[1]))
        partial = self.process(picture, BlockInfo(pixel_size_um=pixel_size_um, core=core))
        return measurement_of(self.merge([(0, 0, partial)], (1, 1)))


def measurement_of(result: Result) -> Measurement:
    """Return what a result of one cell says: its main quantity, the others with their intervals, reason and notes."""
    main, *others = result.maps
    extra: dict[str, float] = {}
    for other in others:
        name = _with_unit(other)
        extra[name] = float(other.value[0, 0])
        low, high = float(other.low[0, 0]), float(other.high[0, 0])
        if math.isfinite(low) and math.isfinite(high):
            extra |= {f"{name}_low": low, f"{name}_high": high}
    return Measurement(
        name=main.name,
        value=float(main.value[0, 0]),
        low=float(main.low[0, 0]),
        high=float(main.high[0, 0]),
        unit=main.unit,
        extra=extra,
        reason=main.reason(0, 0),
        notes=result.notes,
    )


def _with_unit(grid_map: GridMap) -> str:
    return grid_map.name if grid_map.unit == "1" else f"{grid_map.name}_{grid_map.unit}"


def measured_cells(partials: Iterable[tuple[int, int, Any]]) -> Iterator[tuple[int, int, Any]]:
    """Yield the cells that hold a partial result, in order of row and column whatever order they came in."""
    yield from sorted((cell for cell in partials if cell[2] is not None), key=lambda cell: cell[:2])


def grid_map(
    name: str,
    label: str,
    unit: str,
    intervals: Sequence[tuple[int, int, Interval]],
    grid_shape: tuple[int, int],
    systematic: Mapping[tuple[int, int], float] | None = None,
    reasons: Mapping[tuple[int, int], str] | None = None,
) -> GridMap:
    """Return a map from ``(row, column, interval)``; cells that are not named are NaN.

    An unbounded interval (one field only) becomes NaN: nothing is known about it.

    Parameters
    ----------
    name, label, unit : str
        As in `GridMap`.
    intervals : sequence of (int, int, Interval)
    grid_shape : (int, int)
    systematic : mapping of (row, column) to float, optional
        95 % half-width of what is off in all cells alike; it is part of the intervals already.
    reasons : mapping of (row, column) to str, optional
        Why a cell has no value; empty texts are none.
    """
    value, low, high = (np.full(grid_shape, np.nan) for _ in range(3))
    for row, column, interval in intervals:
        value[row, column] = interval.value
        if np.isfinite(interval.low) and np.isfinite(interval.high):
            low[row, column], high[row, column] = interval.low, interval.high
    shared = None
    if systematic is not None:
        shared = np.full(grid_shape, np.nan)
        for place, half_width in systematic.items():
            shared[place] = half_width
    told = {place: reason for place, reason in (reasons or {}).items() if reason}
    names = tuple(sorted(set(told.values())))
    reason_of = np.full(grid_shape, -1, np.int64) if names else None
    if reason_of is not None:
        for place, reason in told.items():
            reason_of[place] = names.index(reason)
    return GridMap(name, label, unit, value, low, high, shared, names, reason_of)


def thumbnail(picture: NDArray[np.floating] | NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a picture in [0, 1] shrunk to 24 px, uint8."""
    height, width = picture.shape
    scale = _THUMBNAIL_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small * 255), 0, 255).astype(np.uint8)


def overlay(
    thumbnails: Sequence[tuple[int, int, NDArray[np.uint8]]], grid_shape: tuple[int, int]
) -> NDArray[np.uint8] | None:
    """Return the thumbnails of all cells in their places, black where there is none; None without any."""
    if not thumbnails:
        return None
    height, width = Counter(picture.shape for _, _, picture in thumbnails).most_common(1)[0][0]
    canvas = np.zeros((grid_shape[0] * height, grid_shape[1] * width), np.uint8)
    for row, column, picture in thumbnails:
        fitted = picture if picture.shape == (height, width) else cv2.resize(picture, (width, height))
        canvas[row * height : (row + 1) * height, column * width : (column + 1) * width] = fitted
    return canvas
