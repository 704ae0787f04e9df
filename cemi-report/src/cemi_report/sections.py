"""The sections of the page: figures with a word on how to read them, and tables as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.grid import Cells, FrameGrid
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.result import GridMap, Result, turned_alike
from cemi_core.numeric.digits import decimals_for
from cemi_report.blocks import LONGEST_LIST, Folded, Plate, TextTable, list_title, text_table
from cemi_report.image_figures import images_figure
from cemi_report.map_figures import map_figure, profiles_figure
from cemi_report.numbers import (
    MISSING,
    fixed,
    value_text,
    with_unit,
)
from cemi_report.object_figures import class_figure, layer_figure, outline_figure, size_figure, size_table
from cemi_report.pair_tables import placed_by_prior, rejected_pairs, worst_pairs
from cemi_report.picture import View, details, overview, strips, whole
from cemi_report.picture_figures import picture_figure, place_text
from cemi_report.placement_figures import layout_figure, residual_figure
from cemi_report.reasons import group_by_reason
from cemi_report.summary import mean_of

_OVERLAY_PX = 1100
_PROFILES_PER_FIGURE = 6


@dataclass(frozen=True)
class Picture:
    """The picture section."""

    overview: Plate
    strips: tuple[Plate, ...]
    tall: bool
    details: tuple[Plate, ...]


@dataclass(frozen=True)
class Placement:
    """The placement section."""

    plates: tuple[Plate, ...]
    notes: tuple[str, ...]
    lists: tuple[Folded, ...]
    rejected: TextTable | None


@dataclass(frozen=True)
class Quantity:
    """One analyzer's part of the maps section."""

    title: str
    table: TextTable | None
    plates: tuple[Plate, ...]
    overlays: tuple[Plate, ...]
    tables: tuple[TextTable, ...]
    notes: tuple[str, ...]
    unmeasured: tuple[str, ...] = field(default=())


def picture(mosaic: Mosaic, layout: Layout | None, pixel_size_um: float | None, separate: bool = False) -> Picture:
    """Return the overview, the strips of a very wide mosaic, and details at full resolution."""
    found = details(mosaic, layout)
    marks = [view.box for view in found]
    size = place_text(whole(mosaic), mosaic.shape, pixel_size_um)
    reading = (
        "Grey levels are stretched between the 0.5 and 99.5 percentiles, so brightness here is not a measurement. "
        "Pale blue was not imaged."
    )
    if separate:
        reading += " The images stand side by side, row by row in their order; their places mean nothing."
    if marks:
        reading += " Yellow frames mark the details below."
    main = Plate(
        picture_figure(overview(mosaic), pixel_size_um, marks),
        f"{'All images' if separate else 'The whole picture'}, {size}",
        reading,
    )

    def plate(view: View, name: str, quality: int, boxes: Sequence[Box] = ()) -> Plate:
        place = place_text(view.box, mosaic.shape, pixel_size_um)
        return Plate(picture_figure(view, pixel_size_um, boxes, quality), f"{name}: {place}")

    folded = tuple(plate(view, f"Strip {n}", 78, marks) for n, view in enumerate(strips(mosaic), start=1))
    close = tuple(plate(view, f"Detail {n}", 88) for n, view in enumerate(found, start=1))
    return Picture(main, folded, mosaic.shape[0] > mosaic.shape[1], close)


def placement(data: FinishedRun, layout: Layout) -> Placement:
    """Return the layout figure, the residuals, and which pairs were rejected and why."""
    plates = [
        Plate(
            layout_figure(layout, data.pixel_size_um),
            "Frames and pairs",
            "Each outline is a frame, each line a pair of frames whose overlap was matched. Dark lines agree with the "
            "solved layout, bright ones pull against it. Rejected pairs (red) had no say in the result. The picture is "
            "only as good as the kept lines near it.",
        )
    ]
    histogram = residual_figure(layout)
    if histogram is not None:
        plates.append(
            Plate(
                histogram,
                "How far the kept pairs disagree",
                "A pair's residual is the distance between the shift that was measured and the one that the solved "
                "layout implies. Below about half a pixel no seam shows. Errors that all pairs share, such as a wrong "
                "pixel size or a sheared scan, do not appear here.",
            )
        )
    rejected, lists = rejected_pairs(data, [pair for pair in layout.pairs if not pair.kept])
    lists += [*placed_by_prior(data, layout), *worst_pairs(data, layout)]
    return Placement(tuple(plates), layout.notes, tuple(lists), rejected)


