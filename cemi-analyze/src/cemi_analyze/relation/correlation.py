"""Correlation of two profiles whose points are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from cemi_core.numeric.significance import fisher_interval, p_value, pearson_r

#: Ranges and nuggets that the covariance model tries; ranges in shares of the profile's length.
_RANGES = np.geomspace(0.01, 1.0, 14)
_NUGGETS = (0.0, 0.1, 0.3, 0.6)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's r, its 95 % interval, two-sided p and the number of independent points behind them."""

    r: float
    low: float
    high: float
    p_value: float
    n_effective: float


def likeness_matrix(position: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation between every two points of a series, by the covariance model that fits it best.

    Exponential and Gaussian models with a nugget (independent noise), fitted by restricted maximum likelihood on a
    lattice of ranges and nuggets: unlike the sample autocorrelation it is not biased downwards by the mean that was
    estimated from the same few points (Patterson and Thompson, Biometrika 1971, 58, 545).

    Parameters
    ----------
    position, values : ndarray of float, shape (n,)

    Returns
    -------
    ndarray of float, shape (n, n)
    """
    apart = np.abs(position[:, None] - position[None, :]) / max(np.ptp(position), 1e-300)
    best, chosen = _restricted_likelihood(np.eye(len(values)), values), np.eye(len(values))
    for reach in _RANGES:
        for model in (np.exp(-apart / reach), np.exp(-0.5 * (apart / reach) ** 2)):
            for nugget in _NUGGETS:
                matrix = (1 - nugget) * model
                np.fill_diagonal(matrix, 1.0)
                likelihood = _restricted_likelihood(matrix, values)
                if likelihood > best:
                    best, chosen = likelihood, matrix
    return chosen


def _restricted_likelihood(matrix: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    n = len(values)
    try:
        factor = cho_factor(matrix + 1e-6 * np.eye(n), lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return -math.inf
    solved = cho_solve(factor, np.column_stack([np.ones(n), values]), check_finite=False)
    information = float(solved[:, 0].sum())
    residual = float(values @ solved[:, 1]) - float(solved[:, 1].sum()) ** 2 / information
    if residual <= 0 or information <= 0:
        return -math.inf
    determinant = 2 * float(np.log(np.diag(factor[0])).sum())
    return -0.5 * (determinant + math.log(information) + (n - 1) * math.log(residual))


def effective_sample_size(position: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the number of independent pairs that two smooth series are worth.

    ``1 + tr(B Sx) tr(B Sy) / tr(B Sx B Sy)``, where B removes the mean and Sx, Sy hold the correlations within each
    series (Clifford, Richardson and Hemon, Biometrics 1989, 45, 123; Dutilleul, Biometrics 1993, 49, 305).

    Parameters
    ----------
    position : ndarray of float, shape (n,)
        Where the points lie along the profile.
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


def correlate(position: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> Correlation:
    """Return the correlation of two series along one line, judged with their effective sample size."""
    r, n_effective = pearson_r(x, y), effective_sample_size(position, x, y)
    return Correlation(r, *fisher_interval(r, n_effective), p_value(r, n_effective), n_effective)


def correlate_independent(x: NDArray[np.float64], y: NDArray[np.float64]) -> Correlation:
    """Return the correlation of two series whose points know nothing of each other: each counts fully."""
    r, n = pearson_r(x, y), float(len(x))
    return Correlation(r, *fisher_interval(r, n), p_value(r, n), n)


def shift_p_value(x: NDArray[np.float64], y: NDArray[np.float64], seed: int = 0, draws: int = 999) -> float:
    """Return a two-sided p by surrogates of ``x`` with its own spectrum but random phases.

    An alternative that assumes equal steps and a series without trend (Theiler et al., Physica D 1992, 58, 77); it says
    the least where the series is shorter than a few of its waves.
    """
    rng = np.random.default_rng(seed)
    observed = abs(pearson_r(x, y))
    spectrum = np.abs(np.fft.rfft(x - x.mean()))
    phases = np.exp(2j * np.pi * rng.random((draws, len(spectrum))))
    surrogates = np.fft.irfft(spectrum * phases, n=len(x), axis=1)
    surrogates -= surrogates.mean(axis=1, keepdims=True)
    centred = y - y.mean()
    r = surrogates @ centred / np.sqrt((surrogates**2).sum(axis=1) * float(centred @ centred))
    return float((1 + np.sum(np.abs(r) >= observed - 1e-12)) / (draws + 1))


def leave_one_out_q2(predictors: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Return R2 of a least-squares fit with intercept and its leave-one-out Q2.

    Q2 = 1 - sum of squared errors of points predicted without themselves / the same for the mean of the others. A fit
    of noise has R2 > 0 but Q2 <= 0.

    Parameters
    ----------
    predictors : ndarray of float, shape (n, k)
    target : ndarray of float, shape (n,)

    Returns
    -------
    r2, q2 : float
        NaN with fewer than k + 3 points.
    """
    n, k = predictors.shape
    if n < k + 3:
        return math.nan, math.nan
    design = np.column_stack([np.ones(n), (predictors - predictors.mean(axis=0))])
    hat = design @ np.linalg.pinv(design)
    residual = target - hat @ target
    spread = target - target.mean()
    total = float(spread @ spread)
    if total <= 0:
        return math.nan, math.nan
    predicted_error = residual / np.maximum(1 - np.diag(hat), 1e-9)
    mean_error = spread * n / (n - 1)
    return 1 - float(residual @ residual) / total, 1 - float(predicted_error @ predicted_error) / float(
        mean_error @ mean_error
    )
