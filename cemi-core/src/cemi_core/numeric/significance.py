"""How sure a correlation is: Fisher's z, its interval, its p value, and a measure that overlaps of all sizes share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

#: Correlations are limited to this before Fisher's z, which is infinite at 1.
MAX_CORRELATION = 0.9999
#: 97.5 % quantile of the standard normal distribution: half-width of a 95 % interval in standard errors.
NORMAL_975 = 1.959964

Values = NDArray[np.float64] | float


def significance(correlation: Values, pixels: Values) -> NDArray[np.float64]:
    """Return a correlation as Fisher's z times the root of the number of pixels, which overlaps of all sizes share.

    ``atanh(r) * sqrt(n)`` has unit variance for n independent pixels (R. A. Fisher, Biometrika 10 (1915) 507). Pixels
    of an image are not independent, but the factor is the same for all overlaps of one specimen, so that a threshold
    from overlaps of one size holds for another.

    Parameters
    ----------
    correlation : ndarray of float or float
        -1 to 1.
    pixels : ndarray of float or float
        Number of pixels that were correlated.
    """
    score: NDArray[np.float64] = np.arctanh(np.clip(correlation, -MAX_CORRELATION, MAX_CORRELATION)) * np.sqrt(pixels)
    return score


def correlation_at(threshold: float, pixels: float) -> float:
    """Return the correlation whose `significance` is ``threshold`` in an overlap of ``pixels``."""
    return math.tanh(threshold / math.sqrt(max(pixels, 1.0)))


def fisher_z(correlation: float, limit: float = MAX_CORRELATION) -> float:
    """Return Fisher's z, ``atanh(r)``, of a correlation limited to +- ``limit``."""
    return math.atanh(min(max(correlation, -limit), limit))


def pearson_r(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return Pearson's r of two equally long series, -1 to 1; NaN if one of them is constant."""
    dx, dy = x - x.mean(), y - y.mean()
    size = math.sqrt(float(dx @ dx) * float(dy @ dy))
    return float(np.clip(dx @ dy / size, -1, 1)) if size > 0 else math.nan


def fisher_interval(r: float, n_effective: float) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of a correlation by Fisher's z with ``n_effective`` independent points.

    It is (-1, 1) with three points or fewer, which say nothing; NaN for a correlation that is NaN.
    """
    if not math.isfinite(r):
        return math.nan, math.nan
    if n_effective <= 3:
        return -1.0, 1.0
    z, half = fisher_z(r, 1 - 1e-12), NORMAL_975 / math.sqrt(n_effective - 3)
    return math.tanh(z - half), math.tanh(z + half)


def p_value(r: float, n_effective: float) -> float:
    """Return the two-sided p of a correlation: Student's t with ``n_effective - 2`` degrees of freedom.

    It is 1 with two points or fewer, which always lie on a line; NaN for a correlation that is NaN.
    """
    if not math.isfinite(r):
        return math.nan
    freedom = n_effective - 2
    return float(betainc(freedom / 2, 0.5, 1 - r * r)) if freedom > 0 else 1.0
