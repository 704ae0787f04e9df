"""Which grey levels or colours of a mask are classes, and which are only its blurred edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: A level is solid if at least this share of its pixels has five or more equal ones among its eight neighbours.
_SOLID_SHARE = 0.2
#: A level that is not solid belongs to an edge if this share of its pixels sees two solid levels within two pixels.
_EDGE_SHARE = 0.7
#: Lossy compression scatters levels by this much around a class (of 255), each far rarer than the class.
_SCATTER, _RARE = 16, 0.05


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

    A class fills areas, even if small; the levels of an edge lie in lines between two classes.
    """
    count = len(found.levels)
    if count <= 2:
        return np.ones(count, np.bool_)
    equal = np.zeros(found.index.shape, np.int8)
    padded = np.pad(found.index, 1, constant_values=-2)
    height, width = found.index.shape
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            if (dy, dx) != (1, 1):
                equal += padded[dy : dy + height, dx : dx + width] == found.index
    flat = found.index.ravel()
    pixels = np.bincount(flat[flat >= 0], minlength=count)
    full = np.bincount(flat[(equal.ravel() >= 5) & (flat >= 0)], minlength=count)
    solid = full >= np.maximum(1, _SOLID_SHARE * pixels)
    if not solid.any() or solid.all():
        return np.ones(count, np.bool_) if solid.all() else solid
    solid_pixels = np.append(solid, False)[found.index]
    lowest = ndimage.minimum_filter(np.where(solid_pixels, found.index, count), 5)
    highest = ndimage.maximum_filter(np.where(solid_pixels, found.index, -1), 5)
    between = np.bincount(flat[((lowest < highest).ravel()) & (flat >= 0)], minlength=count)
    is_edge = between >= _EDGE_SHARE * pixels
    peaks = found.levels[solid]
    apart = np.abs(found.levels[:, None] - peaks[None]).max(2)
    nearest = apart.argmin(1)
    is_scatter = (apart.min(1) <= _SCATTER) & (pixels <= _RARE * pixels[solid][nearest]) & (count > 16)
    is_class: NDArray[np.bool_] = solid | ~(is_edge | is_scatter)
    return is_class


def snapped(found: Levels, is_class: NDArray[np.bool_]) -> tuple[Levels, float]:
    """Return the levels with those of edges given to the nearest class, and the share of pixels that changed.

    The nearest in grey level or colour among the classes within two pixels: so the edge between black and white does
    not become a rim of grey.
    """
    kept = np.flatnonzero(is_class)
    renumbered = np.full(len(found.levels) + 1, -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    index = renumbered[found.index]
    odd = (found.index >= 0) & (index < 0)
    if odd.any():
        levels = found.levels[found.index[odd]]
        best, chosen = np.full(len(levels), np.inf), np.zeros(len(levels), np.int32)
        for number, level in enumerate(kept):
            here = ndimage.maximum_filter(found.index == level, 5)[odd]
            distance = np.abs(levels - found.levels[level]).sum(1) + np.where(here, 0.0, 1e6)
            nearer = distance < best
            best[nearer], chosen[nearer] = distance[nearer], number
        index[odd] = chosen
    return Levels(found.levels[kept], index), float(odd.mean())