def _map_row(data: FinishedRun, grid_map: GridMap) -> tuple[str, ...]:
    mean = mean_of(data, grid_map)
    finite = turned_alike(grid_map.value, grid_map.unit)[np.isfinite(grid_map.value)]
    low, high = np.percentile(finite, (5, 95)) if finite.size else (np.nan, np.nan)
    decimals = decimals_for(high - low if high > low else abs(low), 3)
    return (
        grid_map.label,
        value_text(mean.value, mean.low, mean.high, grid_map.unit),
        with_unit(f"{low:.{decimals}f} to {high:.{decimals}f}", grid_map.unit) if finite.size else MISSING,
        f"{mean.measured:,} of {mean.cells:,}",
    )


def _overlay(picture_of: NDArray[np.uint8], title: str) -> Plate:
    image = Image.fromarray(np.ascontiguousarray(picture_of, dtype=np.uint8))
    image.thumbnail((_OVERLAY_PX, _OVERLAY_PX))
    stream = io.BytesIO()
    image.convert("RGB").save(stream, format="jpeg", quality=85, optimize=True)
    return Plate(stream.getvalue(), title)


def grid_figure(grid_map: GridMap, grid: Cells | None, pixel_size_um: float | None) -> bytes | None:
    """Draw a map over the specimen, or the values of images that stand alone; None where nothing was measured."""
    if isinstance(grid, FrameGrid):
        return images_figure(grid_map, grid.names)
    return map_figure(grid_map, grid, pixel_size_um)


def quantity(data: FinishedRun, result: Result) -> Quantity:
    """Return one analyzer's maps with their uncertainties, overlays, tables and notes."""
    plates, unmeasured = [], []
    for grid_map in result.maps:
        drawn = grid_figure(grid_map, data.grid, data.pixel_size_um)
        if drawn is None:
            unmeasured.append(grid_map.label)
        else:
            plates.append(
                Plate(
                    drawn,
                    f"Map of {grid_map.label}",
                    "One coloured cell is one measurement; hatched cells could not be measured. Trust a difference "
                    "between two cells only where it is larger than their half-widths.",
                )
                if not data.separate
                else Plate(
                    drawn,
                    f"{grid_map.label} of each image",
                    "One point is one image, its bar the 95 % interval of the measurement; a dotted line is an image "
                    "that could not be measured. A point without bar has no known interval.",
                )
            )
    more, tables = _beyond_maps(data, result)
    cells = "images" if data.separate else "cells"
    heads = ("quantity", "mean (95 % interval)", f"5 to 95 % of {cells}", f"{cells} measured")
    rows = tuple(_map_row(data, grid_map) for grid_map in result.maps)
    return Quantity(
        title=result.analyzer,
        table=TextTable(heads, rows, (False, False, False, True)) if rows else None,
        plates=(*more, *plates),
        overlays=tuple(_overlay(image, name) for name, image in result.overlays.items() if image.size),
        tables=(*tables, *(text_table(table.columns, table.rows, table.name) for table in result.tables)),
        notes=result.notes,
        unmeasured=tuple(unmeasured),
    )


