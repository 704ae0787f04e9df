"""What is kept of the lamellae of one cell, and the maps and tables that cells become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.cell_analyzer import UNKNOWN, grid_map
from cemi_analyze.uncertainty.intervals import Interval, e562_interval
from cemi_core.model.result import GridMap, Table

NO_LAMELLAE = "no regular lamellae"
TOO_SMALL = "what runs one way in it has no period, or fewer than five of it fit the cell"
TOO_THIN = "lamellae thinner than two pixels per phase"
NO_PROFILE = "the beam or the noise hides how wide the thinner phase is"
#: Periods that differ by less than this, as a ratio, are of one group; least share of a group.
_ALIKE = 0.12
_LEAST_SHARE = 0.02
#: A width is told if its 95 % half-width is at most this share of it.
_TOLD = 0.3


@dataclass(frozen=True)
class SpacingGroup:
    """Lamellae of one spacing in a cell: the mean period, and the share of the cell that they fill."""

    spacing_px: Interval
    share: float


@dataclass(frozen=True)
class WidthCell:
    """What was measured in one cell; lengths in px.

    ``groups`` are the spacings that the lamellae of the cell have, the most common first, whether or not they are in
    the mean; ``unmeasured`` is the share of the cell that runs one way without a known period; ``turned`` is 1 where
    all lines run one way, less where colonies differ; ``true_px`` is `width.true_spacing`; ``lines`` is the mean number
    counted in a region by the rule of the paper. ``reason`` tells why there is no spacing, ``no_widths`` why there is
    one but no width of either phase.
    """

    spacing_px: Interval
    dark_px: Interval
    bright_px: Interval
    orientation_deg: Interval
    coherency: Interval
    pixel_size_um: float | None
    reason: str = ""
    no_widths: str = ""
    groups: tuple[SpacingGroup, ...] = ()
    unmeasured: float = 0.0
    turned: float = 1.0
    true_px: Interval = UNKNOWN
    lines: Interval = UNKNOWN


def groups_of(period_px: NDArray[np.float64], area: NDArray[np.float64]) -> tuple[SpacingGroup, ...]:
    """Return the spacings of tiles in groups, the most common first.

    Parameters
    ----------
    period_px : ndarray of float64, shape (n,)
        NaN where there is none.
    area : ndarray of float64, shape (n,)
        Of the colony of each tile.
    """
    used = np.isfinite(period_px) & (area > 0)
    if not used.any():
        return ()
    order = np.argsort(period_px[used])
    period, weight = period_px[used][order], area[used][order]
    cuts = np.flatnonzero(np.diff(np.log(period)) > _ALIKE) + 1
    found = []
    for part in np.split(np.arange(len(period)), cuts):
        share = float(weight[part].sum() / len(area))
        if share >= _LEAST_SHARE:
            found.append(SpacingGroup(e562_interval(period[part], weight[part]), share))
    return tuple(sorted(found, key=lambda group: -group.share))


def width_of(spacing: Interval, share: Interval | None) -> Interval:
    """Return the width of a phase from the spacing and its share; NaN where it cannot be told."""
    unknown = Interval(math.nan, math.nan, math.nan)
    if share is None or not math.isfinite(spacing.value):
        return unknown
    value = spacing.value * share.value
    of_share = 0.5 * (share.high - share.low) / share.value
    of_spacing = 0.5 * (spacing.high - spacing.low) / spacing.value if math.isfinite(spacing.high) else 0.0
    half = value * math.hypot(of_share, of_spacing)
    return Interval(value, max(value - half, 0.0), value + half) if half <= _TOLD * value else unknown


def spacings_table(cells: Sequence[tuple[int, int, WidthCell]], scale: float, unit: str) -> Table | None:
    """Return the spacings of cells that have more than one; None without any."""
    rows = []
    for row, column, cell in cells:
        if len(cell.groups) < 2:
            continue
        for group in cell.groups:
            found = scaled(group.spacing_px, scale)
            low, high = (round(x, 5) if math.isfinite(x) else math.nan for x in (found.low, found.high))
            rows.append((row, column, round(found.value, 5), low, high, round(group.share, 3)))
    heads = ("row", "column", f"spacing, {unit}", "95 % low", "95 % high", "share of the cell")
    return Table("Cells with several spacings", heads, tuple(rows)) if rows else None


def scaled(interval: Interval, scale: float) -> Interval:
    """Return an interval in another unit."""
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)


def further_maps(
    cells: Sequence[tuple[int, int, WidthCell]], scale: float, unit: str, grid_shape: tuple[int, int]
) -> list[GridMap]:
    """Return the maps of widths, direction and coherency."""
    reasons = {(row, column): cell.reason or cell.no_widths for row, column, cell in cells}
    dark = [(row, column, scaled(cell.dark_px, scale)) for row, column, cell in cells]
    bright = [(row, column, scaled(cell.bright_px, scale)) for row, column, cell in cells]
    direction = [(row, column, cell.orientation_deg) for row, column, cell in cells]
    coherency = [(row, column, cell.coherency) for row, column, cell in cells]
    return [
        grid_map("dark_width", "Width of dark lamellae", unit, dark, grid_shape, None, reasons),
        grid_map("bright_width", "Width of bright lamellae", unit, bright, grid_shape, None, reasons),
        grid_map("orientation", "Direction of lamellae", "deg", direction, grid_shape),
        grid_map("coherency", "Coherency of lamellae", "1", coherency, grid_shape),
    ]
