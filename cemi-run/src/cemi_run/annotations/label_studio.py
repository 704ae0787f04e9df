"""Label Studio: JSON and JSON-MIN exports (https://labelstud.io/guide/export).

Coordinates are percent of the image's width and height, from the corner of the first pixel. A brush holds whole pixels.
Label Studio has no holes in polygons: an area with holes is written as a brush.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations import brush_rle
from cemi_run.annotations.bridges import unbridged
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.fields import checked_vertices, image_shape, number, pairs
from cemi_run.annotations.files import AnnotationFile, written_by
from cemi_run.annotations.geometry import CORNER_PX, Outline, Vertices, ellipse, rectangle, turned
from cemi_run.annotations.outlines import outlines
from cemi_run.annotations.raster import filled

_NAMESPACE = uuid.UUID("5b7c9d62-0d0b-5f0a-8a55-1f3d5a7e9c10")
_SIZE_KEYS = ("original_height", "original_width")


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is a JSON or JSON-MIN export, or one task of it."""
    tasks = file.data if isinstance(file.data, list) else [file.data]
    return bool(tasks) and all(isinstance(task, dict) and (_is_task(task) or _is_minimal(task)) for task in tasks[:5])


def _is_task(task: dict[str, Any]) -> bool:
    return isinstance(task.get("data"), dict) and any(
        key in task for key in ("annotations", "completions", "predictions")
    )


def _is_minimal(task: dict[str, Any]) -> bool:
    return "image" in task and ("annotator" in task or "annotation_id" in task or any(_regions_in(task)))


