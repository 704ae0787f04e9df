"""ImageJ and Fiji: regions of interest as ``.roi``, and sets of them as ``.zip`` (ij.io.RoiDecoder, read with roifile).

Integer coordinates of an area are the corners of pixels, those of lines and points their centres (ij.gui.Roi). The
format names neither the image nor classes: a class is the property "class" of a region, or its name without the number
at the end. ImageJ names a region ``0123-0456`` after its place unless a person does.
"""

from __future__ import annotations

import io
import logging
import math
import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.bridges import unbridged
from cemi_run.annotations.drawing import Drawing, Drawings, DrawnShape, Groups, areas
from cemi_run.annotations.fields import checked_vertices
from cemi_run.annotations.files import AnnotationFile, zip_entries
from cemi_run.annotations.geometry import CORNER_PX, Outline, Vertices, ellipse, nested, opened, rectangle
from cemi_run.annotations.grouping import grouped
from cemi_run.annotations.legend import rgb

logging.getLogger("roifile").setLevel(logging.CRITICAL)  # what matters of it is told in our own words
_AREAS = frozenset({ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED})
_LINES = frozenset({ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE, ROI_TYPE.ANGLE})
_AUTOMATIC_NAME = re.compile(r"^[0-9]+([-_][0-9]+)*$|^$|^[0-9a-f]{8}-[0-9a-f-]{27}$")
_NUMBER_AT_END = re.compile(r"[\s_\-#:.]*[0-9]+([\s_\-][0-9]+)*$")
_CLASS_PROPERTIES = ("class", "label", "category", "type")
_LARGEST_INTEGER = 30_000


def recognises(file: AnnotationFile) -> bool:
    """Return whether a file is a region, or a zip file with regions."""
    if file.start.startswith(b"Iout"):
        return True
    if not file.start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(file.path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return True  # a damaged zip is told by `read`


def read(file: AnnotationFile, classes: Sequence[ClassLabel] | None = None) -> Drawings:
    """Return the regions of a file.

    Raises
    ------
    InputError
        It is damaged, or unpacks to more than any set of regions has.
    """
    notes: list[str] = []
    if file.start.startswith(b"Iout"):
        entries = [(file.path.name, file.path.read_bytes())]
    else:
        entries, notes = zip_entries(file.path, ".roi")
        if not entries:
            raise InputError(f"'{file.path}' holds no regions (.roi)")
    rois = [_decoded(content, f"'{file.path}', {name}") for name, content in entries]
    groups = Groups({int(g) for g in (_property(roi, "group") for roi in rois) if g.isdecimal()})
    shapes: list[DrawnShape] = []
    skipped: dict[str, int] = {}
    for roi, (name, _) in zip(rois, entries, strict=True):
        found = _shapes(roi, groups, f"'{file.path}', {name}")
        shapes += found
        if not found:
            kind = roi.subtype.name if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE) else roi.roitype.name
            skipped[kind.lower()] = skipped.get(kind.lower(), 0) + 1
    notes += [f"{count} regions of the kind '{kind}' were left out" for kind, count in skipped.items()]
    if len({(roi.position, roi.z_position, roi.t_position) for roi in rois}) > 1:
        notes.append("regions of several slices were read as of one image")
    if any(roi.counters is not None and len(np.unique(roi.counters)) > 1 for roi in rois):
        notes.append("the counters of points were not kept")
    drawing = Drawing(file.path.stem, None, tuple(shapes), notes=tuple(notes), source=str(file.path), named=False)
    colours = {_label(roi): roi.hexcolor(roi.stroke_color, default="") or "" for roi in reversed(rois)}
    legend = tuple(
        ClassLabel(label, label, colours[label]) for label in dict.fromkeys(s.label for s in shapes) if label
    )
    return Drawings((drawing,), legend)


def _decoded(content: bytes, where: str) -> ImagejRoi:
    try:
        roi = ImagejRoi.frombytes(content)
    except (ValueError, TypeError, struct.error, UnicodeDecodeError, IndexError, MemoryError) as error:
        raise InputError(f"{where}: it is damaged or no region of ImageJ ({error})") from None
    return roi


