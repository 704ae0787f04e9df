"""Regions that run over many cells of a grid: each cell tells its pieces, and the pieces are joined afterwards.

A colony may be larger than any halo. Sums are kept in whole numbers of the image's own coordinates, so that the joined
regions have the same digits however the image was cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cemi_core.model.classes import ClassLabel
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.numeric.objects import shape_columns

_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Pieces:
    """The regions within one cell.

    Attributes
    ----------
    box : Box
        The cell, in the coordinates of the image.
    sums : ndarray of int64, shape (n, 6)
        Pixels, and sums of y, x, y^2, x^2 and y x, of each piece.
    first : ndarray of int64, shape (n, 2)
        The first pixel (y, x) of each.
    of_class : ndarray of int64, shape (n,)
        Class of each.
    probability : ndarray of float64, shape (n,)
        Sum over its pixels of the probability of its class, in thousandths, rounded.
    top, bottom, left, right : ndarray of int32
        Number (from 1) of the piece in each pixel of the edges of the cell, 0 for none.
    at_edge : ndarray of bool, shape (n,)
        Whether it touches the edge of the image.
    """

    box: Box
    sums: NDArray[np.int64]
    first: NDArray[np.int64]
    of_class: NDArray[np.int64]
    probability: NDArray[np.int64]
    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    at_edge: NDArray[np.bool_]


def pieces_of(
    classes: NDArray[np.integer], probability: NDArray[np.float32], box: Box, ends: tuple[bool, bool, bool, bool]
) -> Pieces:
    """Return the pieces of one cell.

    Parameters
    ----------
    classes : ndarray of int, shape (h, w)
        Class of each pixel of the cell; 0 is not a region.
    probability : ndarray of float32, shape (h, w)
        Of that class.
    box : Box
        Where the cell lies.
    ends : tuple of bool
        Whether the image ends at the top, bottom, left and right of the cell, so that nothing goes on there.
    """
    labels, count = _labelled(classes)
    y, x = np.nonzero(labels)
    which = labels[y, x] - 1
    whole_y, whole_x = y.astype(np.int64) + box.y, x.astype(np.int64) + box.x
    parts = (np.ones_like(whole_y), whole_y, whole_x, whole_y**2, whole_x**2, whole_y * whole_x)
    sums = np.zeros((count, 6), np.int64)
    for column, part in enumerate(parts):
        np.add.at(sums[:, column], which, part)
    thousandths = np.zeros(count, np.int64)
    np.add.at(thousandths, which, np.rint(1000 * probability[y, x]).astype(np.int64))
    _, at = np.unique(which, return_index=True)  # row by row, so the first pixel of each comes first
    first = np.column_stack([whole_y[at], whole_x[at]]).astype(np.int64).reshape(-1, 2)
    strips = [strip.astype(np.int32) for strip in (labels[0], labels[-1], labels[:, 0], labels[:, -1])]
    at_edge = np.zeros(count + 1, bool)
    for number, (strip, is_end) in enumerate(zip(strips, ends, strict=True)):
        if is_end:
            at_edge[strip] = True
            strips[number] = np.zeros_like(strip)
    of_class = classes[y[at], x[at]].astype(np.int64)
    top, bottom, left, right = strips
    return Pieces(box, sums, first, of_class, thousandths, top, bottom, left, right, at_edge[1:])


def _labelled(classes: NDArray[np.integer]) -> tuple[NDArray[np.int32], int]:
    labels, count = np.zeros(classes.shape, np.int32), 0
    for index in np.unique(classes[classes > 0]):
        own, found = ndimage.label(classes == index, structure=_TOUCHING)
        labels[own > 0] = own[own > 0] + count
        count += int(found)
    return labels, count


def joined_pieces(
    cells: Sequence[Pieces],
    name: str,
    label: str,
    classes: tuple[ClassLabel, ...],
    pixel_size_um: float | None = None,
    min_area_px: int = 1,
) -> Objects:
    """Return the regions of all cells as objects, in the order of their first pixels; without outlines.

    Parameters
    ----------
    cells : sequence of Pieces
        In any order; cells that are missing end the regions beside them.
    name, label : str
        See `Objects`.
    classes : tuple of ClassLabel
        Of the regions: class 1 of the pixels is the first of them.
    pixel_size_um : float, optional
    min_area_px : int
        Smaller ones are left out.
    """
    starts = np.concatenate([[0], np.cumsum([len(cell.sums) for cell in cells])]).astype(np.int64)
    of_class = np.concatenate([cell.of_class for cell in cells]) if cells else np.empty(0, np.int64)
    root = _joined(starts, _links(cells, starts), of_class)
    found, index = np.unique(root, return_inverse=True)
    sums = np.zeros((len(found), 6), np.int64)
    thousandths = np.zeros(len(found), np.int64)
    cut = np.zeros(len(found), bool)
    first = np.full((len(found), 2), np.iinfo(np.int64).max)
    if len(found):
        np.add.at(sums, index, np.concatenate([cell.sums for cell in cells]))
        np.add.at(thousandths, index, np.concatenate([cell.probability for cell in cells]))
        np.logical_or.at(cut, index, np.concatenate([cell.at_edge for cell in cells]))
        order = np.concatenate([cell.first for cell in cells])
        by = np.lexsort((order[:, 1], order[:, 0]))[::-1]
        first[index[by]] = order[by]  # the last write is the smallest
    keep = np.flatnonzero(sums[:, 0] >= min_area_px)
    keep = keep[np.lexsort((first[keep, 1], first[keep, 0]))]
    area = sums[keep, 0].astype(np.float64)
    return Objects(
        name=name,
        label=label,
        y_px=sums[keep, 1] / area,
        x_px=sums[keep, 2] / area,
        area_px=area,
        class_index=(of_class[found[keep]] - 1).astype(np.int32),
        score=(thousandths[keep] / area / 1000).astype(np.float32),
        classes=classes,
        columns=_columns(sums[keep], pixel_size_um),
        cut=cut[keep],
    )


def _columns(sums: NDArray[np.int64], pixel_size_um: float | None) -> tuple[ObjectColumn, ...]:
    """Return diameter, axes and direction, with all digits of the second moments, however large the sums are."""
    area, y, x, yy, xx, yx = (sums[:, column].astype(object) for column in range(6))  # of any size
    square = [n * n for n in area]

    def central(
        product: NDArray[np.object_], one: NDArray[np.object_], other: NDArray[np.object_]
    ) -> NDArray[np.float64]:
        parts = zip(area, product, one, other, square, strict=True)
        return np.array([(n * p - a * b) / s for n, p, a, b, s in parts], np.float64)

    spread = np.stack([central(yy, y, y), central(xx, x, x), central(yx, y, x)])
    return shape_columns(sums[:, 0].astype(np.float64), spread, pixel_size_um)


def _links(cells: Sequence[Pieces], starts: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """Yield pairs of pieces that touch over the edge of two cells, at a side or a corner."""
    lines: dict[tuple[str, int], list[tuple[int, int, NDArray[np.int32]]]] = {}
    for number, cell in enumerate(cells):
        box = cell.box
        for side, at, begins, strip in (
            ("y after", box.y, box.x, cell.top),
            ("y before", box.y + box.height, box.x, cell.bottom),
            ("x after", box.x, box.y, cell.left),
            ("x before", box.x + box.width, box.y, cell.right),
        ):
            lines.setdefault((side, at), []).append((begins, number, strip))
    for axis in ("y", "x"):
        for (side, at), before in lines.items():
            if side != f"{axis} before":
                continue
            after = lines.get((f"{axis} after", at), [])
            yield from _touching(before, after, starts)


def _touching(
    before: list[tuple[int, int, NDArray[np.int32]]],
    after: list[tuple[int, int, NDArray[np.int32]]],
    starts: NDArray[np.int64],
) -> Iterable[tuple[int, int]]:
    for begins, number, strip in before:
        for other_begins, other, other_strip in after:
            if other_begins > begins + len(strip) or other_begins + len(other_strip) < begins:
                continue
            for shift in (-1, 0, 1):  # a corner touches as well
                low = max(begins, other_begins + shift)
                high = min(begins + len(strip), other_begins + shift + len(other_strip))
                if low >= high:
                    continue
                one = strip[low - begins : high - begins]
                two = other_strip[low - other_begins - shift : high - other_begins - shift]
                pairs = np.unique(np.column_stack([one, two])[(one > 0) & (two > 0)], axis=0)
                for a, b in pairs:
                    yield int(starts[number] + a - 1), int(starts[other] + b - 1)


def _joined(
    starts: NDArray[np.int64], links: Iterable[tuple[int, int]], of_class: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each piece the smallest number of the pieces that it belongs together with."""
    root = list(range(int(starts[-1])))

    def top(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for one, other in links:
        if of_class[one] == of_class[other]:
            low, high = sorted((top(one), top(other)))
            root[high] = low
    return np.array([top(index) for index in range(len(root))], np.int64)
