"""How strong the noise of an image is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Lines of an image that are enough to estimate its noise.
ENOUGH_LINES = 128
#: Immerkaer's mask, the difference of two Laplacians: blind to anything linear along y or x, it answers to white noise
#: with a standard deviation 6 times the noise's own.
IMMERKAER_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
IMMERKAER_MASK.flags.writeable = False
#: Median of the magnitude of a standard normal variable.
_NORMAL_MEDIAN = 0.67449


def noise_std(image: NDArray[np.float32], lines: int | None = ENOUGH_LINES, every: int = 1) -> float:
    """Return the standard deviation of the white noise in an image, robust against what it shows.

    The mask of J. Immerkaer (Computer Vision and Image Understanding 64 (1996) 300) with the median of the magnitude
    (0.67449 standard deviations) instead of the mean, so that edges hardly count. Noise that a filter has smoothed
    reads too low.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        NaN allowed.
    lines : int or None
        Rows that are looked at, at most, spread evenly; None for every row.
    every : int
        Of these rows and their columns, only every so many.

    Returns
    -------
    float
        In the units of ``image``; 0 for images of fewer than 3 x 3 px.
    """
    if min(image.shape) < 3:
        return 0.0
    inner = image.shape[0] - 2
    if lines is None or lines >= inner:
        rows = np.arange(1, inner + 1)
    else:
        rows = np.unique(np.linspace(1, inner, lines).astype(int))
    rows = rows[::every]
    bent = image[rows - 1] - 2 * image[rows] + image[rows + 1]
    bent = (bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:])[:, ::every]
    bent = np.abs(bent[np.isfinite(bent)])
    return float(np.median(bent)) / (6 * _NORMAL_MEDIAN) if bent.size else 0.0