def _property(roi: ImagejRoi, name: str) -> str:
    """Return one of a region's properties, which are lines ``name: value``."""
    for line in roi.props.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip().casefold() == name:
            return value.strip()
    return ""


def _label(roi: ImagejRoi) -> str:
    for name in _CLASS_PROPERTIES:
        value = _property(roi, name)
        if value:
            return value
    name = roi.name.removesuffix(".roi").strip()
    if _AUTOMATIC_NAME.match(name):
        return f"group {roi.group}" if roi.group else ""
    return _NUMBER_AT_END.sub("", name) or name


def _shapes(roi: ImagejRoi, groups: Groups, where: str) -> list[DrawnShape]:
    """Return the shapes of one region; none if it is a text, an image or an arrow."""
    label, text = _label(roi), _property(roi, "group")
    group = int(text) if text.isdecimal() else None
    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW):
        return []
    if roi.roitype == ROI_TYPE.POINT or roi.roitype in _LINES or roi.roitype == ROI_TYPE.LINE:
        points = checked_vertices(np.asarray(roi.coordinates(), np.float64)[:, ::-1], where)
        if roi.roitype == ROI_TYPE.POINT:
            return [DrawnShape(label, "points", points, group=group)]
        width = roi.float_stroke_width or roi.stroke_width
        return [DrawnShape(label, "line", points, (), group, float(width) if width > 0 else None)]
    parts = _parts(roi, where)
    return areas(label, parts, group if len(parts) < 2 or group is not None else groups.new())


def _parts(roi: ImagejRoi, where: str) -> list[Outline]:
    """Return the areas of a region."""
    if roi.multi_coordinates is not None:
        rings = [checked_vertices(ring[:, ::-1] - CORNER_PX, where) for ring in _paths(roi.multi_coordinates, where)]
        return nested([opened(ring) for ring in rings])
    if roi.subtype in (ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT) and roi.roitype == ROI_TYPE.FREEHAND:
        return [Outline(checked_vertices(_along_axis(roi) - CORNER_PX, where))]
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        top, left, bottom, right = float(roi.top), float(roi.left), float(roi.bottom), float(roi.right)
        if roi.subpixelrect:
            top, left, bottom, right = roi.yd, roi.xd, roi.yd + roi.heightd, roi.xd + roi.widthd
        box = checked_vertices(rectangle(top, left, bottom, right) - CORNER_PX, where)
        if roi.roitype == ROI_TYPE.RECT:
            return [Outline(box)]
        middle, half = (box[0] + box[2]) / 2, (box[2] - box[0]) / 2
        return [Outline(ellipse((middle[0], middle[1]), (half[0], half[1])))]
    if roi.roitype not in _AREAS:
        return []
    return unbridged(checked_vertices(np.asarray(roi.coordinates(), np.float64)[:, ::-1] - CORNER_PX, where))


def _along_axis(roi: ImagejRoi) -> Vertices:
    """Return an ellipse or a turned rectangle: its axis from (x1, y1) to (x2, y2), and aspect ratio or width."""
    packed = struct.pack(
        ">BBh", roi.arrow_style_or_aspect_ratio & 255, roi.arrow_head_size & 255, roi.rounded_rect_arc_size
    )
    across = struct.unpack(">f", packed)[0]
    start, end = np.array([roi.y1, roi.x1], np.float64), np.array([roi.y2, roi.x2], np.float64)
    along = end - start
    length = float(np.hypot(*along))
    middle = (start + end) / 2
    if roi.subtype == ROI_SUBTYPE.ELLIPSE:
        turn = math.degrees(math.atan2(along[0], along[1]))
        return ellipse((middle[0], middle[1]), (length / 2 * across, length / 2), turn)
    side = np.array([along[1], -along[0]]) / (length or 1) * across / 2
    return np.array([start + side, end + side, end - side, start - side])


