"""One class for each region: its pixels vote."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_TOUCHING = np.ones((3, 3), bool)
#: Pixels at least so likely to be of any class but the first belong to a region that is voted on.
_CANDIDATE = 0.3


def voted(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class of each pixel (h, w), the same all over a connected region.

    Regions are what is likely to be anything but the first class, by 0.3 or more; each gets the class whose mean
    probability over it is the largest, the first one included. So doubtful specks disappear whole, and a region does
    not fall apart into several classes.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (k, h, w)
    """
    regions, count = ndimage.label(1 - probabilities[0] >= _CANDIDATE, structure=_TOUCHING)
    if not count:
        return np.zeros(regions.shape, np.int64)
    flat = regions.ravel()
    means = [np.bincount(flat, weights=of.ravel(), minlength=count + 1) for of in probabilities]
    winner = np.argmax(means, axis=0).astype(np.int64)
    winner[0] = 0
    return winner[regions]
