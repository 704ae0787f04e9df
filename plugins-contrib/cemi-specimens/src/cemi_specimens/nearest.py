"""Which of many points is nearest to each pixel of a box, a few rows at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cemi_core.model.mosaic import Box

_ROWS = 128


def nearest_point(box: Box, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the nearest point for each pixel of a box, shape (h, w).

    Parameters
    ----------
    box : Box
        Pixels wanted.
    points : ndarray of float64, shape (n, 2) or (n, 3)
        y and x in px, and perhaps a third coordinate, in which every pixel is 0.
    """
    tree = cKDTree(points)
    found = np.empty((box.height, box.width), np.int64)
    columns = np.arange(box.x, box.x + box.width, dtype=np.float64)
    for top in range(0, box.height, _ROWS):
        rows = np.arange(box.y + top, box.y + min(top + _ROWS, box.height), dtype=np.float64)
        pixels = np.zeros((len(rows), box.width, points.shape[1]))
        pixels[..., 0], pixels[..., 1] = rows[:, None], columns[None, :]
        _, found[top : top + len(rows)] = tree.query(pixels)
    return found
