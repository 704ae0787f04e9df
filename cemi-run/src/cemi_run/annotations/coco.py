"""COCO: one JSON file for all images, with categories (https://cocodataset.org/#format-data).

Polygons and boxes are measured from the corner of the first pixel, keypoints from its centre (detectron2, ``datasets``:
COCO's keypoints are indices of pixels). Several polygons of one annotation are parts of one object. Holes exist in run
lengths only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations import coco_rle
from cemi_run.annotations.bridges import unbridged
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.fields import alternating, image_shape, number
from cemi_run.annotations.files import AnnotationFile, written_by
from cemi_run.annotations.geometry import CORNER_PX, Outline, area_and_centroid, rectangle
from cemi_run.annotations.grouping import grouped
from cemi_run.annotations.legend import hex_colour, rgb
from cemi_run.annotations.outlines import outlines
from cemi_run.annotations.raster import covered_pixels


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is COCO: a detection set, or the list of results that a network gave."""
    data = file.data
    if isinstance(data, dict):
        return isinstance(data.get("annotations"), list) and ("images" in data or "categories" in data)
    return isinstance(data, list) and bool(data) and all(isinstance(e, dict) and "image_id" in e for e in data[:5])


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return what a COCO file says; every image is named, those without annotations too.

    Raises
    ------
    InputError
        There are no images or categories, or an annotation is not as COCO has it.
    """
    data = file.data
    if isinstance(data, list) or not data.get("images"):
        raise InputError(f"'{file.path}' has annotations and no 'images', so names and sizes are unknown; add them")
    with written_by("COCO", file.path):
        categories = {entry["id"]: _category(entry) for entry in data.get("categories", [])}
        images = {entry["id"]: entry for entry in data["images"]}
        shapes: dict[Any, list[DrawnShape]] = {key: [] for key in images}
        notes: dict[Any, list[str]] = {key: [] for key in images}
        groups = Groups()
        for position, entry in enumerate(data["annotations"]):
            where = f"'{file.path}', annotation {entry.get('id', position)}"
            if entry.get("image_id") not in images:
                raise InputError(f"{where}: there is no image with id {entry.get('image_id')!r}")
            if entry.get("category_id") not in categories:
                known = ", ".join(f"{key}: {label.name}" for key, label in categories.items())
                raise InputError(
                    f"{where}: no category has id {entry.get('category_id')!r} (there are {known or 'none'})"
                )
            image = images[entry["image_id"]]
            size = image_shape(image.get("height"), image.get("width"), where)
            found, told = _shapes(entry, categories[entry["category_id"]].name, size, groups, where)
            shapes[entry["image_id"]] += found
            notes[entry["image_id"]] += told
        drawings = tuple(
            Drawing(
                str(image["file_name"]),
                image_shape(image.get("height"), image.get("width"), f"'{file.path}', image {key}"),
                tuple(shapes[key]),
                notes=_counted(notes[key]),
                source=str(file.path),
            )
            for key, image in images.items()
        )
    return Drawings(drawings, tuple(categories.values()))


def _category(entry: dict[str, Any]) -> ClassLabel:
    colour = entry.get("color")
    named = hex_colour(*colour[:3]) if isinstance(colour, list) and len(colour) >= 3 else ""
    return ClassLabel(str(entry["name"]), str(entry["name"]), named)


def _counted(notes: list[str]) -> tuple[str, ...]:
    """Return each sentence once, with how many annotations it is about."""
    return tuple(f"{notes.count(note)} {note}" for note in dict.fromkeys(notes))


def _shapes(
    entry: dict[str, Any], label: str, size: tuple[int, int] | None, groups: Groups, where: str
) -> tuple[list[DrawnShape], list[str]]:
    """Return the shapes of one annotation, and what is to be said of it."""
    segmentation, notes = entry.get("segmentation"), []
    if entry.get("iscrowd"):
        notes.append("crowd regions (iscrowd), each of many objects, were read as one object each")
    if isinstance(segmentation, dict):
        parts = outlines(coco_rle.decode(segmentation, size, where))
        return areas(label, parts, groups.new() if len(parts) > 1 else None), notes
    if segmentation:
        parts = []
        for polygon in segmentation:
            if isinstance(polygon, list) and len(polygon) == 4:  # pycocotools takes four numbers for a box
                parts.append(Outline(_box(polygon, where)))
                notes.append("polygons of four numbers were read as boxes")
                continue
            parts += unbridged(alternating(polygon, where) - CORNER_PX)
        return areas(label, parts, groups.new() if len(parts) > 1 else None), notes
    if entry.get("keypoints"):
        points = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
        seen = alternating(points[points[:, 2] > 0, :2].ravel().tolist(), where)
        return [DrawnShape(label, "points", seen)] if len(seen) else [], notes
    if entry.get("bbox"):
        return [DrawnShape(label, "area", _box(entry["bbox"], where))], [
            *notes,
            "boxes without an outline were read as areas",
        ]
    return [], [*notes, "annotations have neither outline nor box and were left out"]


def _box(values: list[Any], where: str) -> Any:
    x, y, width, height = (number(value, "its box", where) for value in values)
    return rectangle(y, x, y + height, x + width) - CORNER_PX


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write one COCO file; return what it could not keep.

    Parameters
    ----------
    annotations : sequence of Annotation
        All with the same classes. Objects with holes become run lengths (whole pixels); lines become areas of their
        width.
    path : Path
    """
    classes = annotations[0].classes if annotations else ()
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    lines = 0
    for image_id, annotation in enumerate(annotations, 1):
        height, width = annotation.shape
        images.append({"id": image_id, "width": width, "height": height, "file_name": annotation.image})
        for parts in grouped(annotation.shapes):
            lines += parts[0].kind == "line"
            entry = {"id": len(entries) + 1, "image_id": image_id, "category_id": parts[0].class_index + 1}
            entries.append(entry | _entry(parts, annotation.shape))
    categories = _categories(classes, entries)
    with atomic_path(path) as temporary:
        content = {"info": {"description": "annotations written by CEMI"}, "images": images, "annotations": entries}
        text = json.dumps(content | {"categories": categories}, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return [f"COCO has no lines: {lines} were written as areas of their width"] if lines else []


def _categories(classes: tuple[ClassLabel, ...], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the categories, and give every annotation of one as many keypoints; those that it lacks are 0, 0, 0."""
    most: dict[int, int] = {}
    for entry in entries:
        most[entry["category_id"]] = max(most.get(entry["category_id"], 0), entry["num_keypoints"])
    for entry in entries:
        entry["keypoints"] += [0] * (3 * most[entry["category_id"]] - len(entry["keypoints"]))
        if not entry["keypoints"]:
            del entry["keypoints"], entry["num_keypoints"]
    categories = []
    for number_of, label in enumerate(classes, 1):
        category = {"id": number_of, "name": label.name, "supercategory": "", "color": list(rgb(label.colour))}
        if most.get(number_of):
            category |= {"keypoints": [f"point {k + 1}" for k in range(most[number_of])], "skeleton": []}
        categories.append(category)
    return categories


def _entry(parts: list[AnnotatedShape], size: tuple[int, int]) -> dict[str, Any]:
    segmentation: Any
    points = np.concatenate([part.outline_px for part in parts])
    if parts[0].kind == "points":
        x, y = points[:, 1], points[:, 0]
        keypoints = np.stack([x.round(3), y.round(3), np.full(len(x), 2)], 1).ravel().tolist()
        area, segmentation = 0.0, []
    elif parts[0].kind == "area" and not any(part.holes_px for part in parts):
        keypoints, area = [], area_and_centroid(Outline(part.outline_px) for part in parts)[0]
        segmentation = [(part.outline_px[:, ::-1] + CORNER_PX).round(3).ravel().tolist() for part in parts]
    else:
        mask = np.zeros(size, np.bool_)
        for part in parts:
            box, covered = covered_pixels(part, size)
            mask[box.slices] |= covered
        keypoints, area, segmentation = [], float(mask.sum()), coco_rle.encode(mask)
    low, high = points.min(0) + CORNER_PX, points.max(0) + CORNER_PX
    box_xywh = [low[1], low[0], high[1] - low[1], high[0] - low[0]]
    return {
        "iscrowd": 0,
        "segmentation": segmentation,
        "area": round(area, 3),
        "bbox": [round(float(value), 3) for value in box_xywh],
        "keypoints": keypoints,
        "num_keypoints": len(keypoints) // 3,
    }
