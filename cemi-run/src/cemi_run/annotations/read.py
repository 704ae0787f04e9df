"""Reads annotations of any known format: finds images, names classes, checks shapes and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.checks import inverted_notes, repaired
from cemi_run.annotations.drawing import Drawing, DrawnShape
from cemi_run.annotations.files import open_file
from cemi_run.annotations.formats import format_named, format_of
from cemi_run.annotations.image_names import KnownImages, file_name
from cemi_run.annotations.legend import Naming, Unknown, name_classes
from cemi_run.annotations.mask_legend import LEGEND_FILE

_TEXTS = frozenset({".json", ".geojson", ".csv", ".roi", ".zip"})
_MASKS = frozenset({".png", ".tif", ".tiff"})


def read_annotations(
    path: str | Path | Sequence[str | Path],
    images: str | Path | Mapping[str, tuple[int, int]] | None = None,
    classes: Sequence[str | ClassLabel] | None = None,
    *,
    format: str | None = None,
    unknown: Unknown = "error",
) -> list[Annotation]:
    """Return the annotations in files of Labelme, COCO, VIA, QuPath, Label Studio, ImageJ, or in masks.

    Parameters
    ----------
    path : str, Path or sequence of them
        Files, folders and patterns. In a folder with other annotation files, PNG and TIFF files are the images.
    images : str, Path or mapping, optional
        The folder of the images, or their (height, width) in px by file name. It completes names and sizes where a
        format has none, and finds annotations of another size.
    classes : sequence of str or ClassLabel, optional
        The classes that there may be, in their order; without it, the labels in the files. For masks, the order or the
        colours say what the values mean.
    format : str, optional
        A key of `FORMATS`; without it each file is recognised by its content.
    unknown : {"error", "ignore"}
        What happens to labels that are not among ``classes``.

    Returns
    -------
    list of Annotation
        One for each image, all with the same classes, in the order of the files. ``notes`` say what was repaired or
        could not be kept.

    Raises
    ------
    InputError
        A file is damaged or of no known format, a label is unknown, sizes do not fit, or an image was annotated twice
        and differently.
    """
    declared = None if classes is None else tuple(ClassLabel(c) if isinstance(c, str) else c for c in classes)
    known = KnownImages(images)
    drawings: list[Drawing] = []
    legend: list[ClassLabel] = []
    for file_path in annotation_files(path):
        file = open_file(file_path)
        chosen = format_named(format) if format else format_of(file)
        if not chosen.recognises(file):
            raise InputError(f"'{file_path}' is not of the format '{format}'")
        found = chosen.read(file, declared)
        drawings += found.drawings
        legend += found.legend
    used: dict[str, str] = {}
    for drawing in drawings:
        for label in (*(shape.label for shape in drawing.shapes), *drawing.mask_labels):
            used.setdefault(label, drawing.source)
    naming = name_classes(legend, used, declared, unknown)
    annotations = [_annotation(drawing, naming, known) for drawing in drawings]
    annotations = _each_image_once(annotations, [drawing.source for drawing in drawings])
    told = inverted_notes(annotations)
    return [replace(a, notes=(*a.notes, note)) if note else a for a, note in zip(annotations, told, strict=True)]


def annotation_files(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the annotation files that files, folders and patterns name, in natural order.

    Raises
    ------
    InputError
        There are none.
    """
    entries = [path] if isinstance(path, str | Path) else list(path)
    found = find_files([str(entry) for entry in entries], _TEXTS | _MASKS, "annotations")
    named = {Path(entry) for entry in entries}
    kept = [file for file in found if file.name != LEGEND_FILE or file in named]
    if any(file.suffix.lower() in _TEXTS for file in kept):
        kept = [file for file in kept if file.suffix.lower() in _TEXTS or file in named]
    if not kept:
        raise InputError(f"there are no annotations in {', '.join(str(entry) for entry in entries)}")
    return kept


def _annotation(drawing: Drawing, naming: Naming, known: KnownImages) -> Annotation:
    """Return a drawing with its image found, its labels named and its shapes checked."""
    notes = list(drawing.notes)
    name, size = file_name(drawing.image), drawing.shape
    found = known.find(name)
    if found is not None:
        drawing, told = _fitted(drawing, known.shape(found), found)
        name, size = found, known.shape(found)
        notes += told
    elif known.known:
        notes.append(f"there is no image '{name}'" if drawing.named else "no image of this name was found")
    if size is None:
        size = _extent(drawing.shapes)
        notes.append(f"the size of the image is unknown; {size[1]} x {size[0]} px hold all shapes")
    used = dict.fromkeys([shape.label for shape in drawing.shapes] + list(drawing.mask_labels))
    notes += dict.fromkeys(naming.notes[label] for label in used if label in naming.notes)
    shapes, told = repaired([_named(s, naming.index[s.label]) for s in drawing.shapes if s.label in naming.index], size)
    notes += told
    mask = None if drawing.mask is None else _class_mask(drawing.mask, drawing.mask_labels, naming)
    if not shapes and (mask is None or not (mask >= 0).any()):
        notes.append("nothing is annotated")
    return Annotation(name, size, naming.classes, tuple(shapes), mask, tuple(notes))


