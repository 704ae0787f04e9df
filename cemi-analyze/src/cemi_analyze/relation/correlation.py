"""Correlation of two profiles whose points are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cemi_analyze.relation.covariance import Covariances, drawn_curves, likeness_matrix
from cemi_core.numeric.significance import fisher_interval, p_value, pearson_r


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation, its 95 % interval, two-sided p and the number of independent points behind them."""

    r: float
    low: float
    high: float
    p_value: float
    n_effective: float


def effective_sample_size(position: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the number of independent pairs that two smooth series are worth.

    ``1 + tr(B Sx) tr(B Sy) / tr(B Sx B Sy)``, where B removes the mean and Sx, Sy hold the correlations within each
    series (Clifford, Richardson and Hemon, Biometrics 1989, 45, 123; Dutilleul, Biometrics 1993, 49, 305).

    Parameters
    ----------
    position : ndarray of float, shape (n,) or (n, 2)
        Where the points lie along the profile, or on the surface.
    x, y : ndarray of float, shape (n,)

    Returns
    -------
    float
        Between 2 and n.
    """
    likeness_x, likeness_y = likeness_matrix(position, x), likeness_matrix(position, y)
    centred_x = likeness_x - likeness_x.mean(axis=0)
    centred_y = likeness_y - likeness_y.mean(axis=0)
    variance = float(np.sum(centred_x * centred_y.T)) / (np.trace(centred_x) * np.trace(centred_y))
    return float(np.clip(1 + 1 / variance, 2.0, len(x))) if variance > 0 else float(len(x))


def correlate(
    position: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], given: int = 0
) -> Correlation:
    """Return Pearson's r of two series at the same places, judged with their effective sample size.

    Parameters
    ----------
    position : ndarray of float, shape (n,) or (n, 2)
    x, y : ndarray of float, shape (n,)
        Where other variables are held fixed, what `without` leaves of both.
    given : int
        Number of these variables: each costs a degree of freedom.
    """
    return _judged(pearson_r(x, y), effective_sample_size(position, x, y) - given)


def correlate_independent(x: NDArray[np.float64], y: NDArray[np.float64], given: int = 0) -> Correlation:
    """Return Pearson's r of two series whose points know nothing of each other: each counts fully."""
    return _judged(pearson_r(x, y), float(len(x)) - given)


def _judged(r: float, n_effective: float) -> Correlation:
    return Correlation(r, *fisher_interval(r, n_effective), p_value(r, n_effective), n_effective)


def of_ranks(found: Correlation) -> Correlation:
    """Return a correlation of ranks with the wider interval that Spearman's rho needs.

    The variance of its Fisher z is (1 + rho^2 / 2) / (n - 3) (Bonett and Wright, Psychometrika 2000, 65, 23).
    """
    if not math.isfinite(found.r) or found.n_effective <= 3:
        return found
    widened = 3 + (found.n_effective - 3) / (1 + found.r**2 / 2)
    return replace(found, **dict(zip(("low", "high"), fisher_interval(found.r, widened), strict=True)))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks of values, ties sharing their mean."""
    return np.asarray(rankdata(values), np.float64)


def without(given: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is left of a series when a straight line in another one is taken off.

    Parameters
    ----------
    given, values : ndarray of float, shape (n,)
    """
    line, centred = given - given.mean(), values - values.mean()
    size = float(line @ line)
    left = centred - line * (float(line @ centred) / size) if size > 0 else centred
    # What rounding leaves of a series that is the line itself is not a series.
    return np.asarray(left if float(left @ left) > 1e-20 * float(centred @ centred) else np.zeros_like(left))


def curves_p_value(
    covariances: Covariances, x: NDArray[np.float64], y: NDArray[np.float64], seed: int = 0, draws: int = 999
) -> float:
    """Return a two-sided p of a correlation by curves drawn from the covariances that fit ``y``.

    How many of the curves, which know nothing of ``x``, go with it at least as closely as ``y`` does.
    """
    curves = drawn_curves(covariances, draws, np.random.default_rng(seed))
    return _share_as_close(curves, x, abs(pearson_r(x, y)))


def shift_p_value(x: NDArray[np.float64], y: NDArray[np.float64], seed: int = 0, draws: int = 999) -> float:
    """Return a two-sided p by surrogates of ``x`` with its own spectrum but random phases.

    An alternative that assumes equal steps and a series without trend (Theiler et al., Physica D 1992, 58, 77); it says
    the least where the series is shorter than a few of its waves.
    """
    rng = np.random.default_rng(seed)
    spectrum = np.abs(np.fft.rfft(x - x.mean()))
    phases = np.exp(2j * np.pi * rng.random((draws, len(spectrum))))
    surrogates = np.fft.irfft(spectrum * phases, n=len(x), axis=1)
    return _share_as_close(surrogates, y, abs(pearson_r(x, y)))


def _share_as_close(curves: NDArray[np.float64], series: NDArray[np.float64], observed: float) -> float:
    """Return the p of a correlation: how many of the curves (draws, n) go with a series at least as closely."""
    curves = curves - curves.mean(axis=1, keepdims=True)
    centred = series - series.mean()
    r = curves @ centred / np.sqrt((curves**2).sum(axis=1) * float(centred @ centred))
    return float((1 + np.sum(np.abs(r) >= observed - 1e-12)) / (len(curves) + 1))