def _regions_in(task: dict[str, Any]) -> list[Any]:
    return [
        v for v in task.values() if isinstance(v, list) and v and isinstance(v[0], dict) and "original_width" in v[0]
    ]


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return what an export says; of several annotations of one task the last that was not cancelled.

    Raises
    ------
    InputError
        A region is not as Label Studio has it, or an image was turned for annotation.
    """
    tasks = file.data if isinstance(file.data, list) else [file.data]
    with written_by("Label Studio", file.path):
        return Drawings(tuple(_drawing(task, position, file) for position, task in enumerate(tasks, 1)))


def _drawing(task: dict[str, Any], position: int, file: AnnotationFile) -> Drawing:
    where = f"'{file.path}', task {task.get('id', position)}"
    regions, notes = _minimal_regions(task) if not _is_task(task) else _task_regions(task)
    image = _image_of(task if not _is_task(task) else task["data"], regions, where)
    known = [region for region in regions if region.get("original_width")]
    size = image_shape(known[0]["original_height"], known[0]["original_width"], where) if known else None
    groups = Groups({group for group in map(_group, regions) if group is not None})
    shapes: list[DrawnShape] = []
    skipped: list[str] = []
    for number_of, region in enumerate(regions, 1):
        found = _shapes(region, groups, f"{where}, region {region.get('id', number_of)}")
        if found is None:
            skipped.append(str(region.get("type")))
        else:
            shapes += found
    if skipped:
        notes.append(f"{len(skipped)} results are not regions ({', '.join(sorted(set(skipped)))}) and were left out")
    return Drawing(image, size, tuple(shapes), notes=tuple(notes), source=str(file.path))


def _task_regions(task: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    given = task.get("annotations") or task.get("completions") or []
    kept = [entry for entry in given if isinstance(entry, dict) and not entry.get("was_cancelled")]
    notes = [f"{len(kept)} annotations of this image; the last was read"] if len(kept) > 1 else []
    if not kept:
        if task.get("predictions"):
            notes.append("there are only predictions of a network, which were not read")
        return [], notes
    merged: dict[str, dict[str, Any]] = {}
    for position, result in enumerate(kept[-1].get("result") or []):
        if result.get("type") == "relation":
            continue
        # a region drawn with a bare tool and its label come as two results with one id
        known = merged.setdefault(str(result.get("id", f"#{position}")), {})
        value = {**(known.get("value") or {}), **(result.get("value") or {})}
        known.update({k: v for k, v in result.items() if k not in known or k in ("type", *_SIZE_KEYS)})
        known["value"] = value
    return list(merged.values()), notes


def _minimal_regions(task: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    regions = [region for found in _regions_in(task) for region in found]
    return [{"value": region, **{key: region.get(key) for key in _SIZE_KEYS}} for region in regions], []


def _image_of(data: dict[str, Any], regions: list[dict[str, Any]], where: str) -> str:
    names = [data[key] for key in ("image", "img", "ocr") if isinstance(data.get(key), str)]
    names += [v for v in data.values() if isinstance(v, str) and Path(v.split("?")[0]).suffix]
    if not names:
        raise InputError(f"{where}: it names no image")
    return str(names[0])


def _group(region: dict[str, Any]) -> int | None:
    meta = region.get("meta")
    group = meta.get("group") if isinstance(meta, dict) else None
    return group if isinstance(group, int) else None


def _label(value: dict[str, Any]) -> str:
    for key, labels in value.items():
        if key.endswith("labels") and isinstance(labels, list) and labels:
            return str(labels[0])
    return ""


def _shapes(region: dict[str, Any], groups: Groups, where: str) -> list[DrawnShape] | None:
    """Return the shapes of one region; None if it is not a region."""
    value = region.get("value") or {}
    if not {"points", "rle", "x", "vertices"} & value.keys():
        return None
    size = image_shape(region.get("original_height"), region.get("original_width"), where)
    if size is None:
        raise InputError(f"{where}: it comes without the size of its image (original_width, original_height)")
    if region.get("image_rotation"):
        raise InputError(
            f"{where}: its image was turned by {region['image_rotation']} degrees; turn the file and annotate that"
        )
    label, group, scale = _label(value), _group(region), np.array(size) / 100
    if "rle" in value:
        parts = outlines(brush_rle.decode(value["rle"], size, where))
    elif "points" in value or "vertices" in value:
        given = value.get("points") or [[vertex["x"], vertex["y"]] for vertex in value["vertices"]]
        points = _scaled(pairs(given, where), scale, where) - CORNER_PX
        if value.get("closed", "points" in value) is False:
            width = (region.get("meta") or {}).get("width_px")
            return [DrawnShape(label, "line", points, (), group, float(width) if width else None)]
        parts = unbridged(points)
    else:
        at = _scaled(_pair(value["y"], value["x"], where), scale, where) - CORNER_PX
        turn = number(value.get("rotation", 0) or 0, "its rotation", where)
        if "radiusX" in value:  # x and y are the middle, whatever the documentation says (frontend, EllipseRegion.js)
            radii = _scaled(_pair(value["radiusY"], value["radiusX"], where), scale, where)
            parts = [Outline(ellipse((at[0], at[1]), (radii[0], radii[1]), turn))]
        elif "height" in value:
            low = at + _scaled(_pair(value["height"], value["width"], where), scale, where)
            parts = [Outline(turned(rectangle(*at, *low), (at[0], at[1]), turn))]
        else:
            return [DrawnShape(label, "points", at[None], group=group)]
    return areas(label, parts, group if len(parts) < 2 or group is not None else groups.new())


def _pair(y: Any, x: Any, where: str) -> Vertices:
    return np.array([number(y, "a coordinate", where), number(x, "a coordinate", where)])


def _scaled(percent: Vertices, scale: Vertices, where: str) -> Vertices:
    """Return pixels of percent, to a millionth, so that whole pixels come back as such."""
    return checked_vertices((percent * scale).reshape(-1, 2), where).reshape(percent.shape).round(6)


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write tasks that Label Studio imports; return what it could not keep.

    Parameters
    ----------
    annotations : sequence of Annotation
    path : Path
        Images are named as files of local storage (``/data/local-files/?d=NAME``). The labelling configuration must
        have tags named "polygon", "brush" and "keypoint" for an image named "image".
    """
    tasks = []
    for task_id, annotation in enumerate(annotations, 1):
        result = [entry for shape in annotation.shapes for entry in _written(shape, annotation)]
        for position, entry in enumerate(result):
            entry["id"] = uuid.uuid5(_NAMESPACE, f"{annotation.image}/{position}").hex[:10]
        address = f"/data/local-files/?d={annotation.image}"
        tasks.append({"id": task_id, "data": {"image": address}, "annotations": [{"id": task_id, "result": result}]})
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(tasks, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return []


def _written(shape: AnnotatedShape, annotation: Annotation) -> list[dict[str, Any]]:
    label = annotation.classes[shape.class_index].name
    percent = ((shape.outline_px + CORNER_PX) / np.array(annotation.shape) * 100)[:, ::-1].tolist()
    if shape.kind == "points":
        kind, values = "keypointlabels", [{"x": x, "y": y, "width": 0.5} for x, y in percent]
    elif shape.holes_px:
        box, covered = filled(Outline(shape.outline_px, shape.holes_px), annotation.shape)
        mask = np.zeros(annotation.shape, np.bool_)
        mask[box.slices] = covered
        kind, values = "brushlabels", [{"format": "rle", "rle": brush_rle.encode(mask)}]
    else:
        kind, values = "polygonlabels", [{"points": percent, "closed": shape.kind == "area"}]
    meta = {key: value for key, value in (("group", shape.group), ("width_px", shape.width_px)) if value is not None}
    common = {
        "type": kind, "from_name": kind.removesuffix("labels"), "to_name": "image", "image_rotation": 0,
        "original_width": annotation.shape[1], "original_height": annotation.shape[0],
    } | ({"meta": meta} if meta else {})  # fmt: skip
    return [common | {"value": value | {kind: [label]}} for value in values]
