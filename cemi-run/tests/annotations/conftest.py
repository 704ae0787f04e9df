"""A drawn specimen with every kind of shape, and how far two annotations differ."""

import struct
import zipfile

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import class_labels
from cemi_run.annotations import rasterize, shapes_of
from cemi_run.annotations.geometry import ellipse

SHAPE = (90, 120)


def drawn() -> Annotation:
    """Grains, one with two holes; a pore of two parts; a crack of 3 px; three atoms. Nothing overlaps."""
    grain = np.array([[4.25, 5.5], [6.0, 30.75], [30.5, 33.0], [34.0, 8.0]])
    ring = ellipse((60.0, 30.0), (22.0, 25.0))
    holes = (ellipse((52.0, 22.0), (6.0, 5.0)), ellipse((67.5, 38.25), (5.0, 7.5)))
    left, right = ellipse((20.0, 60.0), (9.0, 6.0)), ellipse((24.0, 80.0), (8.0, 5.0), 30.0)
    crack = np.array([[50.0, 70.0], [58.5, 90.0], [57.0, 110.0]])
    atoms = np.array([[75.0, 70.0], [80.0, 90.0], [82.0, 105.0]])
    return Annotation(
        "specimen 1.tif",
        SHAPE,
        class_labels(["grain", "pore", "crack line", "atom"]),
        (
            AnnotatedShape("area", 0, grain),
            AnnotatedShape("area", 0, ring, holes),
            AnnotatedShape("area", 1, left, group=7),
            AnnotatedShape("area", 1, right, group=7),
            AnnotatedShape("line", 2, crack, width_px=3.0),
            AnnotatedShape("points", 3, atoms),
        ),
    )


def named_mask(annotation: Annotation, name: str) -> np.ndarray:
    """Where a class lies, whatever its number."""
    numbers = [k for k, label in enumerate(annotation.classes) if label.name == name]
    return np.isin(rasterize(annotation), numbers)


def differing_px(one: np.ndarray, other: np.ndarray) -> float:
    """The farthest that a pixel which is in one mask only lies from the edge of the first, px."""
    padded = np.pad(one, 1)
    depth = np.maximum(ndimage.distance_transform_edt(padded), ndimage.distance_transform_edt(~padded))[1:-1, 1:-1]
    return float(np.max(depth[one != other], initial=0.0))


def hausdorff_px(one: Annotation, other: Annotation, name: str) -> float:
    """Hausdorff distance between the outlines of one class's areas, px."""
    points = [_dense(annotation, name) for annotation in (one, other)]
    if not len(points[0]) and not len(points[1]):
        return 0.0
    there, back = (cKDTree(a).query(b)[0].max() for a, b in (points, points[::-1]))
    return float(max(there, back))


def _dense(annotation: Annotation, name: str) -> np.ndarray:
    found = [np.empty((0, 2))]
    for shape in shapes_of(annotation):
        if annotation.classes[shape.class_index].name != name or shape.kind != "area":
            continue
        for ring in (shape.outline_px, *shape.holes_px):
            after = np.roll(ring, -1, axis=0)
            found += [ring + share * (after - ring) for share in np.linspace(0, 1, 25)]
    return np.concatenate(found)


def imagej_region(kind, xs, ys, name="", *, subpixel=False, version=228, box=None, tail=b"", header=b"", **fields):
    """Bytes of a region, laid out as in ij.io.RoiDecoder; ``fields`` set entries of the first header."""
    left, top = (min(xs), min(ys)) if box is None else (box[1], box[0])
    right, bottom = (max(xs), max(ys)) if box is None else (box[3], box[2])
    left, top, right, bottom = (int(value) for value in (left, top, right, bottom))
    coordinates = struct.pack(f">{len(xs)}h", *(round(x) - left for x in xs))
    coordinates += struct.pack(f">{len(ys)}h", *(round(y) - top for y in ys))
    if subpixel:
        coordinates += struct.pack(f">{len(xs)}f", *xs) + struct.pack(f">{len(ys)}f", *ys)
    coordinates += tail
    first = bytearray(64)
    first[:4] = b"Iout"
    struct.pack_into(">hBx4hH", first, 4, version, kind, top, left, bottom, right, len(xs))
    first[18 : 18 + len(header)] = header
    struct.pack_into(">h", first, 34, fields.get("stroke", 0))
    struct.pack_into(">i", first, 36, fields.get("shape_size", 0))
    struct.pack_into(">hh", first, 48, fields.get("subtype", 0), 128 if subpixel else 0)
    first[52:56] = fields.get("param", bytes(4))
    struct.pack_into(">i", first, 60, 64 + len(coordinates))
    second = bytearray(64)
    second[28] = 0
    struct.pack_into(">ii", second, 16, 128 + len(coordinates), len(name))
    second[30] = fields.get("group", 0)
    return bytes(first) + coordinates + bytes(second) + name.encode("utf-16-be")


@pytest.fixture
def specimen():
    return drawn()


@pytest.fixture
def compare():
    """Functions that compare: ``named_mask``, ``differing_px``, ``hausdorff_px``."""
    return {"named_mask": named_mask, "differing_px": differing_px, "hausdorff_px": hausdorff_px}


@pytest.fixture(scope="session")
def imagej():
    """The function `imagej_region`."""
    return imagej_region


@pytest.fixture
def zipped(tmp_path):
    """Write a zip file of (name, content)."""

    def write(name, entries):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            for entry, content in entries:
                archive.writestr(entry, content)
        return path

    return write
