"""Plane geometry of outlines: area, containment, crossings, fewer vertices. Vertices are (y, x) in px."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.float64]

#: Many programs measure from the corner of the first pixel; CEMI measures from its centre.
CORNER_PX = 0.5
#: Circles become polygons whose edges leave the circle by at most this, px.
_SAGITTA_PX = 0.02
_PAIRS_AT_ONCE = 200_000


@dataclass(frozen=True)
class Outline:
    """One closed area.

    Attributes
    ----------
    outline_px : ndarray of float64, shape (k, 2)
        Vertices (y, x), not repeated at the end.
    holes_px : tuple of ndarray of float64, each (k, 2)
        What lies inside and does not belong to it.
    """

    outline_px: Vertices
    holes_px: tuple[Vertices, ...] = ()

    @property
    def rings(self) -> tuple[Vertices, ...]:
        """The outline and the holes."""
        return (self.outline_px, *self.holes_px)


def signed_area(ring: Vertices) -> float:
    """Return the area inside a ring, px^2: positive if it runs clockwise on the screen (y down), else negative."""
    y, x = (ring - ring[:1]).T  # differences, so that an outline far from the origin loses no digits
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def area_and_centroid(parts: Iterable[Outline]) -> tuple[float, float, float]:
    """Return (area in px^2, y, x) of the centroid of areas with holes; NaN, NaN where the area is zero."""
    total = moment_y = moment_x = 0.0
    for part in parts:
        for number, ring in enumerate(part.rings):
            origin = ring[0]
            y, x = (ring - origin).T
            cross = x * np.roll(y, -1) - np.roll(x, -1) * y
            area = float(np.sum(cross)) / 2
            sign = (1 if area >= 0 else -1) * (1 if number == 0 else -1)
            total += sign * area
            moment_y += sign * (float(np.sum((y + np.roll(y, -1)) * cross)) / 6 + origin[0] * area)
            moment_x += sign * (float(np.sum((x + np.roll(x, -1)) * cross)) / 6 + origin[1] * area)
    if total <= 0:
        return 0.0, math.nan, math.nan
    return total, moment_y / total, moment_x / total


def rectangle(top: float, left: float, bottom: float, right: float) -> Vertices:
    """Return the four corners of an upright rectangle, clockwise on the screen."""
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]], np.float64)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], turn_deg: float = 0.0) -> Vertices:
    """Return an ellipse as a polygon that leaves it by at most 0.02 px.

    Parameters
    ----------
    centre : tuple of float
        (y, x), px.
    radii : tuple of float
        Half axes along y and x before the turn, px.
    turn_deg : float
        Turn, clockwise on the screen, degrees.
    """
    longest = max(abs(radii[0]), abs(radii[1]))
    step = math.acos(max(-1.0, 1 - _SAGITTA_PX / longest)) if longest > _SAGITTA_PX else math.pi / 4
    angle = np.linspace(0, 2 * np.pi, max(12, math.ceil(math.pi / step)), endpoint=False)
    return turned(np.stack([radii[0] * np.sin(angle), radii[1] * np.cos(angle)], 1) + centre, centre, turn_deg)


def turned(ring: Vertices, about: tuple[float, float], turn_deg: float) -> Vertices:
    """Return vertices turned about a point (y, x), clockwise on the screen, degrees."""
    if not turn_deg:
        return ring
    cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    y, x = (ring - about).T
    return np.stack([about[0] + sine * x + cosine * y, about[1] + cosine * x - sine * y], 1)


def opened(ring: Vertices) -> Vertices:
    """Return a ring without vertices that repeat the one before, nor the first one at its end."""
    if len(ring) < 2:
        return ring
    kept = ring[np.r_[True, np.any(np.diff(ring, axis=0) != 0, axis=1)]]
    return kept[:-1] if len(kept) > 1 and np.array_equal(kept[0], kept[-1]) else kept


def contains(ring: Vertices, point: tuple[float, float]) -> bool:
    """Return whether a point (y, x) lies inside a ring, by the even-odd rule."""
    (y, x), (next_y, next_x) = ring.T, np.roll(ring, -1, axis=0).T
    crossed = (y <= point[0]) != (next_y <= point[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (point[0] - y) * (next_x - x) / (next_y - y)
    return bool(np.count_nonzero(crossed & (at > point[1])) % 2)


def nested(rings: Sequence[Vertices]) -> list[Outline]:
    """Return areas with their holes, told from rings alone: what lies in an odd number of others is a hole.

    Rings must not cross each other; those without an area are left out.
    """
    rings = [ring for ring in rings if len(ring) >= 3 and signed_area(ring) != 0]
    if len(rings) == 1:
        return [Outline(rings[0])]
    inside = [_point_inside(ring) for ring in rings]
    low, high = np.array([r.min(0) for r in rings]), np.array([r.max(0) for r in rings])
    areas = np.array([abs(signed_area(ring)) for ring in rings])
    parents: list[list[int]] = []
    for number, point in enumerate(inside):
        around = np.flatnonzero((low <= point).all(1) & (high >= point).all(1) & (areas >= areas[number]))
        parents.append([int(k) for k in around if k != number and contains(rings[k], point)])
    holes: dict[int, list[Vertices]] = {}
    for number, outer in enumerate(parents):
        if len(outer) % 2:
            holes.setdefault(min(outer, key=lambda k: float(areas[k])), []).append(rings[number])
    return [Outline(rings[k], tuple(holes.get(k, ()))) for k in range(len(rings)) if not len(parents[k]) % 2]


def _point_inside(ring: Vertices) -> tuple[float, float]:
    """Return a point just inside the longest edge."""
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.hypot(*edges.T)
    longest = int(np.argmax(lengths))
    middle = ring[longest] + edges[longest] / 2
    inward = np.array([edges[longest][1], -edges[longest][0]]) / lengths[longest]
    if signed_area(ring) < 0:
        inward = -inward
    point = middle + 1e-4 * inward
    return float(point[0]), float(point[1])


def crosses_itself(ring: Vertices) -> bool:
    """Return whether two edges of a closed ring cross; edges that only touch or lie on each other do not count."""
    starts, ends = ring, np.roll(ring, -1, axis=0)
    left, right = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    order = np.argsort(left, kind="stable")
    starts, ends, left, right = starts[order], ends[order], left[order], right[order]
    first = np.arange(1, len(ring) + 1)
    counts = np.maximum(np.searchsorted(left, right, side="left") - first, 0)  # later edges that begin before this ends
    ends_at = np.cumsum(counts)
    for lower in range(0, int(ends_at[-1]), _PAIRS_AT_ONCE):
        pair = np.arange(lower, min(lower + _PAIRS_AT_ONCE, int(ends_at[-1])))
        one = np.searchsorted(ends_at, pair, side="right")
        other = pair - (ends_at[one] - counts[one]) + first[one]
        a, b, c, d = starts[one], ends[one], starts[other], ends[other]
        sides = _side(a, b, c) * _side(a, b, d)
        if np.any((sides < 0) & (_side(c, d, a) * _side(c, d, b) < 0)):
            return True
    return False


def _side(start: Vertices, end: Vertices, point: Vertices) -> NDArray[np.float64]:
    """Return on which side of a line a point lies: -1, 0 (on it) or 1."""
    along, to = end - start, point - start
    cross = along[..., 1] * to[..., 0] - along[..., 0] * to[..., 1]
    scale = np.abs(along).sum(-1) * np.abs(to).sum(-1)
    side: NDArray[np.float64] = np.where(np.abs(cross) <= 1e-12 * scale, 0.0, np.sign(cross))
    return side


def simplified(ring: Vertices, tolerance_px: float) -> Vertices:
    """Return a closed ring with fewer vertices that leaves the given one by at most ``tolerance_px``.

    Ramer 1972, Douglas and Peucker 1973, from the two vertices that lie farthest apart.
    """
    if tolerance_px <= 0 or len(ring) <= 4:
        return ring
    far = int(np.argmax(np.sum((ring - ring[0]) ** 2, axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far, len(ring)]] = True
    waiting = [(0, far), (far, len(ring))]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        gaps = _gaps(closed[first + 1 : last], closed[first], closed[last])
        worst = int(np.argmax(gaps))
        if gaps[worst] > tolerance_px:
            middle = first + 1 + worst
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    kept = closed[:-1][keep[:-1]]
    return kept if len(kept) >= 3 else ring


def _gaps(points: Vertices, start: Vertices, end: Vertices) -> NDArray[np.float64]:
    """Return how far points lie from the segment between two others, px."""
    along = end - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    gaps: NDArray[np.float64] = np.hypot(*(points - start - share[:, None] * along).T)
    return gaps
