"""Intervals and correlations of things that are not independent: fields of a picture, points of a smooth profile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from cemi_core.numeric.significance import NORMAL_975


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

    See `likeness_of_neighbours`; the interval is that of `e562_interval` with the effective number of fields.

    Parameters
    ----------
    fields : ndarray of float, shape (rows, columns)
        NaN where there is none.
    weights : ndarray of float, same shape, optional
    """
    if np.isfinite(fields).sum() < 4:
        return e562_interval(fields, weights)
    n_effective = effective_fields(np.isfinite(fields), likeness_of_neighbours([fields]))
    return e562_interval(fields, weights, max(n_effective, 2.0))


def patch_share_intervals(cells: Sequence[NDArray[np.float64]]) -> list[Interval]:
    """Return the share of the area that patches (colonies) fill in each cell, with its 95 % interval.

    A cell may hold three colonies or none; the scatter of its own blocks then says little (nothing, if none). So
    scatter and likeness of the blocks are pooled over all cells and give the number of independent areas that one cell
    is worth, n = p (1 - p) / variance of the mean; the interval is Wilson's (J. Am. Stat. Assoc. 1927, 22, 209) with n,
    which is right for shares near 0 and 1 too.

    Parameters
    ----------
    cells : sequence of ndarray of float, shape (rows, columns) each
        Share in each block, NaN where there is none.
    """
    likeness = likeness_of_neighbours(cells)
    used = [np.isfinite(cell) for cell in cells]
    several = [(cell[ok], effective_fields(ok, likeness)) for cell, ok in zip(cells, used, strict=True) if ok.sum() > 1]
    spread = [float(v.var(ddof=1)) * (len(v) - 1) / len(v) / max(1 - 1 / n, 0.1) for v, n in several]
    binomial = sum(_mixed(v) for v, _ in several)
    ratio = sum(spread) / binomial if binomial > 0 else 1.0
    intervals = []
    for cell, ok in zip(cells, used, strict=True):
        if not ok.any():
            intervals.append(Interval(math.nan, math.nan, math.nan))
            continue
        areas = effective_fields(ok, likeness) / float(np.clip(ratio, 0.05, 1.0))
        intervals.append(wilson_interval(float(cell[ok].mean()), areas))
    return intervals


def _mixed(values: NDArray[np.float64]) -> float:
    return float(values.mean() * (1 - values.mean()))


def wilson_interval(share: float, n: float) -> Interval:
    """Return Wilson's 95 % interval of a share that was seen in ``n`` independent places."""
    z2 = NORMAL_975**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share))


def likeness_of_neighbours(cells: Sequence[NDArray[np.float64]]) -> float:
    """Return the correlation of next neighbours in grids of fields, pooled over the grids, 0 to 0.95.

    Each grid's own mean is taken off, which makes neighbours look less alike than they are, the more so the more alike
    they are; solved for by iteration, with a likeness of r^d at a distance of d steps.
    """
    products = squares = pairs = number = 0.0
    shape = None
    for fields in cells:
        used = np.isfinite(fields)
        if used.sum() < 4:
            continue
        shape = used if shape is None or used.sum() > shape.sum() else shape
        deviation = np.where(used, fields - fields[used].mean(), 0.0)
        products += float((deviation[:, 1:] * deviation[:, :-1]).sum() + (deviation[1:] * deviation[:-1]).sum())
        pairs += float((used[:, 1:] & used[:, :-1]).sum() + (used[1:] & used[:-1]).sum())
        squares += float((deviation**2).sum())
        number += float(used.sum())
    if shape is None or squares <= 0 or pairs == 0:
        return 0.0
    raw, likeness, apart = products / pairs / (squares / number), 0.0, _distances(shape)
    for _ in range(30):
        shared = float((likeness**apart).mean())
        likeness = float(np.clip(raw * (1 - shared) + shared, 0.0, 0.95))
    return likeness


def effective_fields(used: NDArray[np.bool_], likeness: float) -> float:
    """Return the number of independent fields that a grid is worth: n^2 over the sum of likeness^distance."""
    return 1 / float((likeness ** _distances(used)).mean())


def _distances(used: NDArray[np.bool_]) -> NDArray[np.float64]:
    y, x = np.nonzero(used)
    return np.asarray(np.hypot(y[:, None] - y[None, :], x[:, None] - x[None, :]))


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
