"""VGG Image Annotator (VIA), versions 1 and 2: project, annotations as JSON or CSV; version 3 is in `via3`.

Regions are measured from the corner of the first pixel of the image (https://gitlab.com/vgg/via). VIA has no holes: an
area with holes is written as one polygon that walks to each hole and back.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations import via3
from cemi_run.annotations.bridges import bridged, unbridged
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.fields import columns, number
from cemi_run.annotations.files import AnnotationFile, written_by
from cemi_run.annotations.geometry import CORNER_PX, Outline, ellipse, rectangle
from cemi_run.annotations.grouping import grouped

_HEADER = (
    "filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
    "region_attributes",
)  # fmt: skip
_GROUP, _WIDTH = "group", "width_px"


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is one of VIA's: a project, exported annotations, or their CSV."""
    if via3.recognises(file):
        return True
    if file.text:
        return file.text.lstrip("#").startswith("filename,") and "region_shape_attributes" in file.text[:300]
    if not isinstance(file.data, dict):
        return False
    if "_via_img_metadata" in file.data:
        return True
    entries = list(file.data.values())[:5]
    return bool(entries) and all(isinstance(e, dict) and "filename" in e and "regions" in e for e in entries)


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return what a VIA file says; the label is the region attribute "class", "label", "type" or the only one.

    Raises
    ------
    InputError
        A region is not as VIA has it.
    """
    if via3.recognises(file):
        return via3.read(file)
    with written_by("VIA", file.path):
        entries = _csv_entries(file) if file.text else _json_entries(file.data)
        regions = [region for _, found in entries for region in found]
        attribute = label_attribute(key for region in regions for key in region.get("region_attributes") or {})
        options = _options(file.data, attribute)
        drawings = []
        for name, found in entries:
            groups = Groups({int(g) for g in map(_group, found) if g is not None})
            shapes: list[DrawnShape] = []
            for position, region in enumerate(found, 1):
                shapes += _shapes(region, attribute, groups, f"'{file.path}', {name}, region {position}")
            drawings.append(Drawing(name, None, tuple(shapes), source=str(file.path)))
    return Drawings(tuple(drawings), tuple(ClassLabel(text) for text in options))


def label_attribute(names: Iterable[str]) -> str:
    """Return which region attribute names the class; empty if there is none."""
    found = [name for name in dict.fromkeys(names) if name not in (_GROUP, _WIDTH)]
    plain = {name.strip().casefold(): name for name in reversed(found)}
    known = [plain[word] for word in via3.LABEL_WORDS if word in plain]
    return [*known, *found, ""][0]


def _options(data: Any, attribute: str) -> list[str]:
    """Return the values that a project offers for its label, in their order."""
    if not isinstance(data, dict) or not attribute:
        return []
    described = (data.get("_via_attributes") or {}).get("region", {}).get(attribute, {})
    return list(described.get("options") or {})


def _json_entries(data: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    images = data.get("_via_img_metadata", data)
    entries = []
    for image in images.values():
        regions = image["regions"]
        entries.append((str(image["filename"]), list(regions.values() if isinstance(regions, dict) else regions)))
    return entries


def _csv_entries(file: AnnotationFile) -> list[tuple[str, list[dict[str, Any]]]]:
    rows = csv.DictReader(io.StringIO(file.text.lstrip("#")))
    entries: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        regions = entries.setdefault(row["filename"], [])
        shape = json.loads(row["region_shape_attributes"] or "{}")
        if shape:
            regions.append(
                {"shape_attributes": shape, "region_attributes": json.loads(row["region_attributes"] or "{}")}
            )
    return list(entries.items())


def _group(region: dict[str, Any]) -> str | None:
    group = str((region.get("region_attributes") or {}).get(_GROUP, ""))
    return group if group.isdecimal() else None


def value_text(value: Any) -> str:
    """Return the label that an attribute's value means; of a checkbox, the boxes that are ticked."""
    if isinstance(value, dict):
        return ", ".join(str(key) for key, ticked in value.items() if ticked)
    return str(value).strip()


