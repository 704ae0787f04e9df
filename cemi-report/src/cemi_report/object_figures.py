"""Objects, classes and layers: how large the objects are, where they lie, and what each cell and pixel is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cemi_core.model.classes import PALETTE, ClassLabel
from cemi_core.model.grid import Cells
from cemi_core.model.layers import LayerSpec
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.objects import Objects
from cemi_core.model.result import ClassMap
from cemi_report.blocks import TextTable
from cemi_report.figures import EMPTY, INK, box_height_in, drawn, encode, fit_box, new_figure, short
from cemi_report.map_figures import VALUE_COLOURS, cell_edges
from cemi_report.numbers import MISSING
from cemi_report.picture import View, overview, read_view
from cemi_report.picture_figures import as_rgb

#: Part of the mosaic on which outlines are drawn, px, and the most that are drawn.
WINDOW_PX, MAX_OUTLINES = (600, 900), 4000
_BINS = 40
_OPACITY = 0.45


def colour_of(label: ClassLabel, number: int) -> str:
    """Return the colour of a class: its own, or one that tells it from the others."""
    return label.colour or PALETTE[number % len(PALETTE)]


def size_table(objects: Objects, area_um2: float | None, pixel_size_um: float | None) -> TextTable:
    """Return how many objects of each class there are, and how large they are.

    Parameters
    ----------
    objects : Objects
    area_um2 : float or None
        Area that was searched, square micrometres; None leaves the number per area out.
    pixel_size_um : float or None
    """
    unit = "µm" if pixel_size_um else "px"
    heads = ("class", "number", "per mm²", f"median diameter ({unit})", f"5 to 95 % ({unit})", "cut off")
    rows = []
    for number, label in enumerate(objects.classes):
        mine = objects.class_index == number
        if not mine.any() and len(objects.classes) > 1:
            continue
        sizes = 2 * np.sqrt(objects.area_px[mine] / np.pi) * (pixel_size_um or 1.0)
        low, middle, high = np.percentile(sizes, (5, 50, 95)) if len(sizes) else (np.nan,) * 3
        count = int(mine.sum())
        rows.append(
            (
                label.label or label.name,
                f"{count:,}",
                f"{count / area_um2 * 1e6:,.4g}" if area_um2 else MISSING,
                f"{middle:.3g}" if count else MISSING,
                f"{low:.3g} to {high:.3g}" if count else MISSING,
                f"{int(objects.cut[mine].sum()):,}",
            )
        )
    return TextTable(heads, tuple(rows), (False, True, True, True, True, True), objects.label)


@drawn
def size_figure(objects: Objects, pixel_size_um: float | None) -> bytes | None:
    """Draw how many objects have which diameter (of the circle of equal area), classes in colours; None without any."""
    if not len(objects):
        return None
    sizes = 2 * np.sqrt(objects.area_px / np.pi) * (pixel_size_um or 1.0)
    wide = sizes.max() > 20 * max(sizes.min(), 1e-12)
    low, high = float(sizes.min()), float(sizes.max())
    if not high > low:
        low, high = 0.9 * low, 1.1 * high
    edges = np.geomspace(low, high, _BINS) if wide else np.linspace(low, high, _BINS)
    figure = new_figure(3.0)
    axes = figure.subplots()
    parts = [sizes[objects.class_index == number] for number in range(len(objects.classes))]
    colours = [colour_of(label, number) for number, label in enumerate(objects.classes)]
    axes.hist(parts, edges.tolist(), stacked=True, color=colours, edgecolor="white", linewidth=0.4)
    axes.axvline(float(np.median(sizes)), color=INK, linewidth=1, linestyle="--")
    if wide:
        axes.set_xscale("log")
    axes.set_xlabel(f"diameter of the circle of equal area ({'µm' if pixel_size_um else 'px'}); dashed: the median")
    axes.set_ylabel("number")
    axes.set_title(f"Sizes of {len(objects):,} {objects.label.lower()}")
    _legend(axes, objects.classes)
    return encode(figure)


@drawn
def outline_figure(mosaic: Mosaic, objects: Objects) -> bytes | None:
    """Draw the outlines of the objects in a part of the mosaic, in the colours of their classes; None without any."""
    if not len(objects):
        return None
    box = _window(mosaic.shape, objects)
    view = read_view(mosaic, box, *WINDOW_PX)
    figure, axes = _image_figure(view)
    axes.imshow(as_rgb(view), extent=extent_of(box), interpolation="nearest", aspect="auto")
    draw_outlines(axes, objects, box)
    axes.set(xlim=(box.x - 0.5, box.x + box.width - 0.5), ylim=(box.y + box.height - 0.5, box.y - 0.5))
    _legend(axes, objects.classes)
    return encode(figure, "jpeg", quality=88)


def draw_outlines(axes: Axes, objects: Objects, box: Box) -> None:
    """Draw the objects whose middle lies in a box of the mosaic, axes in its px: outlines, or crosses without one."""
    inside = np.flatnonzero(
        (objects.y_px >= box.y)
        & (objects.y_px < box.y + box.height)
        & (objects.x_px >= box.x)
        & (objects.x_px < box.x + box.width)
    )[:MAX_OUTLINES]
    for number, label in enumerate(objects.classes):
        mine = inside[objects.class_index[inside] == number]
        outlined = [objects.outline(n)[:, ::-1] for n in mine if len(objects.outline(n)) > 2]
        colour = colour_of(label, number)
        axes.add_collection(PolyCollection(outlined, facecolors="none", edgecolors=colour, linewidths=1.0))
        bare = [n for n in mine if len(objects.outline(n)) <= 2]
        axes.plot(objects.x_px[bare], objects.y_px[bare], "+", color=colour, markersize=5)


@drawn
def class_figure(class_map: ClassMap, grid: Cells | None, pixel_size_um: float | None) -> bytes | None:
    """Draw which class each cell belongs to, with the legend; None where no cell could be told."""
    if not (class_map.value >= 0).any():
        return None
    rows, columns = class_map.value.shape
    edges = cell_edges((rows, columns), grid, pixel_size_um)
    x0, x1, y0, y1 = edges.x[0], edges.x[-1], edges.y[0], edges.y[-1]
    figure = new_figure(box_height_in(x1 - x0, y1 - y0, 8.0) + 1.2)
    axes = figure.subplots()
    axes.set_facecolor(EMPTY)
    colours = ListedColormap([colour_of(label, number) for number, label in enumerate(class_map.classes)])
    told = np.ma.masked_less(class_map.value, 0)
    axes.pcolormesh(edges.x, edges.y, told, cmap=colours, vmin=-0.5, vmax=len(class_map.classes) - 0.5)
    axes.set(xlim=(x0, x1), ylim=(y1, y0))
    stretched = fit_box(axes, x1 - x0, y1 - y0)
    axes.set_xlabel(f"x ({edges.unit})" if edges.unit != "cells" else "column")
    axes.set_ylabel((f"y ({edges.unit})" if edges.unit != "cells" else "row") + (f"\n{stretched}" if stretched else ""))
    axes.set_title(short(class_map.label, 90))
    _legend(axes, class_map.classes, always=True)
    return encode(figure)


@drawn
def layer_figure(mosaic: Mosaic, layer: Mosaic, spec: LayerSpec) -> bytes:
    """Draw a layer over the whole mosaic: classes and masks in colours, a probability as a map of its own."""
    below, above = overview(mosaic), overview(layer)
    figure, axes = _image_figure(below)
    if spec.kind == "probability":
        shown = np.ma.masked_where(~above.valid, above.image)
        mesh = axes.imshow(shown, cmap=VALUE_COLOURS, vmin=0, vmax=1, extent=extent_of(below.box), aspect="auto")
        figure.colorbar(mesh, ax=axes, fraction=0.03, pad=0.01)
    else:
        image = tinted(as_rgb(below), layer, above, spec)
        axes.imshow(image, extent=extent_of(below.box), interpolation="nearest", aspect="auto")
        _legend(axes, _classes_of(spec), always=True)
    return encode(figure, "jpeg", quality=85)


def tinted(image: NDArray[np.uint8], layer: Mosaic, over: View, spec: LayerSpec) -> NDArray[np.uint8]:
    """Return a picture (h, w, 3) with the mask or the classes of a layer, seen in the same box, in colours over it."""
    shown = image.astype(np.float32)
    for number, (label, share) in enumerate(_shares(layer, over, spec)):
        weight = (_OPACITY * share)[..., None]
        shown = shown * (1 - weight) + 255 * np.array(to_rgb(colour_of(label, number)), np.float32) * weight
    return shown.round().astype(np.uint8)


def _classes_of(spec: LayerSpec) -> Sequence[ClassLabel]:
    return spec.classes or (ClassLabel(spec.name, spec.label, PALETTE[5]),)


def _shares(layer: Mosaic, view: View, spec: LayerSpec) -> list[tuple[ClassLabel, NDArray[np.float32]]]:
    """Return each class with its share of the pixels behind each pixel of an overview."""
    if spec.kind == "mask":
        return [(_classes_of(spec)[0], np.where(view.valid, view.image, np.float32(0)))]
    # numbers have no mean: the level that is nearest in size is read as it is, and repeated
    level = max((n for n in range(len(layer.level_shapes)) if 2**n <= view.mosaic_px_per_px * 1.001), default=0)
    step, seen = 2**level, view.box
    box = Box(seen.y // step, seen.x // step, -(-seen.height // step), -(-seen.width // step))
    box = box.clipped(layer.level_shapes[level])
    numbers, valid = np.rint(layer.read(box, level) * 255), layer.read_valid(box, level)
    rows = np.linspace(0, box.height - 1, view.image.shape[0]).round().astype(int)
    columns = np.linspace(0, box.width - 1, view.image.shape[1]).round().astype(int)
    numbers = np.where(valid, numbers, -1)[np.ix_(rows, columns)]
    return [(label, (numbers == number).astype(np.float32)) for number, label in enumerate(spec.classes)]


def _window(shape: tuple[int, int], objects: Objects) -> Box:
    """Return the part of the mosaic around the object that has as many above as below and left as right of it."""
    height, width = min(shape[0], WINDOW_PX[0]), min(shape[1], WINDOW_PX[1])
    y = int(np.clip(np.median(objects.y_px) - height / 2, 0, shape[0] - height))
    x = int(np.clip(np.median(objects.x_px) - width / 2, 0, shape[1] - width))
    return Box(y, x, height, width)


def _image_figure(view: View) -> tuple[Figure, Axes]:
    """Return an empty figure of the shape of a view, without ticks."""
    height, width = view.image.shape
    figure = new_figure(max(box_height_in(width, height, 8.6, 1 / 30), 0.6) + 0.15)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_box_aspect(height / width)
    return figure, axes


def extent_of(box: Box) -> tuple[float, float, float, float]:
    """Return where the edges of a box lie in an image whose pixels have whole numbers: left, right, bottom, top."""
    return box.x - 0.5, box.x + box.width - 0.5, box.y + box.height - 0.5, box.y - 0.5


def _legend(axes: Axes, classes: Sequence[ClassLabel], always: bool = False) -> None:
    """Name the colours of the classes beside the axes; one class alone needs no legend, unless it must be told."""
    if len(classes) < 2 and not always:
        return
    handles = [
        Patch(color=colour_of(label, number), label=short(label.label or label.name, 40))
        for number, label in enumerate(classes)
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4, ncols=4)
