"""Crops of one image are found by what they have in common: the same pixels at any offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EDGE_PX = 16
#: One window in so many becomes a mark; which ones depends on their pixels alone, so that crops choose the same.
_ONE_IN = 256
_FACTOR_X, _FACTOR_Y = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_MIN_LEVELS = 16
#: Common marks from which two images are taken to show the same pixels.
MIN_COMMON = 3


def marks_of(pixels: NDArray[Any]) -> frozenset[int]:
    """Return hashes of some windows of 16 x 16 px of an image, the same for every crop that holds them.

    A window is chosen by its own hash (content-defined chunking), so that the marks of two overlapping crops agree
    wherever they overlap (by some 40 px a side). Windows of less than 16 grey levels, such as a saturated corner or a
    drawn edge, are alike in many images and left out. Images that were scaled, filtered or saved with losses have no
    marks in common.

    Parameters
    ----------
    pixels : ndarray, shape (h, w) or (c, h, w)
        Of several channels, the first one counts.
    """
    plane = pixels if pixels.ndim == 2 else pixels[0]
    if min(plane.shape) < _EDGE_PX:
        return frozenset()
    bits = plane.astype(np.float32).view(np.uint32) if plane.dtype.kind == "f" else plane
    rows = _rolled(bits.astype(np.uint64), _FACTOR_X, 1)
    whole = _rolled(rows, _FACTOR_Y, 0)
    mixed = whole ^ (whole >> np.uint64(29))
    chosen = np.argwhere(mixed % np.uint64(_ONE_IN) == 0)
    return frozenset(
        int(whole[y, x]) for y, x in chosen if len(np.unique(plane[y : y + _EDGE_PX, x : x + _EDGE_PX])) >= _MIN_LEVELS
    )


def _rolled(values: NDArray[np.uint64], factor: np.uint64, axis: int) -> NDArray[np.uint64]:
    """Return polynomial hashes of 16 values in a row along an axis, modulo 2^64."""
    length = values.shape[axis] - _EDGE_PX + 1
    total = np.zeros_like(np.take(values, range(length), axis))
    for offset in range(_EDGE_PX):
        part = values[offset : offset + length] if axis == 0 else values[:, offset : offset + length]
        total = total * factor + part
    return total


def groups_of(images: Sequence[NDArray[Any]], names: Sequence[str]) -> tuple[int, ...]:
    """Return a group number for each image: equal for equal names, and for images that show the same pixels.

    Parameters
    ----------
    images : sequence of ndarray
    names : sequence of str
        Specimen of each.
    """
    group = list(range(len(images)))

    def root(index: int) -> int:
        while group[index] != index:
            index = group[index]
        return index

    def join(one: int, other: int) -> None:
        group[max(root(one), root(other))] = min(root(one), root(other))

    first: dict[str, int] = {}
    for index, name in enumerate(names):
        join(index, first.setdefault(name, index))
    marks = [marks_of(image) for image in images]
    for index, own in enumerate(marks):
        for other in range(index):
            if len(own & marks[other]) >= MIN_COMMON or np.array_equal(images[index], images[other]):
                join(index, other)
    return tuple(root(index) for index in range(len(images)))
