"""The analyzer ``two-point``: correlation lengths, mean chords and two-point functions of two phases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.picture.cell import cell_of
from cemi_analyze.texture.chords import Mask, lineal_path
from cemi_analyze.texture.correlation import two_point_correlation
from cemi_analyze.texture.lengths import LENGTHS, Length, length_intervals, lengths_of
from cemi_analyze.texture.told_apart import told_apart
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.result import Result, Table
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

_TOO_LONG = "correlated over more than a third of the cell"


class TwoPointSettings(Settings):
    """What is told of the two-point statistics."""

    max_px: int = Field(
        default=64, ge=8, le=512, description="Largest distance in the tables of the two-point functions, px."
    )


@dataclass(frozen=True)
class TwoPointCell:
    """What was measured in one cell.

    Attributes
    ----------
    lengths : dict of str to Length
        By the names of `LENGTHS`; empty where there is nothing to measure.
    systematic_px : dict of str to float
        95 % half-width of what hangs on how the phases were told apart.
    curves : ndarray of float64, shape (7, max_px + 1)
        S2 of the dark phase along x, y and over all directions, lineal path of the dark phase along x and y, and of the
        bright one; NaN beyond the cell.
    """

    lengths: dict[str, Length]
    systematic_px: dict[str, float]
    curves: NDArray[np.float64]
    pixel_size_um: float | None
    thumbnail: NDArray[np.uint8]
    reason: str = ""
    smoothing_px: float = 0.0


_CURVES = (
    "S2 x",
    "S2 y",
    "S2 all directions",
    "lineal path x, dark",
    "lineal path y, dark",
    "lineal path x, bright",
    "lineal path y, bright",
)


class TwoPointAnalyzer(CellAnalyzer):
    """Measures correlation lengths and mean chords of two phases, cell by cell.

    Parameters
    ----------
    settings : TwoPointSettings, optional
    """

    name: ClassVar[str] = "two-point"

    def __init__(self, settings: TwoPointSettings | None = None) -> None:
        self.settings = settings or TwoPointSettings()

    @property
    def halo(self) -> int:
        """For smoothing, px."""
        return 24

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> TwoPointCell | None:
        """Measure one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        phases, valid = told_apart(cell), cell.valid[cell.core]
        curves = np.full((len(_CURVES), self.settings.max_px + 1), np.nan)
        if phases.reason:
            empty = thumbnail(np.zeros(valid.shape))
            return TwoPointCell({}, {}, curves, info.pixel_size_um, empty, phases.reason, phases.smoothing_px)
        lengths = lengths_of(phases.dark, valid)
        others = [lengths_of(other, valid) for other in phases.others]
        apart = {
            name: [abs(other[name].value_px - found.value_px) for other in others] for name, found in lengths.items()
        }
        systematic = {name: max((d for d in differ if d == d), default=0.0) for name, differ in apart.items()}
        _fill_curves(curves, phases.dark, valid)
        reason = "" if math.isfinite(lengths["correlation_length"].value_px) else _TOO_LONG
        picture = thumbnail(phases.dark & valid)
        return TwoPointCell(lengths, systematic, curves, info.pixel_size_um, picture, reason, phases.smoothing_px)

    def merge(self, partials: Iterable[tuple[int, int, TwoPointCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into maps of lengths and a table of the functions, averaged over the cells."""
        cells = list(measured_cells(partials))
        sizes = {cell.pixel_size_um for _, _, cell in cells}
        scale, unit = (sizes.pop(), "um") if len(sizes) == 1 and None not in sizes else (1.0, "px")
        reasons = {(row, column): cell.reason for row, column, cell in cells}
        maps = []
        for name, label in LENGTHS.items():
            half = [cell.systematic_px.get(name, math.nan) for _, _, cell in cells]
            intervals = length_intervals([cell.lengths.get(name) for _, _, cell in cells])
            found = [
                (row, column, _scaled(interval.widened(0.0 if math.isnan(h) else h), scale))
                for (row, column, _), interval, h in zip(cells, intervals, half, strict=True)
            ]
            shared = {(row, column): scale * h for (row, column, _), h in zip(cells, half, strict=True)}
            why = reasons if name == "correlation_length" else {k: v for k, v in reasons.items() if v != _TOO_LONG}
            maps.append(grid_map(name, label, unit, found, grid_shape, shared, why))
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        return Result(
            self.name,
            tuple(maps),
            tables=_table([cell for _, _, cell in cells], scale, unit),
            overlays={} if picture is None else {"dark phase": picture},
            notes=_notes([cell for _, _, cell in cells]),
        )


def _fill_curves(curves: NDArray[np.float64], dark: Mask, valid: Mask) -> None:
    max_px = min(curves.shape[1], *dark.shape) - 1
    found = two_point_correlation(dark, valid, max_px)
    both = [lineal_path(phase, valid, axis, max_px) for phase in (dark, ~dark) for axis in ("x", "y")]
    for number, curve in enumerate((found.along_x, found.along_y, found.radial()[1], *both)):
        curves[number, : len(curve)] = curve


def _table(cells: Sequence[TwoPointCell], scale: float, unit: str) -> tuple[Table, ...]:
    measured = [cell.curves for cell in cells if cell.lengths]
    if not measured:
        return ()
    stack = np.array(measured)
    known = np.isfinite(stack)
    mean = np.where(known, stack, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    last = int(np.flatnonzero(known.any(axis=(0, 1)))[-1])
    rows = tuple(
        (round(distance * scale, 6), *(round(float(v), 5) for v in mean[:, distance])) for distance in range(last + 1)
    )
    return (Table("two-point functions of the dark phase, mean of the cells", (f"distance_{unit}", *_CURVES), rows),)


def _notes(cells: Sequence[TwoPointCell]) -> tuple[str, ...]:
    used = sorted({cell.smoothing_px for cell in cells if cell.lengths})
    smoothing = f"; smoothed by {used[0]:g} to {used[-1]:g} px against noise" if used and used[-1] else ""
    return (
        "phases told apart half-way between their grey levels in each cell" + smoothing + "; the interval holds the "
        "scatter between blocks, and what Otsu's threshold and a wider smoothing would change",
        "correlation length: distance at which the correlation of the phases has fallen to 1/e; mean chord: share of "
        "the phase over the boundaries crossed per length, over x, y and both diagonals",
    )


def _scaled(interval: Interval, scale: float) -> Interval:
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)


def make(settings: TwoPointSettings, runtime: Runtime) -> TwoPointAnalyzer:
    """Make the analyzer for a recipe."""
    return TwoPointAnalyzer(settings)
