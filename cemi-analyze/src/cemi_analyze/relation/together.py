"""Whether several quantities together explain a property: at places far from those that the fit has seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.relation.covariance import Covariances, distances, drawn_curves, fitted_covariances
from cemi_core.model.result import Relation

#: A fitted model: what it predicts from quantities (n, k).
Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]
#: A way to fit one: from quantities (n, k) and the property (n,).
Fit = Callable[[NDArray[np.float64], NDArray[np.float64]], Predict]
#: How well a way to fit describes properties (m, n) by quantities (n, k): a number for each, larger for better.
Score = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

#: Neighbours so many correlation lengths of the property away are left out of a fit.
LENGTHS_LEFT_OUT = 2.0
#: Of these curves at most so many may be described as well as the property, where it counts as explained.
MAX_P = 0.05
#: A fit of k quantities needs so many points more.
_SPARE_POINTS = 3


@dataclass(frozen=True)
class Explained:
    """What a fit of several quantities is worth.

    Attributes
    ----------
    r2 : float
        Share of the variance that the fit describes; NaN with too few points.
    q2 : float
        Share that it predicts at places whose neighbours it has not seen; NaN where too few points are left.
    p_value : float
        How often curves as smooth as the property, but without relation, are described as well.
    predicted : ndarray of float, shape (n,)
        The property of each point as predicted without its neighbours; NaN where unknown.
    left_out_um : float
        How far neighbours were left out.
    """

    r2: float
    q2: float
    p_value: float
    predicted: NDArray[np.float64]
    left_out_um: float

    @property
    def explains(self) -> bool:
        """True only if both tests say so: each alone finds relations in noise."""
        return self.q2 > 0 and self.p_value < MAX_P


def least_squares(quantities: NDArray[np.float64], values: NDArray[np.float64]) -> Predict:
    """Fit a property by a straight line in every quantity, with intercept."""
    mean, offset = quantities.mean(axis=0), values.mean()
    slopes, *_ = np.linalg.lstsq(quantities - mean, values - offset, rcond=1e-9)
    return lambda other: np.asarray(offset + (other - mean) @ slopes)


def r2_of_lines(quantities: NDArray[np.float64], curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R2 of the least-squares fit of each curve by the quantities.

    Parameters
    ----------
    quantities : ndarray of float, shape (n, k)
    curves : ndarray of float, shape (m, n)

    Returns
    -------
    ndarray of float, shape (m,)
    """
    centred = quantities - quantities.mean(axis=0)
    base, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    base = base[:, sizes > 1e-9 * max(sizes[0], 1e-300)]
    around = curves - curves.mean(axis=1, keepdims=True)
    return np.asarray(((around @ base) ** 2).sum(axis=1) / (around**2).sum(axis=1))


def judge_together(
    quantities: NDArray[np.float64],
    values: NDArray[np.float64],
    covariances: Covariances,
    rng: np.random.Generator,
    draws: int = 999,
    fit: Fit = least_squares,
    score: Score = r2_of_lines,
) -> Explained:
    """Judge a fit by places far from those that it has seen, and by curves that know nothing of the quantities.

    A point that is left out alone is still known from its neighbours, and so leave-one-out "confirms" smooth noise in
    38-94 % of cases. Here all points within twice the correlation length of the property are left out with it
    (Roberts et al., Ecography 2017, 40, 913).

    Parameters
    ----------
    quantities : ndarray of float, shape (n, k)
        Finite.
    values : ndarray of float, shape (n,)
        The property, finite.
    covariances : Covariances
        Fitted to the property.
    rng : numpy.random.Generator
    draws : int
        Number of curves.
    fit, score : callable
        The way to fit, and how well it describes; least squares and R2 by default.
    """
    n, k = quantities.shape
    left_out = LENGTHS_LEFT_OUT * covariances.length
    nothing = np.full(n, np.nan)
    if n < k + _SPARE_POINTS or not np.ptp(values) > 0:
        return Explained(math.nan, math.nan, math.nan, nothing, left_out)
    predicted = left_out_predictions(quantities, values, covariances.apart, left_out, fit)
    error, total = float(np.sum((values - predicted) ** 2)), float(np.sum((values - values.mean()) ** 2))
    own = float(score(quantities, values[None])[0])
    others = score(quantities, drawn_curves(covariances, draws, rng))
    p = (1 + int(np.sum(others >= own - 1e-12))) / (draws + 1)
    return Explained(own, 1 - error / total, p, predicted, left_out)


def left_out_predictions(
    quantities: NDArray[np.float64], values: NDArray[np.float64], apart: NDArray[np.float64], left_out: float, fit: Fit
) -> NDArray[np.float64]:
    """Return what a fit predicts of each point from the points farther away than ``left_out``.

    Parameters
    ----------
    quantities : ndarray of float, shape (n, k)
    values : ndarray of float, shape (n,)
    apart : ndarray of float, shape (n, n)
        Distance between every two points.
    left_out : float
        In the unit of ``apart``; at 0 only the point itself (and those at the same place) are left out.
    fit : callable

    Returns
    -------
    ndarray of float, shape (n,)
        NaN for all points if one of them has too few others.
    """
    n, k = quantities.shape
    predicted = np.full(n, np.nan)
    for point in range(n):
        others = apart[point] > left_out
        if others.sum() < k + _SPARE_POINTS:
            return np.full(n, np.nan)
        predicted[point] = fit(quantities[others], values[others])(quantities[point : point + 1])[0]
    return predicted


def covariances_of(position: NDArray[np.float64], values: NDArray[np.float64], independent: bool) -> Covariances:
    """Return the covariance models of a property; of images that stand alone, that of independent points."""
    if not independent:
        return fitted_covariances(position, values)
    return Covariances(distances(position), (("independent", 0.0, 1.0),), np.zeros(1))


def explains_sentence(relation: Relation) -> str:
    """Return in plain words whether several quantities explain a property: both tests must say so."""
    names, of, p = relation.quantities, relation.property_name, relation.p_holm
    what = " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
    does, doesnt = ("explains", "does not explain") if len(names) == 1 else ("explain", "do not explain")
    if not math.isfinite(relation.r):
        return f"{what} {doesnt} {of}: too few places for a fit, or a property that is the same everywhere."
    chance = f"curves as smooth as {of}, drawn at random, fit as well in {100 * p:.2g} % of cases"
    if not math.isfinite(relation.q2):
        return f"{what} {doesnt} {of}: it is so smooth that few places are far from the others; {chance}."
    if relation.q2 <= 0:
        return f"{what} {doesnt} {of}: far from the places of the fit the mean is better (Q2 = {relation.q2:.2f})."
    if not p < MAX_P:
        return f"{what} {doesnt} {of}: {chance}, more than {100 * MAX_P:.0f} %."
    share = f"{100 * relation.q2:.0f} % of its variance is predicted far from the places of the fit (Q2)"
    return f"{what} {does} {of}: {share}, and {chance}."
