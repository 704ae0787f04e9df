"""Grid maps as CSV: one line per cell or image, for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cemi_core.files.atomic import atomic_path
from cemi_core.model.grid import Cells, FrameGrid, Grid
from cemi_core.model.result import GridMap


def write_map_csv(path: Path, grid_map: GridMap, grid: Cells, pixel_size_um: float | None) -> None:
    """Write ``row,column,y_um,x_um,value,low,high``; a cell that could not be measured has empty values.

    A column ``reason`` follows where the map says why cells could not be measured.

    ``y_um`` and ``x_um`` are the centre of the cell; the columns are called ``y_px`` and ``x_px`` where the pixel size
    is unknown. Of images that stand alone it is ``number,file,value,low,high``, a line for each image.

    Raises
    ------
    StorageError
        The disk is full.
    """
    heads, places = _images(grid) if isinstance(grid, FrameGrid) else _places(grid, pixel_size_um)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*heads, "value", "low", "high", *(["reason"] if grid_map.reasons else [])])
        for row, column in np.ndindex(grid_map.value.shape):
            numbers = (series[row, column] for series in (grid_map.value, grid_map.low, grid_map.high))
            told = ("" if np.isnan(v) else f"{v:.6g}" for v in numbers)
            reason = [grid_map.reason(row, column)] if grid_map.reasons else []
            writer.writerow([*places(row, column), *told, *reason])


def _images(grid: FrameGrid) -> tuple[list[str], Callable[[int, int], list[Any]]]:
    return ["number", "file"], lambda row, column: [column + 1, grid.names[column]]


def _places(grid: Grid, pixel_size_um: float | None) -> tuple[list[str], Callable[[int, int], list[Any]]]:
    unit, edge = ("px", 1.0) if pixel_size_um is None else ("um", pixel_size_um)
    centres_y, centres_x = grid.centres_px()

    def place(row: int, column: int) -> list[Any]:
        return [row, column, f"{centres_y[row] * edge:.6g}", f"{centres_x[column] * edge:.6g}"]

    return ["row", "column", f"y_{unit}", f"x_{unit}"], place
