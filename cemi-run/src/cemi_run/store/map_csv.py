"""Grid maps as CSV: one line per cell, for a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from cemi_core.files.atomic import atomic_path
from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap


def write_map_csv(path: Path, grid_map: GridMap, grid: Grid, pixel_size_um: float | None) -> None:
    """Write ``row,column,y_um,x_um,value,low,high``; a cell that could not be measured has empty values.

    ``y_um`` and ``x_um`` are the centre of the cell; the columns are called ``y_px`` and ``x_px`` where the pixel size
    is unknown.

    Raises
    ------
    StorageError
        The disk is full.
    """
    unit, edge = ("px", 1.0) if pixel_size_um is None else ("um", pixel_size_um)
    centres_y, centres_x = grid.centres_px()
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["row", "column", f"y_{unit}", f"x_{unit}", "value", "low", "high"])
        for row, column in np.ndindex(grid_map.value.shape):
            numbers = (series[row, column] for series in (grid_map.value, grid_map.low, grid_map.high))
            place = f"{centres_y[row] * edge:.6g}", f"{centres_x[column] * edge:.6g}"
            writer.writerow([row, column, *place, *("" if np.isnan(v) else f"{v:.6g}" for v in numbers)])
