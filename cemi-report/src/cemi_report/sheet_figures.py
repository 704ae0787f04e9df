"""Picture, maps and profiles on one x axis, as Lang et al. (2025) show them in their Figures 4 and 5."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap, Profile, Relation, is_direction
from cemi_report.figures import ACCENT, EMPTY, SECOND, drawn, encode, length_axis, new_figure, short
from cemi_report.map_figures import cell_edges, draw_cells, draw_profile, shown_values
from cemi_report.numbers import label_with_unit, p_value_text
from cemi_report.picture import View, overview
from cemi_report.picture_figures import as_rgb
from cemi_report.relation_figures import draw_property

#: A sheet with more maps than this could not be read.
MAPS_SHOWN = 6
_WIDEST_IN = 8.6
_PANEL_IN = (0.55, 2.2)


@drawn
def sheet_figure(data: FinishedRun, formats: Sequence[str] = ("png",)) -> dict[str, bytes]:
    """Draw the picture, the first map of each analyzer and its profile below each other, on one x axis.

    A profile whose relation to the property was computed is drawn with the property; its r and p stand beside it.

    Parameters
    ----------
    data : FinishedRun
        With a mosaic and maps on a grid of rows and columns.
    formats : sequence of str
        ``"png"``, and ``"pdf"`` or ``"svg"`` for a manuscript.

    Returns
    -------
    dict of str to bytes
        The file in each format; empty where there is no mosaic, no grid or no map with a value.
    """
    maps = _chosen(data)
    if data.mosaic is None or not isinstance(data.grid, Grid) or not maps:
        return {}
    profiles = _profiles_of(maps, data.profiles)
    height, width = data.mosaic.shape
    panel_in = float(np.clip(_WIDEST_IN * height / width, *_PANEL_IN))
    heights = [panel_in] * (1 + len(maps)) + [1.15] * len(profiles)
    figure = new_figure(sum(heights) + 0.36 * len(heights) + 0.4)
    panels = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights).ravel()
    axis = length_axis(max(height, width), data.pixel_size_um)
    right, bottom = width * axis.per_px, height * axis.per_px
    _draw_picture(panels[0], overview(data.mosaic), right, bottom)
    for axes, grid_map in zip(panels[1 : 1 + len(maps)], maps, strict=True):
        _draw_map(figure, axes, grid_map, data)
    for axes, profile in zip(panels[1 + len(maps) :], profiles, strict=True):
        _draw_profile(axes, profile, data, axis.unit)
    for axes in panels[: 1 + len(maps)]:
        axes.set_ylim(bottom, 0)
        axes.yaxis.set_major_locator(MaxNLocator(2))
    panels[len(maps) // 2].set_ylabel(f"y ({axis.unit})")
    panels[-1].set_xlim(0, right)
    panels[-1].set_xlabel(f"x ({axis.unit})")
    return {image_format: encode(figure, image_format) for image_format in formats}


def _chosen(data: FinishedRun) -> list[GridMap]:
    """Return the first map with values of each analyzer; the further ones follow while there is room."""
    filled = [[m for m in result.maps if np.isfinite(m.value).any()] for result in data.results]
    first = [maps[0] for maps in filled if maps]
    related = {relation.quantity for relation in data.relations}
    more = [m for maps in filled for m in maps[1:] if m.name in related and not is_direction(m.unit)]
    shown = first + more[: max(MAPS_SHOWN - len(first), 0)]
    order = [id(m) for maps in filled for m in maps]
    return sorted(shown[:MAPS_SHOWN], key=lambda m: order.index(id(m)))


def _profiles_of(maps: Sequence[GridMap], profiles: Sequence[Profile]) -> list[Profile]:
    named = {profile.name: profile for profile in profiles if np.isfinite(profile.value).any()}
    return [named[m.name] for m in maps if m.name in named]


def _draw_picture(axes: Axes, view: View, right: float, bottom: float) -> None:
    axes.imshow(as_rgb(view), extent=(0, right, bottom, 0), aspect="auto", interpolation="antialiased")
    axes.set_title("Picture")


def _draw_map(figure: Figure, axes: Axes, grid_map: GridMap, data: FinishedRun) -> None:
    edges = cell_edges(grid_map.value.shape, data.grid, data.pixel_size_um)
    axes.set_facecolor(EMPTY)
    mesh, extend = draw_cells(axes, edges, *shown_values(grid_map))
    mesh.set_rasterized(True)
    axes.set_title(short(label_with_unit(grid_map.label, grid_map.unit), 90))
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.01, 0, 0.012, 1)), extend=extend)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(MaxNLocator(3))


def _draw_profile(axes: Axes, profile: Profile, data: FinishedRun, unit: str) -> None:
    draw_profile(axes, profile, profile.x_um * (1e-3 if unit == "mm" else 1.0))
    axes.set_title(short(label_with_unit(profile.label, profile.unit), 60))
    axes.tick_params(axis="y", labelcolor=ACCENT)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="y")
    relation = next((r for r in data.relations if r.quantity == profile.name), None)
    if relation is not None and data.property_table is not None:
        draw_property(axes, data.property_table, unit, longest=24).yaxis.set_major_locator(MaxNLocator(3))
        _name_relation(axes, relation)


def _name_relation(axes: Axes, relation: Relation) -> None:
    p = p_value_text(relation.p_value)
    words = f"{relation.measure} = {relation.r:+.2f}, p {p if p[0] == '<' else '= ' + p}"
    axes.set_title(words.replace("-", "−"), loc="right", fontweight="normal", color=SECOND)
