"""Means over fields that are not independent: blocks of a cell, cells of a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import fftconvolve
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


def strip_mean_interval(fields: NDArray[np.float64], strips: int = 10) -> Interval:
    """Return the mean over a large grid of fields with an interval from the means of contiguous strips across it.

    Neighbouring fields are alike, so that the interval over single ones would be too narrow; the means of ten strips
    along the longer axis are nearly independent (ASTM E562 counts fields, not points, for the same reason), whatever
    the likeness looks like. A trend along that axis widens the interval.

    Parameters
    ----------
    fields : ndarray of float, shape (rows, columns)
        NaN where there is none.
    strips : int
        At most this many.

    Returns
    -------
    Interval
        NaN bounds with fewer than two strips.
    """
    seen = np.isfinite(fields)
    if not seen.any():
        return Interval(math.nan, math.nan, math.nan)
    mean = float(fields[seen].mean())
    along = fields if fields.shape[1] >= fields.shape[0] else fields.T
    parts = np.array_split(along, min(strips, along.shape[1]), axis=1)
    means = np.array([part[np.isfinite(part)].mean() for part in parts if np.isfinite(part).any()])
    if means.size < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(student_t.ppf(0.975, means.size - 1) * means.std(ddof=1) / math.sqrt(means.size))
    return Interval(mean, mean - half, mean + half)


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
    raw, likeness = products / pairs / (squares / number), 0.0
    for _ in range(30):
        shared = _mean_likeness(shape, likeness)
        likeness = float(np.clip(raw * (1 - shared) + shared, 0.0, 0.95))
    return likeness


def effective_fields(used: NDArray[np.bool_], likeness: float) -> float:
    """Return the number of independent fields that a grid is worth: n^2 over the sum of likeness^distance."""
    return 1 / _mean_likeness(used, likeness)


def _mean_likeness(used: NDArray[np.bool_], likeness: float) -> float:
    """Return the mean of likeness^distance over all pairs of fields, each with itself too.

    Summed over the distances that a grid has, each as often as it occurs: the autocorrelation of the fields in use.
    """
    mask = used.astype(np.float64)
    pairs = np.rint(fftconvolve(mask, mask[::-1, ::-1]))
    apart = np.hypot(*np.ogrid[1 - used.shape[0] : used.shape[0], 1 - used.shape[1] : used.shape[1]])
    return float((pairs * likeness**apart).sum() / pairs.sum())
