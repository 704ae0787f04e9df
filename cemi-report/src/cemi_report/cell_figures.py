"""A few cells at full resolution with what was measured in them: masks, objects, and the normal of the lamellae."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GridMap, Result, is_direction
from cemi_core.model.units import MICROMETRES_PER_UNIT
from cemi_report.blocks import Plate
from cemi_report.figures import drawn, encode, new_figure, short
from cemi_report.numbers import value_text
from cemi_report.object_figures import draw_outlines, extent_of, tinted
from cemi_report.picture import read_view
from cemi_report.picture_figures import as_rgb, place_text

#: Largest part of a cell that is drawn, px along an edge.
CELL_PX = 420
_RANKS = (0.1, 0.5, 0.9)
_MARK = "#ffd34d"
_TICKS = 12
#: Ticks nearer to each other than this could not be told apart, px.
_NARROWEST_PX = 2.0


def shown_cells(data: FinishedRun) -> list[Plate]:
    """Draw three cells in which the first quantity is low, middling and high.

    Drawn over the image: masks and classes in colours, outlines of objects, and, where a direction of lines was
    measured, a line along their normal, with a tick at each spacing if that was measured too. The position of the
    ticks along the normal says nothing.

    Returns
    -------
    list of Plate
        Empty where there is no mosaic, no grid, or no map with a value.
    """
    mosaic, grid = data.mosaic, data.grid
    ranked = next((m for r in data.results for m in r.maps if np.isfinite(m.value).any()), None)
    if mosaic is None or not isinstance(grid, Grid) or ranked is None:
        return []
    if ranked.value.shape != (grid.rows, grid.columns):
        return []
    cells = []
    for row, column in _low_middle_high(ranked.value):
        box = _middle_of(grid.box(row, column))
        title = f"Row {row + 1}, column {column + 1}: {place_text(box, mosaic.shape, data.pixel_size_um)}"
        picture = _cell_picture(data, box, row, column)
        cells.append(Plate(picture, title, _words(data.results, row, column)))
    return cells


def _low_middle_high(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the cells nearest to the 10, 50 and 90 percentiles, each once."""
    flat = values.ravel()
    known = np.flatnonzero(np.isfinite(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    picked = dict.fromkeys(int(order[round(rank * (len(order) - 1))]) for rank in _RANKS)
    return [divmod(index, values.shape[1]) for index in picked]


def _middle_of(box: Box) -> Box:
    height, width = min(box.height, CELL_PX), min(box.width, CELL_PX)
    return Box(box.y + (box.height - height) // 2, box.x + (box.width - width) // 2, height, width)


@drawn
def _cell_picture(data: FinishedRun, box: Box, row: int, column: int) -> bytes:
    assert data.mosaic is not None
    view = read_view(data.mosaic, box, CELL_PX, CELL_PX)
    image = as_rgb(view)
    for result in data.results:
        for layer in result.layers:
            if layer.spec.kind != "probability" and layer.path in data.layers:
                over = read_view(data.layers[layer.path], box, CELL_PX, CELL_PX)
                image = tinted(image, data.layers[layer.path], over, layer.spec)
    figure = new_figure(3.2 * box.height / box.width, 3.2)
    figure.set_layout_engine(None)  # the image fills it
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    extent = extent_of(box)
    axes.imshow(image, extent=extent, interpolation="nearest", aspect="auto")
    for result in data.results:
        for objects in result.objects:
            draw_outlines(axes, objects, box)
        _draw_normal(axes, result, box, (row, column), data.pixel_size_um)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    return encode(figure)


def _draw_normal(axes: Axes, result: Result, box: Box, cell: tuple[int, int], pixel_size_um: float | None) -> None:
    """Draw a line across the lines that a result has found, with a tick for each line where their distance is known."""
    direction = next((m for m in result.maps if is_direction(m.unit)), None)
    if direction is None or not np.isfinite(direction.value[cell]):
        return
    along = math.radians(float(direction.value[cell]))
    line = np.array([math.cos(along), math.sin(along)])  # x, y
    normal = np.array([-line[1], line[0]])
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    edge = min(box.height, box.width)
    spacing = _spacing_px(result.maps[0], cell, pixel_size_um)
    ticks: NDArray[np.float64] = np.empty(0)
    if spacing is not None and spacing > _NARROWEST_PX:
        ticks = np.asarray((np.arange(_TICKS + 1) - _TICKS / 2) * spacing, np.float64)
        ticks = ticks[np.abs(ticks) <= 0.45 * edge]
    ends = ticks[[0, -1]] if len(ticks) else 0.2 * np.array([-edge, edge])
    effects = [withStroke(linewidth=2.6, foreground="black")]
    axes.plot(*(middle + ends[:, None] * normal).T, color=_MARK, linewidth=1.2, path_effects=effects)
    for step in ticks:
        tick = middle + step * normal + np.array([[-1.0], [1.0]]) * line * max(1.2 * (spacing or 0.0), 4.0)
        axes.plot(*tick.T, color=_MARK, linewidth=0.9, path_effects=effects)


def _spacing_px(first: GridMap, cell: tuple[int, int], pixel_size_um: float | None) -> float | None:
    """Return the first quantity of a result in px where it is a length; the lines of a direction lie that far apart."""
    value = float(first.value[cell])
    if not math.isfinite(value):
        return None
    if first.unit == "px":
        return value
    if first.unit in MICROMETRES_PER_UNIT and pixel_size_um:
        return value * MICROMETRES_PER_UNIT[first.unit] / pixel_size_um
    return None


def _words(results: Sequence[Result], row: int, column: int) -> str:
    words = []
    for grid_map in (m for result in results for m in result.maps):
        value, low, high = (float(a[row, column]) for a in (grid_map.value, grid_map.low, grid_map.high))
        reason = grid_map.reason(row, column)
        text = value_text(value, low, high, grid_map.unit)
        words.append(f"{short(grid_map.label, 40)} {text}{f': {reason}' if reason else ''}")
    return "; ".join(words) + "."
