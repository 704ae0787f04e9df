"""Masks as images: PNG or TIFF, grey levels, palettes or colours, with the legend beside them if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, made_folder
from cemi_core.model.annotation import Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.files import AnnotationFile
from cemi_run.annotations.geometry import Outline
from cemi_run.annotations.legend import hex_colour, rgb
from cemi_run.annotations.mask_legend import MaskLegend, legend_beside, write_legend
from cemi_run.annotations.mask_levels import Levels, class_levels, levels_of, snapped
from cemi_run.annotations.mask_pixels import StoredMask, painted, stored_mask
from cemi_run.annotations.outlines import outlines
from cemi_run.annotations.raster import rasterize

#: More different solid levels than this are numbers of objects.
MAX_CLASSES = 64
#: More pixels of edges than this share, and it is not a mask.
_MAX_EDGES = 0.3
_NOTHING = {8: 255, 16: 65535}
_MAGIC = (b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xff\xd8\xff")


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is an image."""
    return file.start.startswith(_MAGIC)


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return the mask in an image.

    Parameters
    ----------
    file : AnnotationFile
    classes : sequence of ClassLabel, optional
        Their order, or their colours, say what the values mean where no legend lies beside the mask.

    Raises
    ------
    InputError
        It is damaged, no mask, or its values fit neither a legend nor the classes.
    """
    legend, stored = legend_beside(file.path), stored_mask(file.path)
    name = legend.images.get(file.path.name, file.path.name)
    by_colour = _takes_colours(stored, legend, classes)
    if by_colour and stored.palette is not None:
        stored = StoredMask(stored.palette[stored.pixels], stored.said, None, stored.notes)
    said, notes = _said(stored, legend)
    found = levels_of(stored.pixels, said)
    found, share = _without_edges(found, stored, _known(found, legend, classes, by_colour), file.path)
    if share:
        notes.append(f"the mask is anti-aliased or lossy: {share:.2%} of its pixels were given to the nearest class")
    size = (found.index.shape[0], found.index.shape[1])
    drawing = Drawing(name, size, source=str(file.path), named=file.path.name in legend.images)
    if found.levels.shape[1] == 1 and len(found.levels) > MAX_CLASSES and not legend.values:
        notes.append(f"the mask numbers {len(found.levels) - 1} objects; they were read as areas of one class")
        return Drawings((replace(drawing, shapes=_numbered(found), notes=tuple(notes)),))
    exact = stored.palette is not None or not share
    labels, index, told = _labels(file.path, found, legend, classes, stored.palette, exact)
    names = tuple(label.name for label in labels)
    drawing = replace(drawing, mask=index, mask_labels=names, notes=(*notes, *told))
    return Drawings((drawing,), legend.classes or tuple(labels))


def _said(stored: StoredMask, legend: MaskLegend) -> tuple[NDArray[np.bool_], list[str]]:
    """Return where a mask says something, and what is to be said."""
    if stored.pixels.ndim == 3:
        said, told = painted(stored)
        return said, [*stored.notes, *told]
    if legend.nothing is not None:
        return stored.said & (stored.pixels != legend.nothing), list(stored.notes)
    return stored.said, list(stored.notes)


def _without_edges(found: Levels, stored: StoredMask, known: NDArray[np.bool_], path: Path) -> tuple[Levels, float]:
    """Return the levels that are classes, and the share of pixels that were given to them.

    Raises
    ------
    InputError
        Nearly every level is one of edges: it is not a mask.
    """
    if stored.palette is not None or not len(found.levels):  # a palette has no levels between its entries
        return found, 0.0
    is_class = known | class_levels(found)
    after, share = snapped(found, is_class) if is_class.any() else (found, 1.0)
    if share > _MAX_EDGES:
        raise InputError(f"'{path}' is an image of {len(found.levels)} different levels, not a mask")
    return after, share


def _takes_colours(stored: StoredMask, legend: MaskLegend, classes: Sequence[ClassLabel] | None) -> bool:
    if stored.pixels.ndim == 3:
        return True
    if stored.palette is None or legend.values:
        return False
    wanted = {label.colour.lower() for label in (*legend.classes, *(classes or ())) if label.colour}
    there = {hex_colour(*stored.palette[entry]) for entry in np.unique(stored.pixels)}
    return bool(wanted) and there <= wanted


def _known(
    found: Levels, legend: MaskLegend, classes: Sequence[ClassLabel] | None, by_colour: bool
) -> NDArray[np.bool_]:
    """Return which levels a legend or the classes name."""
    if by_colour:
        colours = {label.colour.lower() for label in (*legend.classes, *(classes or ())) if label.colour}
        return np.array([hex_colour(*level) in colours for level in found.levels], np.bool_)
    return np.isin(found.levels[:, 0], list(legend.values))


def _numbered(found: Levels) -> tuple[DrawnShape, ...]:
    """Return the areas of each numbered object; the lowest number is what lies between them."""
    shapes: list[DrawnShape] = []
    groups = Groups()
    for number, box in enumerate(ndimage.find_objects(np.maximum(found.index, 0)), 1):
        if box is None:
            continue
        shift = np.array([box[0].start, box[1].start], np.float64)
        parts = [
            Outline(part.outline_px + shift, tuple(hole + shift for hole in part.holes_px))
            for part in outlines(found.index[box] == number)
        ]
        shapes += areas("", parts, groups.new() if len(parts) > 1 else None)
    return tuple(shapes)


def _labels(
    path: Path,
    found: Levels,
    legend: MaskLegend,
    classes: Sequence[ClassLabel] | None,
    palette: NDArray[np.int64] | None,
    exact: bool,
) -> tuple[list[ClassLabel], NDArray[np.int32], list[str]]:
    """Return a label for each level, the mask as indices into them, and what is to be said.

    Values that are not ``exact`` (1 for a black that was compressed) count by their order only.
    """
    if found.levels.shape[1] == 3:
        return *_colour_labels(path, found, legend, classes), _unnamed(legend, classes)
    values = [int(level) for level in found.levels[:, 0]]
    if legend.values:
        named = [ClassLabel(legend.values.get(value, f"value {value}")) for value in values]
        return named, found.index, []
    if classes is not None:
        return _ordered(path, values, found.index, list(classes), exact)
    colours = [hex_colour(*palette[value]) if palette is not None else "" for value in values]
    if len(values) == 2 and (values[0] == 0 or not exact) and palette is None:
        return [ClassLabel("background"), ClassLabel("foreground")], found.index, []
    named = [
        ClassLabel("background" if value == 0 else f"class {value}", "", colour)
        for value, colour in zip(values, colours, strict=True)
    ]
    return (
        named,
        found.index,
        [f"the mask has no legend; its values are {_listed(values)}, and 0 was read as background"],
    )


def _ordered(
    path: Path, values: list[int], index: NDArray[np.int32], classes: list[ClassLabel], exact: bool
) -> tuple[list[ClassLabel], NDArray[np.int32], list[str]]:
    """Return the labels of grey levels by their order, where only the classes are known."""
    count = len(classes)
    if exact and all(value < count for value in values):
        return [classes[value] for value in values], index, []
    rest = values[:-1]
    has_nothing = exact and values[-1] in _NOTHING.values() and bool(rest) and all(value < count for value in rest)
    if has_nothing and (count > 2 or rest != [0]):  # 0 and 255 of two classes are the two
        without = np.where(index == len(rest), -1, index).astype(np.int32)
        return [classes[value] for value in rest], without, [f"where the mask is {values[-1]} it says nothing"]
    if len(values) == count or (count == 2 and values in ([0], [255], [65535])):
        given = classes if len(values) == count else [classes[0 if values == [0] else 1]]
        told = ", ".join(f"{value}: {label.name}" for value, label in zip(values, given, strict=True))
        return given, index, [f"the mask's values were given to the classes in their order ({told})"]
    raise InputError(
        f"'{path}' has the values {_listed(values)}, and there are {count} classes "
        f"({', '.join(label.name for label in classes)}); a classes.json beside it can say what each value means"
    )


def _colour_labels(
    path: Path, found: Levels, legend: MaskLegend, classes: Sequence[ClassLabel] | None
) -> tuple[list[ClassLabel], NDArray[np.int32]]:
    names = {label.colour.lower(): label.name for label in (*legend.classes, *(classes or ())) if label.colour}
    colours = [hex_colour(*level) for level in found.levels]
    if classes is not None and not names:
        shares = found.shares
        told = ", ".join(f"{colours[k]} ({shares[k]:.1%})" for k in np.argsort(-shares)[:8])
        example = f"{classes[0].name}={colours[int(np.argmax(shares))]}" if classes else ""
        raise InputError(
            f"'{path}' has the colours {told}, and no class names its colour; give them, such as '{example}'"
        )
    if len(colours) > MAX_CLASSES:
        raise InputError(f"'{path}' has {len(colours)} different colours, so it is a picture and not a mask")
    return [ClassLabel(names.get(colour, colour), "", colour) for colour in colours], found.index


def _unnamed(legend: MaskLegend, classes: Sequence[ClassLabel] | None) -> list[str]:
    if legend.classes or classes is not None:
        return []
    return ["the mask has no legend; classes were named after their colours"]


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:12])) + (f" and {len(values) - 12} more" if len(values) > 12 else "")


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write one PNG with a palette for each annotation, and ``classes.json``; return what it could not keep.

    Parameters
    ----------
    annotations : sequence of Annotation
        All with the same classes. The value of a pixel is the index of its class; 255 (65535 if there are more than
        255 classes, in 16-bit grey without a palette) where nothing is said.
    path : Path
        A folder; or the PNG, if there is one annotation.
    """
    single = path.suffix.lower() == ".png"
    if single and len(annotations) > 1:
        raise InputError(f"'{path.name}' is one file for {len(annotations)} masks; name a folder")
    classes = annotations[0].classes if annotations else ()
    nothing = _NOTHING[8] if len(classes) <= 255 else _NOTHING[16]
    images: dict[str, str] = {}
    for annotation in annotations:
        name = path.name if single else f"{Path(annotation.image).stem}.png"
        if name in images:
            raise InputError(f"images '{images[name]}' and '{annotation.image}' would share the mask {name}")
        images[name] = annotation.image
    folder = path.parent if single else path
    with nullcontext() if single else made_folder(folder):
        for name, annotation in zip(images, annotations, strict=True):
            _write_one(rasterize(annotation), classes, nothing, folder / name)
        write_legend(folder, classes, nothing, images)
    flat = sum(shape.kind != "area" for annotation in annotations for shape in annotation.shapes)
    return [f"{flat} lines and points became pixels of a mask"] if flat else []


def _write_one(mask: NDArray[np.int32], classes: tuple[ClassLabel, ...], nothing: int, path: Path) -> None:
    values = np.where(mask < 0, nothing, mask)
    with atomic_path(path) as temporary:
        if nothing == _NOTHING[8]:
            image = Image.fromarray(values.astype(np.uint8))
            palette = np.full((256, 3), 255, np.uint8)
            palette[: len(classes)] = np.array([rgb(label.colour) for label in classes], np.uint8).reshape(-1, 3)
            image.putpalette(palette.ravel().tolist())
        else:
            image = Image.fromarray(values.astype(np.uint16))
        image.save(temporary, "PNG")
