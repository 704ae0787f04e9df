"""QuPath: GeoJSON with classifications (qupath ``QuPathTypeAdapters``, ``ROITypeAdapters``; RFC 7946).

Measured from the corner of the first pixel (QuPath documentation, "Exporting annotations"). The format names no image:
QuPath names the file after it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups
from cemi_run.annotations.fields import pairs
from cemi_run.annotations.files import AnnotationFile, written_by
from cemi_run.annotations.geometry import CORNER_PX, Vertices, opened
from cemi_run.annotations.grouping import grouped
from cemi_run.annotations.legend import hex_colour, rgb

_NAMESPACE = uuid.UUID("8d2f6b0e-4a7c-5c1e-9f35-3b1d0f1c2a44")


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is GeoJSON: a collection of features, one feature, or a list of them."""
    data = file.data
    if isinstance(data, list):
        return bool(data) and all(isinstance(entry, dict) and entry.get("type") == "Feature" for entry in data[:5])
    return isinstance(data, dict) and data.get("type") in ("FeatureCollection", "Feature")


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return what a GeoJSON file says; the label is the classification, or the name where there is none.

    Raises
    ------
    InputError
        A geometry is unknown or not as GeoJSON has it.
    """
    data = file.data
    with written_by("QuPath", file.path):
        features = data if isinstance(data, list) else data.get("features", [data])
        legend: dict[str, ClassLabel] = {}
        shapes: list[DrawnShape] = []
        groups, planes = Groups(), set()
        for position, feature in enumerate(features, 1):
            properties = feature.get("properties") or {}
            if properties.get("objectType") == "root":  # the whole image, which QuPath 0.2 exported too
                continue
            label = _classification(properties)
            legend.setdefault(label.name, label)
            geometry = feature["geometry"]
            planes.add(json.dumps(geometry.get("plane"), sort_keys=True))
            shapes += _shapes(geometry, label.name, groups, f"'{file.path}', feature {position}")
    notes = ("regions of several slices or channels were read as of one image",) if len(planes) > 1 else ()
    drawing = Drawing(file.path.stem, None, tuple(shapes), notes=notes, source=str(file.path), named=False)
    return Drawings((drawing,), tuple(label for name, label in legend.items() if name))


def _classification(properties: dict[str, Any]) -> ClassLabel:
    given = properties.get("classification")
    if isinstance(given, str):
        return ClassLabel(given)
    if not isinstance(given, dict) or not (given.get("name") or given.get("names")):
        return ClassLabel(str(properties.get("name") or ""))
    name = str(given["name"]) if given.get("name") else ": ".join(str(part) for part in given["names"])
    colour = given.get("color")
    if isinstance(colour, list) and len(colour) >= 3:
        return ClassLabel(name, name, hex_colour(*colour[:3]))
    packed = given.get("colorRGB")  # before version 0.4: a signed integer 0xAARRGGBB
    if isinstance(packed, int):
        return ClassLabel(name, name, hex_colour(packed >> 16, packed >> 8, packed))
    return ClassLabel(name)


def _shapes(geometry: dict[str, Any], label: str, groups: Groups, where: str) -> list[DrawnShape]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        parts = [shape for part in geometry["geometries"] for shape in _shapes(part, label, groups, where)]
        return _joined(parts, groups)
    if kind == "Polygon":
        return [_polygon(coordinates, label, where)]
    if kind == "MultiPolygon":
        return _joined([_polygon(rings, label, where) for rings in coordinates or []], groups)
    if kind == "LineString":
        return [DrawnShape(label, "line", pairs(coordinates, where) - CORNER_PX)]
    if kind == "MultiLineString":
        return _joined(
            [DrawnShape(label, "line", pairs(line, where) - CORNER_PX) for line in coordinates or []], groups
        )
    if kind in ("Point", "MultiPoint"):
        return [
            DrawnShape(label, "points", pairs([coordinates] if kind == "Point" else coordinates, where) - CORNER_PX)
        ]
    raise InputError(f"{where}: the geometry '{kind}' is unknown")


def _joined(parts: list[DrawnShape], groups: Groups) -> list[DrawnShape]:
    group = groups.new() if len(parts) > 1 else None
    return [DrawnShape(part.label, part.kind, part.outline_px, part.holes_px, group) for part in parts]


def _polygon(rings: Any, label: str, where: str) -> DrawnShape:
    if not isinstance(rings, list) or not rings:
        raise InputError(f"{where}: a polygon without an outline")
    outline, *holes = (opened(pairs(ring, where) - CORNER_PX) for ring in rings)
    return DrawnShape(label, "area", outline, tuple(holes))


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write the GeoJSON of one annotation; return what it could not keep.

    Parameters
    ----------
    annotations : sequence of Annotation
        One.
    path : Path
        Named after the image, so that it can be found again.
    """
    (annotation,) = annotations
    features = []
    for position, parts in enumerate(grouped(annotation.shapes)):
        label = annotation.classes[parts[0].class_index]
        properties: dict[str, Any] = {
            "objectType": "annotation",
            "classification": {"name": label.name, "color": list(rgb(label.colour))},
        }
        identifier = str(uuid.uuid5(_NAMESPACE, f"{annotation.image}/{position}"))
        features.append({"type": "Feature", "id": identifier, "geometry": _geometry(parts), "properties": properties})
    content = {"type": "FeatureCollection", "features": features}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    wide = any(shape.width_px is not None for shape in annotation.shapes)
    return ["GeoJSON has no widths of lines; they were left out"] if wide else []


def _geometry(parts: list[AnnotatedShape]) -> dict[str, Any]:
    if parts[0].kind == "points":
        points = [pair for part in parts for pair in _xy(part.outline_px)]
        return {"type": "Point", "coordinates": points[0]} if len(points) == 1 else {
            "type": "MultiPoint", "coordinates": points,
        }  # fmt: skip
    shapes: list[Any]
    if parts[0].kind == "line":
        name, shapes = "LineString", [_xy(part.outline_px) for part in parts]
    else:
        name, shapes = "Polygon", [[_closed(ring) for ring in (part.outline_px, *part.holes_px)] for part in parts]
    if len(shapes) == 1:
        return {"type": name, "coordinates": shapes[0]}
    return {"type": f"Multi{name}", "coordinates": shapes}


def _xy(points: Vertices) -> list[list[float]]:
    pairs_xy: list[list[float]] = (points[:, ::-1] + CORNER_PX).round(3).tolist()
    return pairs_xy


def _closed(ring: Vertices) -> list[list[float]]:
    points = _xy(ring)
    return [*points, points[0]]