def _beyond_maps(data: FinishedRun, result: Result) -> tuple[list[Plate], list[TextTable]]:
    """Return figures and tables of the objects, classes and layers of a result."""
    plates, tables = [], []
    for objects in result.objects:
        area_um2 = None
        if data.mosaic is not None and data.pixel_size_um:
            boxes = data.grid.boxes if isinstance(data.grid, FrameGrid) else (Box(0, 0, *data.mosaic.shape),)
            area_um2 = sum(box.height * box.width for box in boxes) * data.pixel_size_um**2
        tables.append(size_table(objects, area_um2, data.pixel_size_um))
        if (drawn := size_figure(objects, data.pixel_size_um)) is not None:
            reading = "Each object counts once. Those that the edge of the image cuts are counted with what is seen."
            plates.append(Plate(drawn, f"How large the {objects.label.lower()} are", reading))
        if data.mosaic is not None and (drawn := outline_figure(data.mosaic, objects)) is not None:
            reading = "Check by eye whether the outlines follow what you see: no number is better than they are."
            plates.append(Plate(drawn, f"{objects.label}: a part of the image at full resolution", reading))
    for class_map in result.classes:
        if (drawn := class_figure(class_map, data.grid, data.pixel_size_um)) is not None:
            plates.append(Plate(drawn, f"Map of {class_map.label}", "Cells without a colour could not be told."))
    for layer in result.layers:
        if data.mosaic is not None and layer.path in data.layers:
            figure = layer_figure(data.mosaic, data.layers[layer.path], layer.spec)
            plates.append(Plate(figure, layer.spec.label, f"Pixel by pixel; at full resolution in {layer.path}."))
    return plates, tables


def profiles(data: FinishedRun) -> tuple[Plate, ...]:
    """Return figures of the profiles along x, up to six in each; none of images that stand alone."""
    if data.separate:
        return ()
    reading = (
        "Each line is the mean over y of a map; the band is the 95 % interval of that mean, from the scatter of the "
        "cells of one column and from what is known to be off in all cells alike."
    )
    plates = []
    for start in range(0, len(data.profiles), _PROFILES_PER_FIGURE):
        chosen = data.profiles[start : start + _PROFILES_PER_FIGURE]
        figure = profiles_figure(chosen, data.pixel_size_um)
        if figure is not None:
            plates.append(Plate(figure, "Profiles along x: " + ", ".join(p.label for p in chosen), reading))
    return tuple(plates)


def sheet(data: FinishedRun, figure: bytes) -> Plate:
    """Return the figure of the picture, the maps and the profiles on one x axis, with a word on how to read it."""
    reading = "The same place lies at the same x in all panels. The figures below show each map with its uncertainty."
    if data.relations and data.property_table is not None:
        reading += f" {data.property_table.name} is drawn over the profiles that were related to it."
    return Plate(figure, "Picture, maps and profiles on one axis", reading)


def dropped_frames(data: FinishedRun) -> tuple[TextTable | None, tuple[Folded, ...]]:
    """Return how many frames the source left out for which reason, and the folded lists of them."""
    if not data.dropped:
        return None, ()
    groups = group_by_reason((frame.reason, frame) for frame in data.dropped)
    lost = [sum(frame.frames for frame in group.items) for group in groups]
    rows = tuple((group.reason, f"{count:,}" if count else MISSING) for group, count in zip(groups, lost))
    counts = TextTable(("why", "frames"), rows, (False, True))
    lists = tuple(
        Folded(
            list_title(group.reason[:1].upper() + group.reason[1:], len(group.items)),
            TextTable(
                ("frame", "time (s)", "why"),
                tuple((frame.name, fixed(frame.time_s, 2), frame.reason) for frame in group.items[:LONGEST_LIST]),
                (False, True, False),
            ),
        )
        for group in groups
    )
    return counts, lists


def what_was_run(data: FinishedRun) -> list[TextTable]:
    """Return the tables of steps, plugins and versions, as far as they are known."""
    tables = []
    if data.timings:
        steps = [(step, fixed(seconds, 1), status) for step, seconds, status in data.timings]
        total = sum(seconds for _, seconds, _ in data.timings if np.isfinite(seconds))
        rows = (*steps, ("all steps", fixed(total, 1), ""))
        tables.append(TextTable(("step", "time (s)", "status"), rows, (False, True, False), "Steps"))
    if data.plugins:
        heads = ("stage", "plugin", "package", "version")
        tables.append(TextTable(heads, tuple(tuple(row) for row in data.plugins), (False,) * 4, "Plugins"))
    if data.versions:
        tables.append(TextTable(("program", "version"), tuple(data.versions.items()), (False, False), "Versions"))
    return tables
