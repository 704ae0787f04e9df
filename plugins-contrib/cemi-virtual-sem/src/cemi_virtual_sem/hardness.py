"""A hardness table with a planted linear relation to the phase fraction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HARDNESS_RANGE_HV = (450.0, 550.0)


def planted_hardness_hv(fraction: NDArray[np.float64], r: float, seed: int) -> NDArray[np.float64]:
    """Return hardness in HV whose Pearson correlation with a phase fraction is exactly ``r``.

    Noise is made orthogonal to the fraction before both are mixed; the result fills 450 to 550 HV, the range of
    Lang et al. 2025 (who report r = +0.633 for BCC).

    Parameters
    ----------
    fraction : ndarray, shape (n,)
        Phase fraction at each indent, n >= 3, not constant.
    r : float
        Correlation, between -1 and 1.
    seed : int
        Draws the noise.
    """
    explained = (fraction - fraction.mean()) / np.linalg.norm(fraction - fraction.mean())
    noise = np.random.default_rng([seed, 501]).standard_normal(len(fraction))
    noise -= noise.mean()
    noise -= explained * (explained @ noise)
    mixed = r * explained + np.sqrt(1 - r * r) * noise / np.linalg.norm(noise)
    low, high = HARDNESS_RANGE_HV
    return low + (high - low) * (mixed - mixed.min()) / np.ptp(mixed)