def _shapes(region: dict[str, Any], attribute: str, groups: Groups, where: str) -> list[DrawnShape]:
    given, attributes = region["shape_attributes"], region.get("region_attributes") or {}
    label = value_text(attributes.get(attribute, ""))
    text = _group(region)
    group = None if text is None else int(text)
    kind = given.get("name")
    if kind in ("polygon", "polyline"):
        points = columns(given["all_points_x"], given["all_points_y"], where) - CORNER_PX
        if kind == "polyline":
            width = attributes.get(_WIDTH)
            return [DrawnShape(label, "line", points, (), group, number(width, "its width", where) if width else None)]
        parts = unbridged(points)
        return areas(label, parts, group if len(parts) < 2 or group is not None else groups.new())
    if kind == "rect":
        x, y, width, height = (number(given[key], f"its {key}", where) for key in ("x", "y", "width", "height"))
        return areas(label, [Outline(rectangle(y, x, y + height, x + width) - CORNER_PX)], group)
    x, y = (number(given[key], f"its {key}", where) - CORNER_PX for key in ("cx", "cy"))
    if kind == "point":
        return [DrawnShape(label, "points", columns([x], [y], where), group=group)]
    if kind not in ("circle", "ellipse"):
        raise InputError(f"{where}: the shape '{kind}' is unknown")
    names = ("r", "r") if kind == "circle" else ("ry", "rx")
    radii = number(given[names[0]], f"its {names[0]}", where), number(given[names[1]], f"its {names[1]}", where)
    turn = number(given.get("theta", 0), "its theta", where)  # radians, since VIA 2.0.9
    return areas(label, [Outline(ellipse((y, x), radii, math.degrees(turn)))], group)


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write one VIA 2 project, or its CSV if the name ends so; return what it could not keep.

    Parameters
    ----------
    annotations : sequence of Annotation
        All with the same classes.
    path : Path
        VIA looks for the images in the folder that its settings name. VIA 3 imports projects of VIA 2.
    """
    images: dict[str, dict[str, Any]] = {}
    for annotation in annotations:
        regions = [_written(parts, annotation) for shapes in grouped(annotation.shapes) for parts in _together(shapes)]
        images[f"{annotation.image}-1"] = {
            "filename": annotation.image, "size": -1, "regions": regions, "file_attributes": {},
        }  # fmt: skip
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".csv":
            temporary.write_text(_csv(images), encoding="utf-8", newline="")
        else:
            content = _project(images, annotations[0].classes if annotations else ())
            temporary.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    holes = sum(1 for annotation in annotations for shape in annotation.shapes if shape.holes_px)
    return [f"VIA has no holes: {holes} areas with holes walk to each hole and back"] if holes else []


def _together(shapes: list[AnnotatedShape]) -> list[tuple[str, Any, AnnotatedShape]]:
    """Return the regions of one object: their shape's name, vertices, and the shape for its class and group."""
    regions: list[tuple[str, Any, AnnotatedShape]] = []
    for shape in shapes:
        if shape.kind == "points":
            regions += [("point", point, shape) for point in shape.outline_px]
        elif shape.kind == "line":
            regions.append(("polyline", shape.outline_px, shape))
        else:
            regions.append(("polygon", bridged([Outline(shape.outline_px, shape.holes_px)]), shape))
    return regions


def _written(region: tuple[str, Any, AnnotatedShape], annotation: Annotation) -> dict[str, Any]:
    name, vertices, shape = region
    corner = (vertices + CORNER_PX).round(3)
    if name == "point":
        given: dict[str, Any] = {"name": name, "cx": float(corner[1]), "cy": float(corner[0])}
    else:
        given = {"name": name, "all_points_x": corner[:, 1].tolist(), "all_points_y": corner[:, 0].tolist()}
    attributes = {"class": annotation.classes[shape.class_index].name}
    if shape.group is not None:
        attributes[_GROUP] = str(shape.group)
    if shape.width_px is not None:
        attributes[_WIDTH] = f"{shape.width_px:g}"
    return {"shape_attributes": given, "region_attributes": attributes}


def _project(images: dict[str, Any], classes: tuple[ClassLabel, ...]) -> dict[str, Any]:
    text = {"type": "text", "description": "", "default_value": ""}
    options = {label.name: label.label or label.name for label in classes}
    return {
        "_via_settings": {
            "ui": {
                "annotation_editor_height": 25,
                "annotation_editor_fontsize": 0.8,
                "leftsidebar_width": 18,
                "image_grid": {
                    "img_height": 80, "rshape_fill": "none", "rshape_fill_opacity": 0.3, "rshape_stroke": "yellow",
                    "rshape_stroke_width": 2, "show_region_shape": True, "show_image_policy": "all",
                },
                "image": {
                    "region_label": "class", "region_color": "class", "region_label_font": "10px Sans",
                    "on_image_annotation_editor_placement": "NEAR_REGION",
                },
            },
            "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
            "project": {"name": "cemi"},
        },
        "_via_img_metadata": images,
        "_via_attributes": {
            "region": {
                "class": {"type": "dropdown", "description": "", "options": options, "default_options": {}},
                _GROUP: text,
                _WIDTH: text,
            },
            "file": {},
        },
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(images),
    }  # fmt: skip


def _csv(images: dict[str, Any]) -> str:
    stream = io.StringIO()
    stream.write(",".join(_HEADER) + "\n")
    for image in images.values():
        regions = image["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
        for position, region in enumerate(regions):
            plain = [image["filename"]]
            quoted = csv.writer(stream, lineterminator="")
            quoted.writerow(plain)
            cells = [str(image["size"]), _quoted("{}"), str(len(image["regions"])), str(position)]
            cells += [_quoted(json.dumps(region[key])) for key in ("shape_attributes", "region_attributes")]
            stream.write("," + ",".join(cells) + "\n")
    return stream.getvalue()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
