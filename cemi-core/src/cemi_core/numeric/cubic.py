"""The weights of cubic interpolation between pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def keys_weights(fraction: float) -> NDArray[np.float64]:
    """Return the four weights of cubic convolution with a = -1/2, shape (4,), for pixels -1, 0, 1 and 2.

    R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153; also known as Catmull-Rom. It is exact for
    polynomials up to the second degree.

    Parameters
    ----------
    fraction : float
        Where the value is wanted, px after pixel 0, 0 to 1.
    """
    f = fraction
    return np.array(
        [
            -0.5 * f + f**2 - 0.5 * f**3,
            1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3,
            -0.5 * f**2 + 0.5 * f**3,
        ]
    )
