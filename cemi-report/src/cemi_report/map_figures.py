"""Maps over the specimen and profiles along x, each beside its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from cemi_core.model.grid import Cells, Grid
from cemi_core.model.result import GridMap, Profile, is_direction
from cemi_report.figures import (
    ACCENT,
    EMPTY,
    LengthAxis,
    box_height_in,
    colour_bar,
    drawn,
    encode,
    fit_box,
    length_axis,
    new_figure,
    short,
)
from cemi_report.numbers import label_with_unit

#: Perceptually uniform and readable by the colour-blind; two of them, so that a value is never taken for its error.
VALUE_COLOURS = "viridis"
ERROR_COLOURS = "cividis"
#: Its ends meet, as 0 and 180 degrees do.
DIRECTION_COLOURS = "twilight"


@dataclass(frozen=True)
class CellEdges:
    """Edges of the cells along both axes, in axis units, and the name of that unit."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    unit: str


def cell_edges(shape: tuple[int, int], grid: Cells | None, pixel_size_um: float | None) -> CellEdges:
    """Return where the cells of a map of ``shape`` lie; numbers of rows and columns where the grid is unknown."""
    rows, columns = shape
    if not isinstance(grid, Grid) or (grid.rows, grid.columns) != shape:
        return CellEdges(np.arange(columns + 1.0), np.arange(rows + 1.0), "cells")
    axis: LengthAxis = length_axis(max(grid.shape), pixel_size_um)
    y = [grid.box(row, 0).y for row in range(rows)] + [grid.shape[0]]
    x = [grid.box(0, column).x for column in range(columns)] + [grid.shape[1]]
    return CellEdges(np.array(x) * axis.per_px, np.array(y) * axis.per_px, axis.unit)


