"""From shapes to pixels: a pixel belongs to an area if its centre does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_core.model.mosaic import Box
from cemi_run.annotations.geometry import Outline, Vertices

#: Names of a class that stands for what nobody drew.
BACKGROUND_NAMES = frozenset({"background", "_background_", "bg"})
_NO_BOX = Box(0, 0, 0, 0)


def background_index(classes: tuple[ClassLabel, ...]) -> int | None:
    """Return the class that stands for what nobody drew, if the legend has one."""
    return next((k for k, label in enumerate(classes) if label.name.casefold() in BACKGROUND_NAMES), None)


def rasterize(annotation: Annotation) -> NDArray[np.int32]:
    """Return the class of each pixel of an annotation.

    Parameters
    ----------
    annotation : Annotation
        Its shapes are drawn in their order over its mask, if it has one. Outlines are filled by the even-odd rule;
        lines have their width (1 px where none is known), a point marks the pixel that it lies in.

    Returns
    -------
    ndarray of int32, shape (h, w)
        Index into ``annotation.classes``. Where nothing was drawn: the class named "background" if there is one,
        else -1.
    """
    if annotation.mask is not None:
        mask = annotation.mask.copy()
    else:
        background = background_index(annotation.classes)
        mask = np.full(annotation.shape, -1 if background is None else background, np.int32)
    for shape in annotation.shapes:
        box, covered = covered_pixels(shape, annotation.shape)
        mask[box.slices][covered] = shape.class_index
    return mask


def covered_pixels(shape: AnnotatedShape, size: tuple[int, int]) -> tuple[Box, NDArray[np.bool_]]:
    """Return which pixels one shape covers, as a box of an image of ``size`` (h, w) and a mask of that box."""
    if shape.kind == "area":
        return filled(Outline(shape.outline_px, shape.holes_px), size)
    if shape.kind == "line":
        return _drawn_line(shape.outline_px, shape.width_px or 1.0, size)
    pixels = np.rint(shape.outline_px).astype(np.int64)
    pixels = pixels[((pixels >= 0) & (pixels < size)).all(1)]
    box = _box_around(pixels.astype(np.float64), 0.0, size)
    marked = np.zeros((box.height, box.width), np.bool_)
    marked[pixels[:, 0] - box.y, pixels[:, 1] - box.x] = True
    return box, marked


def filled(outline: Outline, size: tuple[int, int]) -> tuple[Box, NDArray[np.bool_]]:
    """Return the pixels whose centre lies in an area with holes, as a box and a mask of that box.

    A centre on the outline belongs to the area that lies right of and below it, so that of two areas with a common
    edge exactly one has the pixel.
    """
    box = _box_around(np.concatenate(outline.rings), 0.0, size)
    if not box.height * box.width:
        return box, np.zeros((box.height, box.width), np.bool_)
    width = box.width + 1
    flips = np.zeros(box.height * width, np.int64)
    for ring in outline.rings:
        rows, columns = _crossings(ring, box)
        flips += np.bincount(rows * width + columns, minlength=len(flips))
    odd = (flips & 1).astype(np.bool_).reshape(box.height, width)
    inside: NDArray[np.bool_] = np.logical_xor.accumulate(odd, axis=1)[:, :-1]
    return box, inside


def _crossings(ring: Vertices, box: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where a ring crosses the rows of a box: row, and the first column whose centre lies right of it."""
    start, end = ring, np.roll(ring, -1, axis=0)
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first = np.clip(np.ceil(low), box.y, box.y + box.height).astype(np.int64)
    stop = np.clip(np.ceil(high), box.y, box.y + box.height).astype(np.int64)
    counts = stop - first
    edge = np.repeat(np.arange(len(ring)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (rows - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    x = start[edge, 1] + share * (end[edge, 1] - start[edge, 1])
    columns = np.clip(np.ceil(x), box.x, box.x + box.width).astype(np.int64)
    return rows - box.y, columns - box.x


def _drawn_line(line: Vertices, width_px: float, size: tuple[int, int]) -> tuple[Box, NDArray[np.bool_]]:
    """Return the pixels whose centre lies within half the width of a line."""
    radius = width_px / 2
    box = _box_around(line, radius, size)
    covered = np.zeros((box.height, box.width), np.bool_)
    for start, end in pairwise(line):
        part = _box_around(np.stack([start, end]), radius, size)
        if not part.height * part.width:
            continue
        y = np.arange(part.y, part.y + part.height)[:, None] - start[0]
        x = np.arange(part.x, part.x + part.width)[None, :] - start[1]
        along_y, along_x = end - start
        length = along_y**2 + along_x**2
        share = np.clip((y * along_y + x * along_x) / length, 0, 1) if length else np.zeros(1)
        near = (y - share * along_y) ** 2 + (x - share * along_x) ** 2 <= radius**2 + 1e-9
        top, left = part.y - box.y, part.x - box.x
        covered[top : top + part.height, left : left + part.width] |= near
    return box, covered


def _box_around(points: Vertices, margin: float, size: tuple[int, int]) -> Box:
    """Return the pixels of an image whose centres can lie within ``margin`` px of some points' bounding box."""
    if not len(points):
        return _NO_BOX
    low = np.ceil(points.min(0) - margin).astype(np.int64)
    high = np.floor(points.max(0) + margin).astype(np.int64) + 1
    return Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])).clipped(size)
