"""Labelme: one JSON file for each image (https://github.com/wkentaro/labelme, ``labelme/_label_file.py``).

Shapes are drawn on a canvas whose origin is the corner of the first pixel; only the corners of a shape "mask" are
indices of pixels. Labelme has no holes: an area with holes is written as a mask.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.bridges import unbridged
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.fields import image_shape, pairs
from cemi_run.annotations.files import AnnotationFile, written_by
from cemi_run.annotations.geometry import CORNER_PX, Outline, ellipse, rectangle
from cemi_run.annotations.outlines import outlines
from cemi_run.annotations.raster import filled

#: The version whose files these are; Labelme shows it and does not require it.
_VERSION = "5.5.0"
_LINES = frozenset({"line", "linestrip"})
_POINTS = frozenset({"point", "points"})
_POLYGONS = frozenset({"polygon", "oriented_rectangle", "rotation", "quadrilateral"})
_NUMBER_OF_POINTS = {"circle": 2, "rectangle": (2, 4), "mask": 2}


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is Labelme's."""
    return isinstance(file.data, dict) and isinstance(file.data.get("shapes"), list) and "imagePath" in file.data


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return what a Labelme file says of its image.

    Raises
    ------
    InputError
        A shape is of an unknown type or has the wrong number of points.
    """
    data = file.data
    with written_by("Labelme", file.path):
        where = f"'{file.path}'"
        size = image_shape(data.get("imageHeight"), data.get("imageWidth"), where) or _embedded_size(
            data.get("imageData")
        )
        groups = Groups({entry["group_id"] for entry in data["shapes"] if isinstance(entry.get("group_id"), int)})
        shapes: list[DrawnShape] = []
        for position, entry in enumerate(data["shapes"], 1):
            shapes += _shapes(entry, groups, f"{where}, shape {position}")
    drawing = Drawing(str(data["imagePath"] or file.path.stem), size, tuple(shapes), source=str(file.path))
    return Drawings((drawing,))


def _shapes(entry: dict[str, Any], groups: Groups, where: str) -> list[DrawnShape]:
    label, kind = str(entry["label"]), entry.get("shape_type") or "polygon"  # files before version 3 name no type
    group = entry.get("group_id")
    group = group if isinstance(group, int) else None
    points = pairs(entry["points"], where) - CORNER_PX
    wanted = _NUMBER_OF_POINTS.get(kind)
    if wanted is not None and len(points) not in (wanted if isinstance(wanted, tuple) else (wanted,)):
        raise InputError(f"{where}: a {kind} has {len(points)} points")
    if kind == "mask":
        parts = _mask_parts(entry, points + CORNER_PX, where)
        return areas(label, parts, group if len(parts) < 2 or group is not None else groups.new())
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        parts = [Outline(ellipse((float(points[0, 0]), float(points[0, 1])), (radius, radius)))]
    elif kind == "rectangle" and len(points) == 2:
        parts = [Outline(rectangle(*points.min(0), *points.max(0)))]
    elif kind in _POLYGONS or kind == "rectangle":
        parts = unbridged(points)
    elif kind in _LINES or kind in _POINTS:
        return [DrawnShape(label, "line" if kind in _LINES else "points", points, group=group)]
    else:
        raise InputError(f"{where}: shape_type '{kind}' is unknown")
    return areas(label, parts, group if len(parts) < 2 or group is not None else groups.new())


def _mask_parts(entry: dict[str, Any], corners: NDArray[np.float64], where: str) -> list[Outline]:
    """Return the areas of a shape "mask", whose first point is the index (x, y) of its first pixel."""
    mask = _decoded(entry.get("mask"), where)
    shift = np.floor(corners.min(0))
    return [Outline(part.outline_px + shift, tuple(hole + shift for hole in part.holes_px)) for part in outlines(mask)]


def _decoded(text: Any, where: str) -> NDArray[np.bool_]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",)) as image:
            plain = image if image.mode in ("1", "L", "P", "I", "I;16") else image.convert("L")
            mask: NDArray[np.bool_] = np.asarray(plain) > 0
            return mask
    except (TypeError, ValueError, binascii.Error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: its mask is not a PNG in base64 ({error})") from None


def _embedded_size(text: Any) -> tuple[int, int] | None:
    """Return (height, width) of the image that old files carry in themselves."""
    if not isinstance(text, str):
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG", "JPEG", "TIFF")) as image:
            return image.height, image.width
    except (ValueError, binascii.Error, OSError, SyntaxError, Image.DecompressionBombError):
        return None


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write the Labelme file of one annotation; return what it could not keep.

    Parameters
    ----------
    annotations : sequence of Annotation
        One.
    path : Path
        Labelme looks for the image beside it.
    """
    (annotation,) = annotations
    shapes = [_written(shape, annotation) for shape in annotation.shapes]
    content: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": [entry for entry in shapes if entry],
        "imagePath": annotation.image,
        "imageData": None,
        "imageHeight": annotation.shape[0],
        "imageWidth": annotation.shape[1],
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    wide = any(shape.width_px is not None for shape in annotation.shapes)
    return ["Labelme has no widths of lines; they were left out"] if wide else []


def _written(shape: AnnotatedShape, annotation: Annotation) -> dict[str, Any] | None:
    points, mask = (shape.outline_px[:, ::-1] + CORNER_PX).round(3), None
    if shape.kind == "area" and shape.holes_px:
        box, covered = filled(Outline(shape.outline_px, shape.holes_px), annotation.shape)
        if not covered.any():
            return None
        points = np.array([[box.x, box.y], [box.x + box.width - 1, box.y + box.height - 1]])
        kind, mask = "mask", _encoded(covered)
    elif shape.kind == "area":
        kind = "polygon"
    elif shape.kind == "line":
        kind = "line" if len(points) == 2 else "linestrip"
    else:
        kind = "point" if len(points) == 1 else "points"
    return {
        "label": annotation.classes[shape.class_index].name,
        "points": points.tolist(),
        "group_id": shape.group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": mask,
    }


def _encoded(mask: NDArray[np.bool_]) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