def colour_limits(values: NDArray[np.float64]) -> tuple[float, float, str]:
    """Return the limits of the colour scale and on which sides values go beyond (matplotlib's ``extend``).

    All values up to 50 cells; the 1 and 99 percentiles of more, so that a few wild cells do not hide the rest.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0, "neither"
    low, high = (float(edge) for edge in np.percentile(finite, (1, 99) if finite.size > 50 else (0, 100)))
    if not high > low:
        pad = abs(low) * 0.01 or 0.5
        return low - pad, high + pad, "neither"
    below, above = bool(finite.min() < low), bool(finite.max() > high)
    return low, high, {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[(below, above)]


def shown_values(grid_map: GridMap) -> tuple[NDArray[np.float64], str]:
    """Return what of a map is drawn, directions turned into 0 to 180 degrees, and the name of its colours."""
    if is_direction(grid_map.unit):
        return grid_map.value % 180, DIRECTION_COLOURS
    return grid_map.value, VALUE_COLOURS


def draw_cells(axes: Axes, edges: CellEdges, values: NDArray[np.float64], colours: str) -> tuple[QuadMesh, str]:
    """Draw cells in colours; return them and on which sides values go beyond the scale, for a colour bar."""
    low, high, extend = (0.0, 180.0, "neither") if colours == DIRECTION_COLOURS else colour_limits(values)
    mesh = axes.pcolormesh(edges.x, edges.y, np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high)
    return mesh, extend


def _panel(axes: Axes, edges: CellEdges, values: NDArray[np.float64], title: str, colours: str) -> None:
    x0, x1, y0, y1 = edges.x[0], edges.x[-1], edges.y[0], edges.y[-1]
    axes.add_patch(
        Rectangle((x0, y0), x1 - x0, y1 - y0, facecolor=EMPTY, edgecolor="#b4bdc8", hatch="////", linewidth=0)
    )
    mesh, extend = draw_cells(axes, edges, values, colours)
    axes.set(xlim=(x0, x1), ylim=(y1, y0))
    stretched = fit_box(axes, x1 - x0, y1 - y0)
    axes.set_xlabel(f"x ({edges.unit})" if edges.unit != "cells" else "column")
    axes.set_ylabel((f"y ({edges.unit})" if edges.unit != "cells" else "row") + (f"\n{stretched}" if stretched else ""))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title)
    colour_bar(axes, mesh, extend)


@drawn
def map_figure(grid_map: GridMap, grid: Cells | None = None, pixel_size_um: float | None = None) -> bytes | None:
    """Draw a map and the half-width of its 95 % interval, as PNG; None where no cell was measured.

    Cells that could not be measured are hatched grey. Axes are in µm or mm (px without a pixel size) and true to
    shape, unless the map is flatter than 1:8, which the axis then says.
    """
    if not np.isfinite(grid_map.value).any():
        return None
    half = (grid_map.high - grid_map.low) / 2
    with_error = bool(np.isfinite(half).any())
    edges = cell_edges(grid_map.value.shape, grid, pixel_size_um)
    width, height = float(edges.x[-1] - edges.x[0]), float(edges.y[-1] - edges.y[0])
    stacked = width >= 1.8 * height
    panels = 1 + with_error
    panel_in = box_height_in(width, height, 8.3 if stacked else 3.6)
    figure = new_figure((panel_in + 0.75) * (panels if stacked else 1), 10.0 if stacked or with_error else 6.0)
    grids = figure.subplots(*((panels, 1) if stacked else (1, panels)), squeeze=False, sharex=stacked).ravel()
    value, colours = shown_values(grid_map)
    _panel(grids[0], edges, value, short(label_with_unit(grid_map.label, grid_map.unit), 80), colours)
    if with_error:
        _panel(grids[1], edges, half, label_with_unit("Half-width of the 95 % interval", grid_map.unit), ERROR_COLOURS)
    if stacked and with_error:
        grids[0].set_xlabel("")
    return encode(figure)


def profile_axis(profile: Profile, pixel_size_um: float | None) -> tuple[NDArray[np.float64], str]:
    """Return the places of a profile in µm, mm or (without a pixel size) px, and the name of that unit."""
    if pixel_size_um is None:
        return profile.x_um, "px"
    return (profile.x_um / 1000, "mm") if np.nanmax(profile.x_um, initial=0.0) >= 5000 else (profile.x_um, "µm")


def draw_profile(axes: Axes, profile: Profile, x: NDArray[np.float64], colour: str = ACCENT) -> None:
    """Draw a profile as a line in its 95 % band; columns without neighbours, which a line would not show, as dots."""
    axes.fill_between(x, profile.low, profile.high, color=colour, alpha=0.20, linewidth=0)
    axes.plot(x, profile.value, color=colour, linewidth=1.3)
    seen = np.isfinite(profile.value)
    padded = np.concatenate(([False], seen, [False]))
    alone = seen & ~padded[:-2] & ~padded[2:]
    dots = seen if seen.size <= 40 else alone
    axes.plot(x[dots], profile.value[dots], linestyle="none", marker="o", markersize=3, color=colour)
    if (alone & np.isfinite(profile.low)).any():
        bars = alone & np.isfinite(profile.low)
        axes.vlines(x[bars], profile.low[bars], profile.high[bars], color=colour, linewidth=1)


def drawable(profiles: Sequence[Profile]) -> list[Profile]:
    """Return the profiles that hold at least one value."""
    return [profile for profile in profiles if np.isfinite(profile.value).any()]


@drawn
def profiles_figure(profiles: Sequence[Profile], pixel_size_um: float | None = None) -> bytes | None:
    """Draw profiles along x below each other, with their 95 % bands, as PNG; None if none holds a value."""
    shown = drawable(profiles)
    if not shown:
        return None
    figure = new_figure(1.75 * len(shown) + 0.45)
    panels = figure.subplots(len(shown), 1, squeeze=False, sharex=True).ravel()
    for axes, profile in zip(panels, shown):
        x, unit = profile_axis(profile, pixel_size_um)
        draw_profile(axes, profile, x)
        axes.set_title(short(label_with_unit(profile.label, profile.unit), 90))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.margins(x=0.01)
    panels[-1].set_xlabel(f"x ({unit})")
    return encode(figure)
