"""What the scatter of both sides does to a correlation: it can only lower it, and by how much can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Below this share of true variance a series is mostly scatter, and dividing by it says nothing.
MIN_RELIABILITY = 0.1
#: Share of the points whose error must be known.
_MIN_KNOWN = 0.5


@dataclass(frozen=True)
class Ceiling:
    """How far scatter lets a correlation rise.

    Attributes
    ----------
    value : float
        0 to 1: the r of a perfect relation seen through this scatter; NaN if neither scatter is known.
    r, low, high : float
        The correlation without it and its 95 % interval, -1 to 1; NaN where it cannot be told.
    """

    value: float = math.nan
    r: float = math.nan
    low: float = math.nan
    high: float = math.nan


def reliability(values: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Return the share of the variance of a series that is no error of measurement, 0 to 1.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
    error : ndarray of float, shape (n,)
        Standard error of each; NaN where unknown.

    Returns
    -------
    float
        NaN where the errors of more than half of the points are unknown, or the series is constant.
    """
    known = np.isfinite(error)
    if len(values) < 2 or known.mean() < _MIN_KNOWN:
        return math.nan
    size = float(np.max(np.abs(values - values.mean())))
    if not size > 0:
        return math.nan
    spread, noise = float(np.var(values / size, ddof=1)), float(np.mean((error[known] / size) ** 2))
    return float(np.clip(1 - noise / spread, 0.0, 1.0))


def ceiling_of(r: float, low: float, high: float, reliabilities: tuple[float, float]) -> Ceiling:
    """Return the ceiling of a correlation, and the correlation corrected for it.

    The ceiling is the root of the product of both reliabilities; one that is unknown counts as 1 (Spearman, Am. J.
    Psychol. 1904, 15, 72). The interval is divided by it too, which takes the reliabilities as known.
    """
    known = [share for share in reliabilities if math.isfinite(share)]
    if not known:
        return Ceiling()
    value = math.sqrt(math.prod(known))
    if min(known) < MIN_RELIABILITY or not math.isfinite(r):
        return Ceiling(value)
    return Ceiling(value, *(min(max(number / value, -1.0), 1.0) for number in (r, low, high)))
