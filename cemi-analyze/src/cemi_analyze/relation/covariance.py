"""How alike the neighbouring points of a series are: a covariance model fitted to it, and curves drawn from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Ranges and nuggets that the covariance model tries; ranges in shares of the largest distance.
_RANGES = np.geomspace(0.01, 1.0, 14)
_NUGGETS = (0.0, 0.1, 0.3, 0.6)
#: On the diagonal, so that very smooth models stay positive definite.
_JITTER = 1e-6
#: Numbers in the matrices that are factored at once: 32 MB.
_MAX_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Covariances:
    """Every covariance model that was tried on a series, with how well it fits.

    Attributes
    ----------
    apart : ndarray of float, shape (n, n)
        Distance between every two points.
    shape : tuple of (str, float, float)
        Of each model ``"exponential"`` or ``"gaussian"``, its range in the unit of the positions, and its nugget, the
        share of the variance that is independent noise.
    log_likelihood : ndarray of float, shape (models,)
        Restricted log-likelihood of each, up to a common constant.
    """

    apart: NDArray[np.float64]
    shape: tuple[tuple[str, float, float], ...]
    log_likelihood: NDArray[np.float64]

    @property
    def best(self) -> int:
        """The model that fits best; independent points where none fits better than they."""
        return int(np.argmax(self.log_likelihood))

    @property
    def length(self) -> float:
        """Correlation length of the best model: where what is alike has fallen to 1/e; 0 of independent points."""
        kind, reach, _ = self.shape[self.best]
        return reach * (math.sqrt(2) if kind == "gaussian" else 1.0)

    def matrix(self, model: int) -> NDArray[np.float64]:
        """Return the correlation between every two points by one of the models."""
        return _model_matrix(self.apart, *self.shape[model])

    def weights(self) -> NDArray[np.float64]:
        """Return how likely each model is, the sum being 1: few points leave several about equally likely."""
        likely = np.exp(self.log_likelihood - self.log_likelihood.max())
        return np.asarray(likely / likely.sum())


def distances(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance between every two points, shape (n, n), of positions (n,) or (n, 2)."""
    along = position[:, None] if position.ndim == 1 else position
    return np.asarray(np.linalg.norm(along[:, None, :] - along[None, :, :], axis=2))


def fitted_covariances(position: NDArray[np.float64], values: NDArray[np.float64]) -> Covariances:
    """Fit covariance models to a series: exponential and Gaussian ones with a nugget (independent noise).

    On a lattice of ranges and nuggets, judged by restricted maximum likelihood: unlike the sample autocorrelation it is
    not biased downwards by the mean that was estimated from the same few points (Patterson and Thompson, Biometrika
    1971, 58, 545).

    Parameters
    ----------
    position : ndarray of float, shape (n,) or (n, 2)
        Along a line, or on the surface.
    values : ndarray of float, shape (n,)
    """
    apart = distances(position)
    largest = max(float(apart.max(initial=0.0)), 1e-300)
    shapes: list[tuple[str, float, float]] = [("independent", 0.0, 1.0)]
    shapes += [
        (kind, reach * largest, nugget)
        for reach in _RANGES.tolist()
        for kind in ("exponential", "gaussian")
        for nugget in _NUGGETS
    ]
    several = max(1, _MAX_ELEMENTS // apart.size)
    parts = [shapes[first : first + several] for first in range(0, len(shapes), several)]
    matrices = (np.stack([_model_matrix(apart, *shape) for shape in part]) for part in parts)
    likelihood = np.concatenate([_restricted_likelihoods(each, values) for each in matrices])
    if not np.isfinite(likelihood).any():  # a series without any scatter
        likelihood[0] = 0.0
    return Covariances(apart, tuple(shapes), likelihood)


def _model_matrix(apart: NDArray[np.float64], kind: str, reach: float, nugget: float) -> NDArray[np.float64]:
    if kind == "independent":
        return np.eye(len(apart))
    model = np.exp(-apart / reach) if kind == "exponential" else np.exp(-0.5 * (apart / reach) ** 2)
    matrix = (1 - nugget) * model
    np.fill_diagonal(matrix, 1.0)
    return np.asarray(matrix)


def likeness_matrix(position: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation between every two points of a series, by the model of `fitted_covariances` that fits best.

    Parameters
    ----------
    position : ndarray of float, shape (n,) or (n, 2)
    values : ndarray of float, shape (n,)

    Returns
    -------
    ndarray of float, shape (n, n)
    """
    found = fitted_covariances(position, values)
    return found.matrix(found.best)


def drawn_curves(covariances: Covariances, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return curves that are as smooth as the series but know nothing of any quantity.

    Each comes from one of the models, drawn by its likelihood, so that the curves hold what the series leaves open of
    its own smoothness.

    Returns
    -------
    ndarray of float, shape (draws, n)
    """
    models = rng.choice(len(covariances.shape), size=draws, p=covariances.weights())
    n = len(covariances.apart)
    noise, curves = rng.standard_normal((draws, n)), np.empty((draws, n))
    for model in np.unique(models).tolist():
        own = models == model
        root = np.linalg.cholesky(covariances.matrix(model) + _JITTER * np.eye(n))
        curves[own] = noise[own] @ root.T
    return curves


def _restricted_likelihoods(matrices: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the restricted log-likelihood of a series by each correlation matrix (m, n, n); -inf without scatter."""
    models, n = matrices.shape[:2]
    factor = np.linalg.cholesky(matrices + _JITTER * np.eye(n))
    given, white = np.column_stack([np.ones(n), values]), np.empty((models, n, 2))
    for row in range(n):  # forward substitution, all models at once
        known = factor[:, row, None, :row] @ white[:, :row]
        white[:, row] = (given[row] - known[:, 0]) / factor[:, row, row, None]
    information = (white[..., 0] ** 2).sum(axis=1)
    residual = (white[..., 1] ** 2).sum(axis=1) - (white[..., 0] * white[..., 1]).sum(axis=1) ** 2 / information
    determinant = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = -0.5 * (determinant + np.log(information) + (n - 1) * np.log(residual))
    return np.where(residual > 0, likelihood, -math.inf)