def _named(shape: DrawnShape, class_index: int) -> AnnotatedShape:
    return AnnotatedShape(shape.kind, class_index, shape.outline_px, shape.holes_px, shape.group, shape.width_px)


def _class_mask(mask: NDArray[np.int32], labels: tuple[str, ...], naming: Naming) -> NDArray[np.int32]:
    indices = np.array([*(naming.index.get(label, -1) for label in labels), -1], np.int32)
    classes: NDArray[np.int32] = indices[mask]  # the last entry is that of -1
    return classes


def _extent(shapes: Sequence[DrawnShape]) -> tuple[int, int]:
    """Return the smallest image (height, width) that holds all shapes, px."""
    points = np.concatenate([np.zeros((1, 2)), *(shape.outline_px for shape in shapes)])
    height, width = np.maximum(1, np.ceil(points.max(0) + 0.5 - 1e-6)).astype(int)
    return int(height), int(width)


def _fitted(drawing: Drawing, size: tuple[int, int], name: str) -> tuple[Drawing, list[str]]:
    """Return a drawing in the pixels of its image, rescaled by a whole factor if need be.

    Raises
    ------
    InputError
        The sizes are not multiples of each other.
    """
    if drawing.shape is None or drawing.shape == size:
        return drawing, []
    (height, width), (given_height, given_width) = size, drawing.shape
    told = f"{given_width} x {given_height} px, and image '{name}' {width} x {height} px"
    what = "mask" if drawing.mask is not None else "annotation"
    enlarged = height % given_height == 0 and height // given_height * given_width == width
    reduced = given_height % height == 0 and given_height // height * width == given_width
    if not enlarged and not reduced:
        raise InputError(f"the {what} in '{drawing.source}' is of {told}; they must be of one size, or whole multiples")
    factor = height // given_height if enlarged else given_height // height
    scale = height / given_height
    shapes = tuple(
        replace(
            shape,
            outline_px=(shape.outline_px + 0.5) * scale - 0.5,
            holes_px=tuple((hole + 0.5) * scale - 0.5 for hole in shape.holes_px),
            width_px=None if shape.width_px is None else shape.width_px * scale,
        )
        for shape in drawing.shapes
    )
    mask = drawing.mask
    if mask is not None:
        half = factor // 2
        mask = mask.repeat(factor, 0).repeat(factor, 1) if enlarged else mask[half::factor, half::factor]
    word = "enlarged" if enlarged else "reduced"
    note = f"the {what} is of {told}: it was {word} by a factor of {factor}"
    return replace(drawing, shapes=shapes, mask=mask, shape=size), [note]


def _each_image_once(annotations: list[Annotation], sources: list[str]) -> list[Annotation]:
    """Return one annotation for each image; those that say the same are one.

    Raises
    ------
    InputError
        Two of one image differ.
    """
    first: dict[str, int] = {}
    kept = list(annotations)
    for number, annotation in enumerate(annotations):
        earlier = first.setdefault(annotation.image, number)
        if earlier == number:
            continue
        if not _same(annotations[earlier], annotation):
            where = f"'{sources[earlier]}'" + (
                f" and '{sources[number]}'" if sources[number] != sources[earlier] else ""
            )
            raise InputError(f"image '{annotation.image}' is annotated twice, and differently, in {where}; keep one")
        note = "the image is annotated twice, both times the same; it was read once"
        if note not in kept[earlier].notes:
            kept[earlier] = replace(kept[earlier], notes=(*kept[earlier].notes, note))
    return [kept[number] for number in sorted(first.values())]


def _same(one: Annotation, other: Annotation) -> bool:
    if one.shape != other.shape or len(one.shapes) != len(other.shapes) or (one.mask is None) != (other.mask is None):
        return False
    if one.mask is not None and other.mask is not None and not np.array_equal(one.mask, other.mask):
        return False
    pairs = zip(one.shapes, other.shapes, strict=True)
    return all(
        (a.kind, a.class_index, len(a.holes_px)) == (b.kind, b.class_index, len(b.holes_px))
        and all(
            np.array_equal(p, q) for p, q in zip((a.outline_px, *a.holes_px), (b.outline_px, *b.holes_px), strict=True)
        )
        for a, b in pairs
    )