def _paths(values: NDArray[np.float32], where: str) -> list[NDArray[np.float64]]:
    """Return the rings (x, y) of a composite region: java.awt.geom.PathIterator's segments, curves as short lines."""
    numbers = values.astype(np.float64)
    rings: list[list[NDArray[np.float64]]] = []
    place = 0
    lengths = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}
    while place < len(numbers):
        kind = int(numbers[place]) if math.isfinite(numbers[place]) else -1
        count = lengths.get(kind, -1)
        points = numbers[place + 1 : place + 1 + max(count, 0)].reshape(-1, 2) if count >= 0 else None
        if points is None or 2 * len(points) != count or (kind and not rings):
            raise InputError(f"{where}: its composite path is damaged")
        place += 1 + count
        if kind == 0:
            rings.append([points[0]])
        elif kind == 1:
            rings[-1].append(points[0])
        elif kind in (2, 3):
            rings[-1] += _curve(np.concatenate([rings[-1][-1][None], points]))
    return [np.array(ring) for ring in rings]


def _curve(control: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return points on a Bezier curve without its first one (de Casteljau)."""
    points = []
    for share in np.linspace(0, 1, 17)[1:]:
        step = control
        while len(step) > 1:
            step = step[:-1] + share * np.diff(step, axis=0)
        points.append(step[0])
    return points


def write(annotations: Sequence[Annotation], path: Path) -> list[str]:
    """Write the set of regions of one annotation, or one region if the name ends in ``.roi``.

    Parameters
    ----------
    annotations : sequence of Annotation
        One. An object of several parts, or with holes, becomes one composite region.
    path : Path
    """
    (annotation,) = annotations
    rois: list[ImagejRoi] = []
    for parts in grouped(annotation.shapes):
        together = [parts] if parts[0].kind != "line" else [[part] for part in parts]
        for some in together:
            label = annotation.classes[some[0].class_index]
            rois.append(_written(some, label, f"{label.name}-{len(rois) + 1:04d}"))
    if path.suffix.lower() == ".roi" and len(rois) != 1:
        raise InputError(f"'{path.name}' is one region for {len(rois)} objects; name a .zip")
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".roi":
            temporary.write_bytes(rois[0].tobytes())
        else:
            temporary.write_bytes(_zipped(rois))
    return []


def _zipped(rois: list[ImagejRoi]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for roi in rois:
            # the day is fixed, so that the same annotations give the same file
            entry = re.sub(r"[^\w .-]", "_", roi.name) + ".roi"
            archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), roi.tobytes())
    return stream.getvalue()


def _written(parts: list[AnnotatedShape], label: ClassLabel, name: str) -> ImagejRoi:
    kind, shift = parts[0].kind, CORNER_PX if parts[0].kind == "area" else 0.0
    rings = [ring[:, ::-1] + shift for part in parts for ring in (part.outline_px, *part.holes_px)]
    points = np.concatenate(rings)
    roi = ImagejRoi()
    roi.name, roi.stroke_color = name, bytes((255, *rgb(label.colour)))
    properties = [f"class: {label.name}"] + ([f"group: {parts[0].group}"] if parts[0].group is not None else [])
    roi.props = "\n".join(properties) + "\n"
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    roi.left, roi.top, roi.right, roi.bottom = int(low[0]), int(low[1]), int(high[0]), int(high[1])
    if kind == "area" and len(rings) > 1:
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings]).astype(np.float32)
        roi.shape_roi_size = len(roi.multi_coordinates)
        return roi
    roi.roitype = {"area": ROI_TYPE.POLYGON, "line": ROI_TYPE.POLYLINE, "points": ROI_TYPE.POINT}[kind]
    roi.n_coordinates = len(points)
    roi.integer_coordinates = (np.rint(points) - low).astype(np.int32)
    if np.any(points != np.rint(points)) or np.abs(points).max() > _LARGEST_INTEGER:
        roi.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.subpixel_coordinates = points.astype(np.float32)
    if parts[0].width_px is not None:
        roi.float_stroke_width, roi.stroke_width = parts[0].width_px, max(1, round(parts[0].width_px))
    return roi


def _path(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ring (x, y) as moves, lines and a close."""
    segments = np.column_stack([np.ones(len(ring)), ring])
    segments[0, 0] = 0
    return np.append(segments.ravel(), 4.0)
