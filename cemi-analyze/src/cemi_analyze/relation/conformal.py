"""Prediction intervals that hold whatever the model: what it errs by where it has not been fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.relation.together import Fit


@dataclass(frozen=True)
class Predicted:
    """What a model predicts of each point without it and without its block.

    Attributes
    ----------
    value, low, high : ndarray of float, shape (n,)
        Prediction and its interval; the interval is infinite where too few points are left for the coverage that was
        asked for.
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def blocks_along(position: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return a block for each point: ``count`` runs of neighbours along x, as equal in number as can be.

    Parameters
    ----------
    position : ndarray of float, shape (n,) or (n, 2)
    count : int
        1 to n.
    """
    x = position if position.ndim == 1 else position[:, 0]
    block = np.empty(len(x), np.int64)
    block[np.argsort(x, kind="stable")] = np.arange(len(x)) * count // len(x)
    return block


def jackknife_plus(
    quantities: NDArray[np.float64],
    values: NDArray[np.float64],
    block: NDArray[np.int64],
    coverage: float,
    fit: Fit,
) -> Predicted:
    """Return the interval in which a model that has not seen a point's block expects its property.

    Jackknife+ over blocks, which is CV+ (Barber, Candes, Ramdas and Tibshirani, Ann. Stat. 2021, 49, 486): every other
    block is left out once more, and what the model errs by there is put around what it predicts here. With one point
    in each block it is the jackknife+. It holds at least 2 * coverage - 1 of new points, and coverage of them in
    practice, if points of different blocks are exchangeable.

    Parameters
    ----------
    quantities : ndarray of float, shape (n, k)
    values : ndarray of float, shape (n,)
    block : ndarray of int, shape (n,)
        From `blocks_along`, at least two different ones.
    coverage : float
        Between 0 and 1.
    fit : callable
    """
    names = np.unique(block)
    value = np.full(len(values), np.nan)
    below: list[list[NDArray[np.float64]]] = [[] for _ in names]
    above: list[list[NDArray[np.float64]]] = [[] for _ in names]
    for first, one in enumerate(names):
        here = block == one
        value[here] = fit(quantities[~here], values[~here])(quantities[here])
        for second in range(first + 1, len(names)):
            there = block == names[second]
            predict = fit(quantities[~(here | there)], values[~(here | there)])
            at = {first: predict(quantities[here]), second: predict(quantities[there])}
            for own, other, mask in ((first, second, there), (second, first, here)):
                errors = np.abs(values[mask] - at[other])
                below[own].append(at[own][:, None] - errors[None, :])
                above[own].append(at[own][:, None] + errors[None, :])
    low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for number, one in enumerate(names):
        here = block == one
        low[here] = -_upper_quantile(-np.concatenate(below[number], axis=1), coverage)
        high[here] = _upper_quantile(np.concatenate(above[number], axis=1), coverage)
    return Predicted(value, np.minimum(low, value), np.maximum(high, value))


def split_conformal(
    quantities: NDArray[np.float64], values: NDArray[np.float64], block: NDArray[np.int64], coverage: float, fit: Fit
) -> Predicted:
    """Return the same as `jackknife_plus` for many points, with one fit for each block.

    Of the points outside a block those of even blocks fit the model, and those of odd blocks tell its error (Lei,
    G'Sell, Rinaldo, Tibshirani and Wasserman, J. Am. Stat. Assoc. 2018, 113, 1094).
    """
    value, half = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for one in np.unique(block):
        here = block == one
        calibrate = ~here & (block % 2 == 1)
        predict = fit(quantities[~here & ~calibrate], values[~here & ~calibrate])
        value[here] = predict(quantities[here])
        errors = np.abs(values[calibrate] - predict(quantities[calibrate]))
        half[here] = _upper_quantile(errors[None, :], coverage)[0]
    return Predicted(value, value - half, value + half)


def _upper_quantile(scores: NDArray[np.float64], coverage: float) -> NDArray[np.float64]:
    """Return of each row the smallest score that at least ``coverage`` of n + 1 do not exceed; infinite if none is."""
    n = scores.shape[1]
    rank = int(np.ceil(coverage * (n + 1) - 1e-9))
    if rank > n:
        return np.full(len(scores), np.inf)
    return np.asarray(np.partition(scores, rank - 1, axis=1)[:, rank - 1])
