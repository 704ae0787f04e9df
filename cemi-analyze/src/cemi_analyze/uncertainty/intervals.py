"""Intervals and correlations of things that are not independent: fields of a picture, points of a smooth profile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cemi_core.numeric.fields import (
    Interval,
    e562_interval,
    effective_fields,
    likeness_of_neighbours,
    spatial_mean_interval,
)
from cemi_core.numeric.significance import NORMAL_975

__all__ = [
    "Interval",
    "block_bootstrap",
    "e562_interval",
    "effective_fields",
    "likeness_of_neighbours",
    "patch_share_intervals",
    "spatial_mean_interval",
    "wilson_interval",
]


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
