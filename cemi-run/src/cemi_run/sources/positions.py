"""Rough places of stills before matching: a positions table, or the grid in which the stage stepped."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from cemi_core.errors import InputError, UsageError
from cemi_core.model.settings import Settings

Order = Literal["row", "row-serpentine", "column", "column-serpentine"]
Start = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


class GridHints(Settings):
    """The grid in which the stage stepped, for stills without a positions table."""

    rows: int | None = Field(default=None, ge=1, description="Tiles from top to bottom.")
    columns: int | None = Field(default=None, ge=1, description="Tiles from left to right.")
    order: Order = Field(
        default="row",
        description="Along which lines the tiles were taken; serpentine lines change direction each time.",
    )
    start: Start = Field(default="top-left", description="Corner of the first tile.")
    overlap: float | tuple[float, float] = Field(
        default=0.1, description="Share of a tile that neighbours share; one number, or [in y, in x]."
    )

    @model_validator(mode="after")
    def _overlap_below_one(self) -> GridHints:
        if not all(-1 < share < 0.99 for share in self.overlap_yx):
            raise ValueError("overlap is a share of the tile, such as 0.1")
        return self

    @property
    def overlap_yx(self) -> tuple[float, float]:
        """Share of a tile that neighbours share in y and in x."""
        return self.overlap if isinstance(self.overlap, tuple) else (self.overlap, self.overlap)

    def line_length(self, places: int) -> int:
        """Return the tiles of one line, the fast direction of the stage, for ``places`` tiles in all."""
        along, across = (self.rows, self.columns) if self.order.startswith("column") else (self.columns, self.rows)
        if along is None and across is None:
            raise UsageError(f"a grid in '{self.order}' order needs rows or columns")
        length = along if along is not None else -(-places // (across or 1))
        if across is not None and places > length * across:
            raise UsageError(f"a grid of {length} x {across} tiles cannot hold {places} images")
        return length


@dataclass(frozen=True, slots=True)
class GridPlace:
    """Row and column of a tile, counted from the top left, and the line of the stage that it belongs to."""

    row: int
    column: int
    line: int


def grid_place(number: int, places: int, hints: GridHints) -> GridPlace:
    """Return where tile ``number`` (0 for the first that was taken) of ``places`` lies in the grid."""
    length = hints.line_length(places)
    lines = -(-places // length)
    line, step = divmod(number, length)
    if hints.order.endswith("serpentine") and line % 2:
        step = length - 1 - step
    by_column = hints.order.startswith("column")
    rows, columns = (length, hints.columns or lines) if by_column else (hints.rows or lines, length)
    row, column = (step, line) if by_column else (line, step)
    if hints.start.startswith("bottom"):
        row = rows - 1 - row
    if hints.start.endswith("right"):
        column = columns - 1 - column
    return GridPlace(row, column, line)


def grid_position_px(place: GridPlace, shape: tuple[int, int], overlap_yx: tuple[float, float]) -> tuple[float, float]:
    """Return the nominal (y, x) of a tile: step = (1 - overlap) * size."""
    return place.row * (1 - overlap_yx[0]) * shape[0], place.column * (1 - overlap_yx[1]) * shape[1]


def last_number(name: str) -> int | None:
    """Return the last number in a file name without its suffix, or None: ``"tile_2_017.tif"`` gives 17."""
    numbers = re.findall(r"[0-9]+", Path(name).stem)
    return int(numbers[-1]) if numbers else None


def name_fields(name: str, pattern: str) -> Mapping[str, int] | None:
    """Return the numbers that a pattern such as ``"Grid@{column} {row}"`` finds in a file name, or None.

    ``{row}``, ``{column}`` and ``{number}`` stand for digits; everything else is taken literally. The pattern may match
    anywhere in the name.
    """
    expression = re.sub(r"\\\{(row|column|number)\\\}", r"(?P<\1>[0-9]+)", re.escape(pattern))
    match = re.search(expression, name)
    return {key: int(value) for key, value in match.groupdict().items()} if match else None


def check_pattern(pattern: str) -> None:
    """Raise UsageError unless a name pattern has ``{row}`` and ``{column}``, or ``{number}``, each once."""
    fields = sorted(re.findall(r"\{(\w+)\}", pattern))
    if fields not in (["column", "row"], ["number"]):
        raise UsageError(f"name pattern '{pattern}' needs {{row}} and {{column}}, or {{number}}, each once")


def read_positions_csv(path: Path) -> dict[str, tuple[float, float]]:
    """Read a table ``file,y_px,x_px`` (further columns are ignored) as file -> (y, x) in its order.

    Raises
    ------
    InputError
        The table is missing, empty, lacks a column, repeats a file, or a position is not a finite number; the message
        names file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            missing = {"file", "y_px", "x_px"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(f"'{path}' needs the columns file,y_px,x_px; missing: {', '.join(sorted(missing))}")
            table: dict[str, tuple[float, float]] = {}
            for line in reader:
                where = f"'{path}', line {reader.line_num}"
                try:
                    position = float(line["y_px"]), float(line["x_px"])
                except (TypeError, ValueError):
                    raise InputError(f"{where}: y_px and x_px must be numbers") from None
                if not np.isfinite(position).all():
                    raise InputError(f"{where}: y_px and x_px must be finite")
                if line["file"] in table:
                    raise InputError(f"{where}: file '{line['file']}' is in the table twice")
                table[line["file"]] = position
    except FileNotFoundError:
        raise InputError(f"positions table '{path}' does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"positions table '{path}' cannot be read: {error}") from None
    if not table:
        raise InputError(f"positions table '{path}' has no lines")
    return table


def lines_of_positions(positions_px: Sequence[tuple[float, float]], shape: tuple[int, int]) -> list[int]:
    """Return the line of the stage (0, 1, ...) of each position, in order of acquisition.

    The fast axis is the one in which most steps are longer; a new line starts where the stage has left the mean of the
    current line by more than half a frame across it.
    """
    points = np.asarray(positions_px, float)
    steps = np.abs(np.diff(points, axis=0))
    across = 0 if (steps[:, 1] >= steps[:, 0]).mean() >= 0.5 else 1
    line, start, lines = 0, 0, [0] if len(points) else []
    for index in range(1, len(points)):
        if abs(points[index, across] - points[start:index, across].mean()) > shape[across] / 2:
            line, start = line + 1, index
        lines.append(line)
    return lines
