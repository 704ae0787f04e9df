"""The further peaks of a correlation surface, beside its highest. Small arrays, so always NumPy."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def rival_peaks(surface: NDArray[np.float32], best: tuple[int, int], share: float, most: int) -> list[tuple[int, int]]:
    """Return (row, column) of the local maxima of a surface (h, w), highest first, off its border and beside ``best``.

    Parameters
    ----------
    surface : ndarray of float32, shape (h, w)
    best : tuple of int
        The peak that is known.
    share : float
        Smallest height, as a share of that peak's.
    most : int
        How many to return at most.
    """
    inner = surface[1:-1, 1:-1]
    high = (inner >= share * surface[best]) & (inner > 0)
    around = cv2.dilate(surface, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    places = [(row + 1, column + 1) for row, column in np.argwhere(high & (inner == around)).tolist()]
    places = [place for place in places if max(abs(place[0] - best[0]), abs(place[1] - best[1])) > 1]
    return sorted(places, key=lambda place: -float(surface[place]))[:most]
