"""Which grey levels or colours of a mask are classes, and which are only its blurred edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: A level is solid if at least this share of its pixels has five or more equal ones among its eight neighbours.
_SOLID = 0.2
#: A level that is not solid belongs to an edge if this share of its pixels sees two solid levels within two pixels.
_EDGE_SHARE = 0.7
#: More levels than this are no counting up of classes, but edges, lossy compression or numbers of objects.
_MANY = 16
#: Lossy compression gives levels that are rarer than this share of all pixels, or lie so near (of 255) to a class that
#: is more frequent.
_RARE, _NEAR = 0.005, 4
#: Levels so near (of 255) to a class belong to it.
_CLOSE = 10
#: Levels are numbers of objects if this share of them lies in pieces, whose pixels have two or more equal ones among
#: their four neighbours.
_OBJECTS = 0.5


@dataclass(frozen=True)
class Levels:
    """The different levels of a mask.

    Attributes
    ----------
    levels : ndarray of int64, shape (k, c)
        Grey levels (c = 1) or colours (c = 3), sorted.
    index : ndarray of int32, shape (h, w)
        Which of them each pixel has; -1 for pixels that say nothing.
    """

    levels: NDArray[np.int64]
    index: NDArray[np.int32]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the pixels that each level has."""
        said = self.index[self.index >= 0]
        shares: NDArray[np.float64] = np.bincount(said, minlength=len(self.levels)) / max(1, said.size)
        return shares


def levels_of(pixels: NDArray[np.integer], said: NDArray[np.bool_] | None = None) -> Levels:
    """Return the levels of a mask (h, w) or (h, w, 3); pixels that are not ``said`` have none."""
    channels = pixels.reshape(*pixels.shape[:2], -1).astype(np.int64)
    packed = channels[..., 0]
    for channel in range(1, channels.shape[2]):
        packed = packed << 16 | channels[..., channel]
    if said is None:
        said = np.ones(packed.shape, np.bool_)
    found, place = np.unique(packed[said], return_inverse=True)
    index = np.full(packed.shape, -1, np.int32)
    index[said] = place.ravel()
    shifts = [16 * k for k in reversed(range(channels.shape[2]))]
    return Levels(np.stack([found >> shift & 0xFFFF for shift in shifts], 1), index)


def class_levels(found: Levels) -> NDArray[np.bool_]:
    """Return which levels are classes, shape (k,); the others are the edges of an anti-aliased or lossy mask.

    A class fills areas, even if small; the levels of an edge lie in lines between two classes. Values that count up
    from zero (0, 1, 2, 3) are all classes.
    """
    count = len(found.levels)
    if count <= 2 or (count <= _MANY and found.levels.max() < 2 * count) or _numbers_objects(found):
        return np.ones(count, np.bool_)
    pixels = _per_level(found, found.index >= 0)
    solid: NDArray[np.bool_] = _per_level(found, _equal(found.index, _ALL_AROUND) >= 5) >= np.maximum(
        1, _SOLID * pixels
    )
    lossy = np.zeros(count, np.bool_)
    if count > _MANY and np.count_nonzero(~solid) > _MANY / 2:
        apart = np.abs(found.levels[:, None] - found.levels[None, solid]).max(2)
        lossy = ((apart <= _NEAR) & (pixels[solid] > pixels[:, None])).any(1)
        lossy |= ~solid & (pixels < _RARE * found.index.size)
        solid &= ~lossy
    if solid.all() or not solid.any():
        return solid
    lowest, highest = _around(np.where(np.append(solid, False)[found.index], found.index, -1), count)
    is_edge = ~solid & (_per_level(found, lowest < highest) >= _EDGE_SHARE * pixels)
    return ~(is_edge | lossy)


def _numbers_objects(found: Levels) -> bool:
    """Return whether the levels number objects, each in one piece."""
    if len(found.levels) <= 4 * _MANY:
        return False
    inner = _per_level(found, _equal(found.index, _FOUR_AROUND) >= 2)
    pieces = inner >= 0.5 * _per_level(found, found.index >= 0)
    return bool(pieces.mean() > _OBJECTS)


def _per_level(found: Levels, where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of some pixels have each level."""
    counts: NDArray[np.int64] = np.bincount(found.index[where & (found.index >= 0)], minlength=len(found.levels))
    return counts


_FOUR_AROUND = ((0, 1), (1, 0), (1, 2), (2, 1))
_ALL_AROUND = (*_FOUR_AROUND, (0, 0), (0, 2), (2, 0), (2, 2))


def _equal(index: NDArray[np.int32], around: tuple[tuple[int, int], ...]) -> NDArray[np.int8]:
    """Return how many of some neighbours of each pixel have the same level."""
    equal = np.zeros(index.shape, np.int8)
    padded = np.pad(index, 1, constant_values=-2)
    height, width = index.shape
    for dy, dx in around:
        equal += padded[dy : dy + height, dx : dx + width] == index
    return equal


def _around(index: NDArray[np.int32], count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the lowest and the highest level within two pixels; -1 entries count as none."""
    lowest = ndimage.minimum_filter(np.where(index < 0, count, index), 5)
    return lowest, ndimage.maximum_filter(index, 5)


def snapped(found: Levels, is_class: NDArray[np.bool_]) -> tuple[Levels, float]:
    """Return the levels with those of edges given to the nearest class, and the share of pixels that changed.

    The nearest in grey level or colour among the classes within two pixels: so the edge between black and white does
    not become a rim of grey, even where it happens to have the grey of a class.
    """
    kept = np.flatnonzero(is_class)
    renumbered = np.full(len(found.levels) + 1, -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    index = renumbered[found.index]
    odd = (found.index >= 0) & (index < 0)
    if not odd.any():
        return Levels(found.levels[kept], index), 0.0
    apart = np.abs(found.levels[:, None] - found.levels[None, kept]).max(2)
    close = np.append(np.where(apart.min(1) <= _CLOSE, apart.argmin(1), -1), -1).astype(np.int32)
    index[odd] = close[found.index[odd]]
    odd &= index < 0
    core = np.where(_equal(index, _ALL_AROUND) >= 5, index, -1)
    lowest, highest = _around(core, len(kept))
    near = np.zeros((len(kept), *index.shape), np.bool_)
    for number in range(len(kept)):
        own = ndimage.maximum_filter(core == number, 5)
        rim = (index == number) & ~own & (lowest < number) & (highest > number)
        odd |= rim
        near[number] = ndimage.maximum_filter((index == number) & ~rim, 5)
    levels = found.levels[found.index[odd]]
    distance = np.stack([np.abs(levels - found.levels[level]).sum(1) for level in kept]).astype(np.float64)
    distance[~near[:, odd]] += 1e6
    index[odd] = distance.argmin(0)
    changed = (found.index >= 0) & (index != renumbered[found.index])
    return Levels(found.levels[kept], index), float(changed.mean())
