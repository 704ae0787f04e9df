"""Intervals and correlations of things that are not independent: fields of a picture, points of a smooth profile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; NaN where it is unknown."""

    value: float
    low: float
    high: float

    def widened(self, half_width: float) -> Interval:
        """Return the interval with a further, independent 95 % half-width added in quadrature."""
        return Interval(
            self.value,
            self.value - math.hypot(self.value - self.low, half_width),
            self.value + math.hypot(self.high - self.value, half_width),
        )


def e562_interval(fields: ArrayLike, weights: ArrayLike | None = None, n_effective: float | None = None) -> Interval:
    """Return the mean over fields with its 95 % interval, as ASTM E562 has it: mean +- t s / sqrt(n).

    Parameters
    ----------
    fields : array_like of float, any shape
        One value per field; NaN is left out.
    weights : array_like of float, optional
        Area of each field; equal ones by default.
    n_effective : float, optional
        Number of independent fields, if fewer than there are; else Kish's (sum w)^2 / sum w^2.

    Returns
    -------
    Interval
        Unbounded (-inf, inf) with fewer than two fields, NaN with none.
    """
    values = np.asarray(fields, np.float64).ravel()
    weight = np.ones_like(values) if weights is None else np.asarray(weights, np.float64).ravel()
    used = np.isfinite(values) & (weight > 0)
    values, weight = values[used], weight[used]
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    share = weight / weight.sum()
    mean = float(share @ values)
    kish = float(1 / (share @ share))
    n = kish if n_effective is None else min(n_effective, kish)
    if len(values) < 2 or n <= 1:
        return Interval(mean, -math.inf, math.inf)
    deviation = math.sqrt(float(share @ (values - mean) ** 2) * kish / (kish - 1))
    half = float(student_t.ppf(0.975, max(n - 1, 1))) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def spatial_mean_interval(fields: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Interval:
    """Return the mean over a grid of fields with an interval that allows for likeness between neighbours.

    The likeness r of next neighbours is taken from the fields themselves, with the bias -1/(n - 1) of such an estimate
    removed; it falls off as r, r^1.4, r^2 for neighbours at 1, 1.4, 2 steps (an exponential model). The effective
    number is n^2 over the sum of all these likenesses.

    Parameters
    ----------
    fields : ndarray of float, shape (rows, columns)
        NaN where there is none.
    weights : ndarray of float, same shape, optional
    """
    used = np.isfinite(fields)
    n = int(used.sum())
    if n < 4:
        return e562_interval(fields, weights)
    likeness = _neighbour_likeness(fields, used)
    if likeness <= 0:
        return e562_interval(fields, weights)
    y, x = np.nonzero(used)
    apart = np.hypot(y[:, None] - y[None, :], x[:, None] - x[None, :])
    n_effective = n * n / float((min(likeness, 0.95) ** apart).sum())
    return e562_interval(fields, weights, max(n_effective, 2.0))


def _neighbour_likeness(fields: NDArray[np.float64], used: NDArray[np.bool_]) -> float:
    deviation = np.where(used, fields - fields[used].mean(), 0.0)
    variance = float((deviation**2).sum() / used.sum())
    products = [deviation[:, 1:] * deviation[:, :-1], deviation[1:] * deviation[:-1]]
    pairs = [used[:, 1:] & used[:, :-1], used[1:] & used[:-1]]
    number = sum(int(pair.sum()) for pair in pairs)
    if variance <= 0 or number == 0:
        return 0.0
    total = sum(float(product.sum()) for product in products)
    return total / number / variance + 1 / (int(used.sum()) - 1)


def block_bootstrap(
    fields: ArrayLike, statistic: Callable[[NDArray[np.float64]], float], seed: int = 0, draws: int = 1000
) -> Interval:
    """Return a statistic of independent fields with its 95 % percentile interval over bootstrap draws.

    Parameters
    ----------
    fields : array_like of float, shape (n, ...)
        One entry per block; blocks are drawn with replacement.
    statistic : callable
        Takes such an array, returns a number.
    seed : int
    draws : int
    """
    values = np.asarray(fields, np.float64)
    rng = np.random.default_rng(seed)
    drawn = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(draws)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(float(statistic(values)), float(low), float(high))
