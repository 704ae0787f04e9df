"""Outlines and lines cut to the pixels of an image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cemi_run.annotations.geometry import Vertices, opened


def clipped_area(ring: Vertices, shape: tuple[int, int]) -> Vertices:
    """Return the part of a closed ring that lies on the pixels of an image (Sutherland and Hodgman 1974).

    Where the ring leaves the image several times, the parts are joined along the image's edge; filled they cover the
    right pixels.
    """
    for axis, sign, bound in ((0, 1, -0.5), (0, -1, shape[0] - 0.5), (1, 1, -0.5), (1, -1, shape[1] - 0.5)):
        if not len(ring):
            break
        previous = np.roll(ring, 1, axis=0)
        height, height_before = sign * (ring[:, axis] - bound), sign * (previous[:, axis] - bound)
        pieces: list[Vertices] = []
        for number in range(len(ring)):
            now, before = height[number], height_before[number]
            if (now >= 0) != (before >= 0):
                met = previous[number] + (ring[number] - previous[number]) * (before / (before - now))
                met[axis] = bound
                pieces.append(met)
            if now >= 0:
                pieces.append(ring[number])
        ring = np.array(pieces, np.float64).reshape(-1, 2)
    return opened(ring)


def clipped_line(line: Vertices, shape: tuple[int, int]) -> list[Vertices]:
    """Return the pieces of an open line that lie on the pixels of an image (Liang and Barsky 1984)."""
    pieces: list[list[Vertices]] = []
    low, high = np.array([-0.5, -0.5]), np.array(shape) - 0.5
    for start, end in pairwise(line):
        step = end - start
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = (low - start) / step, (high - start) / step
        still = step == 0
        if np.any(still & ((start < low) | (start > high))):
            continue
        enter = max(0.0, *np.where(still, 0.0, np.minimum(first, second)))
        leave = min(1.0, *np.where(still, 1.0, np.maximum(first, second)))
        if enter >= leave:
            continue
        here, there = start + enter * step, start + leave * step
        if pieces and np.array_equal(pieces[-1][-1], here):
            pieces[-1].append(there)
        else:
            pieces.append([here, there])
    return [np.array(piece) for piece in pieces]
