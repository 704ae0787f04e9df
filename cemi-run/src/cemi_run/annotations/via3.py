"""VGG Image Annotator, version 3: project and CSV (https://gitlab.com/vgg/via, ``via-3.x.y/CodeDoc.md``)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from cemi_core.errors import InputError
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.bridges import unbridged
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.fields import alternating
from cemi_run.annotations.files import AnnotationFile, written_by
from cemi_run.annotations.geometry import CORNER_PX, Outline, Vertices, ellipse, rectangle

# _VIA_RSHAPE: what the first number of the coordinates means
_POINT, _RECTANGLE, _CIRCLE, _ELLIPSE, _LINE, _POLYLINE, _POLYGON, _EXTREME_RECTANGLE, _EXTREME_CIRCLE = range(1, 10)
_COORDINATES = {_POINT: 2, _RECTANGLE: 4, _CIRCLE: 3, _ELLIPSE: 4, _LINE: 4, _EXTREME_CIRCLE: 6}
#: Names of the attribute that is the class, the first that is there.
LABEL_WORDS = ("class", "label", "category", "type", "name")


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is a project or a CSV of VIA 3."""
    if file.text:
        return "# CSV_HEADER = metadata_id" in file.text[:20_000]
    return isinstance(file.data, dict) and {"metadata", "view", "file"} <= file.data.keys()


def read(file: AnnotationFile) -> Drawings:
    """Return what a file of VIA 3 says of images; regions of moments in a video are refused.

    Raises
    ------
    InputError
        A region is not as VIA has it.
    """
    with written_by("VIA 3", file.path):
        attributes, regions, names = _from_csv(file.text) if file.text else _from_project(file.data)
        key = _label_key(attributes)
        options = attributes.get(key, {}).get("options") or {}
        shapes: dict[str, list[DrawnShape]] = {name: [] for name in names}
        notes: dict[str, list[str]] = {name: [] for name in names}
        groups = Groups()
        for position, (name, moment, coordinates, values) in enumerate(regions, 1):
            where = f"'{file.path}', {name}, region {position}"
            if moment:
                raise InputError(f"{where}: it belongs to a moment of a video; export the frames and annotate those")
            if not coordinates:
                continue  # what is said of the image as a whole
            value = str(values.get(key, ""))
            label = str(options.get(value, value)).strip()
            shapes.setdefault(name, []).extend(_shapes(label, coordinates, groups, where))
    drawings = tuple(
        Drawing(name, None, tuple(found), notes=tuple(notes.get(name, ())), source=str(file.path))
        for name, found in shapes.items()
    )
    return Drawings(drawings, tuple(ClassLabel(str(text)) for text in options.values()))


Region = tuple[str, list[Any], list[Any], dict[str, Any]]


def _from_project(data: dict[str, Any]) -> tuple[dict[str, Any], list[Region], list[str]]:
    names = {}
    for key, view in data["view"].items():
        fids = view["fid_list"]
        names[str(key)] = str(data["file"][str(fids[0])]["fname"]) if fids else ""
    regions = [
        (names[str(m["vid"])], m.get("z") or [], m.get("xy") or [], m.get("av") or {})
        for m in data["metadata"].values()
    ]
    return data.get("attribute") or {}, regions, [name for name in names.values() if name]


def _from_csv(text: str) -> tuple[dict[str, Any], list[Region], list[str]]:
    attributes: dict[str, Any] = {}
    lines = text.splitlines()
    for line in lines:
        if line.startswith("# ATTRIBUTE"):
            attributes = json.loads(line.partition("=")[2])
    if any(isinstance(value, str) for value in attributes.values()):  # version 3.0.0 gives names alone
        attributes = {key: {"aname": value} for key, value in attributes.items()}
    rows = csv.reader(io.StringIO("\n".join(line for line in lines if line and not line.startswith("#"))))
    regions: list[Region] = []
    for _, files, _, moment, coordinates, values in (row[:6] for row in rows):
        regions.append((str(json.loads(files)[0]), json.loads(moment), json.loads(coordinates), json.loads(values)))
    return attributes, regions, list(dict.fromkeys(region[0] for region in regions))


def _label_key(attributes: dict[str, Any]) -> str:
    """Return the number of the attribute that names the class."""
    regional = {key: a for key, a in attributes.items() if str(a.get("anchor_id", "XY1")).endswith("XY1")}
    for word in LABEL_WORDS:
        for key, attribute in regional.items():
            if str(attribute.get("aname", "")).strip().casefold() == word:
                return str(key)
    return str(next(iter(regional), ""))


def _shapes(label: str, coordinates: list[Any], groups: Groups, where: str) -> list[DrawnShape]:
    kind, values = coordinates[0], coordinates[1:]
    wanted = _COORDINATES.get(kind)
    if wanted is not None and len(values) < wanted:
        raise InputError(f"{where}: its shape {kind} has {len(values)} coordinates, not {wanted}")
    points = alternating(values[: wanted or len(values)] if kind != _CIRCLE else [*values[:2], values[2], 0], where)
    at = points - CORNER_PX
    if kind == _POINT:
        return [DrawnShape(label, "points", at)]
    if kind in (_LINE, _POLYLINE):
        return [DrawnShape(label, "line", at)]
    if kind == _POLYGON:
        parts = unbridged(at)
    elif kind == _RECTANGLE:
        parts = [Outline(rectangle(*at[0], *(at[0] + points[1])))]
    elif kind == _EXTREME_RECTANGLE:
        parts = [Outline(rectangle(*at.min(0), *at.max(0)))]
    elif kind in (_CIRCLE, _ELLIPSE):
        radius_y, radius_x = points[1]
        parts = [Outline(ellipse(tuple(at[0]), (radius_x if kind == _CIRCLE else radius_y, radius_x)))]
    elif kind == _EXTREME_CIRCLE:
        parts = [Outline(_circle_through(at, where))]
    else:
        raise InputError(f"{where}: the shape {kind} is unknown")
    return areas(label, parts, groups.new() if len(parts) > 1 else None)


def _circle_through(points: Vertices, where: str) -> Vertices:
    """Return the circle through three points."""
    first, others = points[0], points[1:3] - points[0]
    if abs(np.linalg.det(others)) < 1e-9:
        raise InputError(f"{where}: its three points lie on a line, so no circle runs through them")
    to_centre = np.linalg.solve(2 * others, (others**2).sum(1))
    radius = float(np.hypot(*to_centre))
    centre = first + to_centre
    return ellipse((float(centre[0]), float(centre[1])), (radius, radius))
