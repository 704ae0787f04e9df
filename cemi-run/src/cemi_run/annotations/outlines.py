"""From pixels to shapes: outlines that run along the edges of pixels, so that filling them gives the same pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.geometry import Outline, Vertices, opened, signed_area, simplified
from cemi_run.annotations.raster import background_index

# What an outline moves where it goes from the middle of one pixel's edge to the middle of the next, px.
_CUT_PX = 0.5**1.5


def outlines(mask: NDArray[np.bool_], tolerance_px: float = 0.0) -> list[Outline]:
    """Return the outline of each connected area of a mask, with its holes.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        Pixels are connected over their edges, not over their corners.
    tolerance_px : float
        How far an outline may leave the edges of the pixels to have fewer vertices. With 0, filling the outlines gives
        exactly the same pixels.

    Returns
    -------
    list of Outline
        In the order of each area's first pixel.
    """
    rings, pixels = _edge_rings(mask)
    labels, count = ndimage.label(mask)
    outer: list[Vertices] = [np.empty((0, 2))] * count
    holes: list[list[Vertices]] = [[] for _ in range(count)]
    for ring, (y, x) in zip(rings, pixels, strict=True):
        owner = int(labels[y, x]) - 1
        if signed_area(ring) > 0:
            outer[owner] = _fewer_vertices(ring, tolerance_px)
        else:
            holes[owner].append(_fewer_vertices(ring, tolerance_px))
    return [Outline(ring, tuple(inner)) for ring, inner in zip(outer, holes, strict=True)]


def _fewer_vertices(ring: Vertices, tolerance_px: float) -> Vertices:
    """Return a ring along pixels' edges with fewer vertices; its stairs become slopes if the tolerance allows that."""
    if tolerance_px <= _CUT_PX:
        return simplified(ring, tolerance_px)
    forth = np.sign(np.roll(ring, -1, axis=0) - ring) / 2
    slopes = np.stack([ring - np.roll(forth, 1, axis=0), ring + forth], 1).reshape(-1, 2)
    return simplified(opened(slopes), tolerance_px - _CUT_PX)


def shapes_of_mask(
    mask: NDArray[np.int32], classes: tuple[ClassLabel, ...], tolerance_px: float = 0.0
) -> tuple[AnnotatedShape, ...]:
    """Return one shape for each connected area of each class of a mask; the class "background" gives none.

    Parameters
    ----------
    mask : ndarray of int32, shape (h, w)
        Index into ``classes``; -1 where nothing is said.
    classes : tuple of ClassLabel
    tolerance_px : float
        As for `outlines`.
    """
    skipped = {-1, background_index(classes)}
    return tuple(
        AnnotatedShape("area", int(index), outline.outline_px, outline.holes_px)
        for index in np.unique(mask)
        if int(index) not in skipped
        for outline in outlines(mask == index, tolerance_px)
    )


def shapes_of(annotation: Annotation, tolerance_px: float = 0.0) -> tuple[AnnotatedShape, ...]:
    """Return the shapes of an annotation; those of its mask where it has no others."""
    if annotation.shapes or annotation.mask is None:
        return annotation.shapes
    return shapes_of_mask(annotation.mask, annotation.classes, tolerance_px)


# Directions in which an edge runs with its pixel on the right-hand side: right, down, left, up; and for each where the
# edge of pixel (y, x) begins, on a lattice whose point (0, 0) is the corner of the first pixel.
_STEPS = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
_BEGINS = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
_BEYOND = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])


def _edge_rings(mask: NDArray[np.bool_]) -> tuple[list[Vertices], list[tuple[int, int]]]:
    """Return every closed walk along the edges of a mask's pixels, corners only, and a pixel that it runs along."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    pixels, directions = [], []
    for direction, (down, right) in enumerate(_BEYOND):
        beyond = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        found = np.argwhere(mask & ~beyond)
        pixels.append(found)
        directions.append(np.full(len(found), direction))
    pixel, direction_of = np.concatenate(pixels), np.concatenate(directions)
    if not len(pixel):
        return [], []
    begin = pixel + _BEGINS[direction_of]
    follower = _followers(begin, begin + _STEPS[direction_of], direction_of, width + 1)
    corners = (begin - 0.5).tolist()
    ways, next_of, spots = direction_of.tolist(), follower.tolist(), pixel.tolist()
    seen = bytearray(len(ways))
    rings, along = [], []
    for first in range(len(ways)):
        if seen[first]:
            continue
        ring, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            after = next_of[edge]
            if ways[after] != ways[edge]:
                ring.append(corners[after])
            edge = after
        rings.append(np.array(ring, np.float64))
        along.append((spots[first][0], spots[first][1]))
    return rings, along


def _followers(
    begin: NDArray[np.int64], end: NDArray[np.int64], direction: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Return for each edge the one that goes on where it ends.

    Where two pixels touch at a corner only, two edges begin there; the right turn stays with the same pixel.
    """
    key = (begin[:, 0] * width + begin[:, 1]) * 4 + direction
    order = np.argsort(key)
    ordered = key[order]
    follower = np.full(len(key), -1, np.int64)
    for turn in (1, 0, 3):
        wanted = (end[:, 0] * width + end[:, 1]) * 4 + (direction + turn) % 4
        place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        found = (follower < 0) & (ordered[place] == wanted)
        follower[found] = order[place[found]]
    return follower
