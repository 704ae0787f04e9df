"""Outlines with holes as one ring that walks to each hole and back, for programs that know no holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from cemi_run.annotations.geometry import Outline, Vertices, nested, opened, signed_area


def bridged(parts: Sequence[Outline]) -> Vertices:
    """Return one ring that walks to each further part and hole over a bridge of no width, and back.

    Filled by the even-odd rule it covers the same area. `unbridged` takes it apart again.
    """
    if len(parts) == 1 and not parts[0].holes_px:
        return parts[0].outline_px
    # holes run the other way round, so that the area inside the ring is that of the parts less their holes
    rings = [r if (signed_area(r) > 0) == (r is part.outline_px) else r[::-1] for part in parts for r in part.rings]
    first = rings[0]
    detours: dict[int, list[Vertices]] = {}
    tree = cKDTree(first)
    for other in rings[1:]:
        gaps, nearest = tree.query(other)
        theirs = int(np.argmin(gaps))
        detour = np.roll(other, -theirs, axis=0)
        detours.setdefault(int(nearest[theirs]), []).append(detour)
    pieces, place = [], 0
    for ours in sorted(detours):
        pieces.append(first[place : ours + 1])
        for detour in detours[ours]:
            pieces += [detour, detour[:1], first[ours : ours + 1]]
        place = ours + 1
    return np.concatenate([*pieces, first[place:]])


def unbridged(ring: Vertices) -> list[Outline]:
    """Return the areas and holes of a ring that reaches some of them over bridges, as programs without holes write it.

    A bridge is an edge that is walked there and back. A ring without one comes back as it is.
    """
    done: list[Vertices] = []
    waiting = [[(float(y), float(x)) for y, x in opened(ring)]]
    while waiting:
        points = waiting.pop()
        bridge = _bridge(points)
        if bridge is None:
            done.append(np.array(points, np.float64).reshape(-1, 2))
            continue
        there, back = bridge
        waiting.append(points[there + 1 : back])
        waiting.append(points[: there + 1] + points[back + 2 :])
    if len(done) == 1:
        return [Outline(done[0])]
    return nested(done) or [Outline(opened(ring))]


def _bridge(points: list[tuple[float, float]]) -> tuple[int, int] | None:
    """Return the first edge that is walked in both directions, as the places where it begins there and back."""
    seen: dict[tuple[tuple[float, float], tuple[float, float]], int] = {}
    for number, start in enumerate(points):
        end = points[(number + 1) % len(points)]
        if (end, start) in seen and len(points) > 2:
            return seen[end, start], number
        seen[start, end] = number
    return None
