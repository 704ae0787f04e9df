"""How alike the neighbouring points of a series are: a covariance model fitted to it, and curves drawn from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

#: Ranges and nuggets that the covariance model tries; ranges in shares of the largest distance.
_RANGES = np.geomspace(0.01, 1.0, 14)
_NUGGETS = (0.0, 0.1, 0.3, 0.6)
#: On the diagonal, so that very smooth models stay positive definite.
_JITTER = 1e-6


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
    likelihood = np.array([_restricted_likelihood(_model_matrix(apart, *shape), values) for shape in shapes])
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


def _restricted_likelihood(matrix: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    n = len(values)
    try:
        factor = cho_factor(matrix + _JITTER * np.eye(n), lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return -math.inf
    solved = cho_solve(factor, np.column_stack([np.ones(n), values]), check_finite=False)
    information = float(solved[:, 0].sum())
    residual = float(values @ solved[:, 1]) - float(solved[:, 1].sum()) ** 2 / information
    if residual <= 0 or information <= 0:
        return -math.inf
    determinant = 2 * float(np.log(np.diag(factor[0])).sum())
    return -0.5 * (determinant + math.log(information) + (n - 1) * math.log(residual))
