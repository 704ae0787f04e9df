"""How strong the noise of an image is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Lines of an image that are enough to estimate its noise.
_NOISE_LINES = 128


def noise_std(image: NDArray[np.float32]) -> float:
    """Return the standard deviation of the white noise in a picture, robust against what it shows.

    The mask of Immerkaer (*Computer Vision and Image Understanding* 64 (1996) 300), which is blind to anything linear,
    with the median (0.67449 standard deviations) instead of the mean, so that edges hardly count.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        NaN allowed; pictures of fewer than 3 x 3 px have no noise.
    """
    if min(image.shape) < 3:
        return 0.0
    lines = np.unique(np.linspace(1, image.shape[0] - 2, min(_NOISE_LINES, image.shape[0] - 2)).astype(int))
    bent = image[lines - 1] - 2 * image[lines] + image[lines + 1]
    bent = bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:]
    bent = np.abs(bent[np.isfinite(bent)])
    return float(np.median(bent)) / (6 * 0.67449) if bent.size else 0.0
