"""Which of many points is nearest to each pixel of a box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cemi_core.model.mosaic import Box

_STEP = 8


def nearest_point(box: Box, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the nearest point for each pixel of a box, shape (h, w).

    The pixels that are nearest to one point lie in a convex cell. So a square whose four corners belong to one point
    belongs to it as a whole, and only the others are looked at pixel by pixel.

    Parameters
    ----------
    box : Box
        Pixels wanted.
    points : ndarray of float64, shape (n, 2) or (n, 3)
        y and x in px, and perhaps a third coordinate, in which every pixel is 0.
    """
    tree = cKDTree(points)
    rows, columns = -(-box.height // _STEP), -(-box.width // _STEP)
    corner_y, corner_x = box.y + _STEP * np.arange(rows + 1), box.x + _STEP * np.arange(columns + 1)
    corners = _query(tree, corner_y[:, None], corner_x[None, :])
    one = (corners[:-1, :-1] == corners[1:, 1:]) & (corners[:-1, :-1] == corners[1:, :-1])
    one &= corners[:-1, :-1] == corners[:-1, 1:]
    squares = np.repeat(np.repeat(corners[:-1, :-1], _STEP, axis=0), _STEP, axis=1)
    found = np.ascontiguousarray(squares[: box.height, : box.width])
    for row in range(rows):
        mixed = np.repeat(~one[row], _STEP)[: box.width]
        x = np.flatnonzero(mixed)
        y = np.arange(row * _STEP, min((row + 1) * _STEP, box.height))
        found[y[:, None], x[None, :]] = _query(tree, box.y + y[:, None], box.x + x[None, :])
    return found


def _query(tree: cKDTree, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the point that is nearest to each (y, x); the two broadcast."""
    shape = np.broadcast_shapes(y.shape, x.shape)
    places = np.zeros((*shape, tree.m))
    places[..., 0], places[..., 1] = y, x
    _, nearest = tree.query(places)
    return np.asarray(nearest, np.int64)
