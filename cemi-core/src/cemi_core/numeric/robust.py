"""Robust fits: the median absolute deviation, weights that let outliers count less, and the loop that reweights.

All loops of iteratively reweighted least squares (IRLS) share `irls`; they differ in what is solved (`normal_solver`,
`lstsq_solver`, or a function of one's own) and in the weights. P. J. Huber and E. M. Ronchetti, Robust Statistics, 2nd
ed., Wiley 2009, chapter 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import splu

#: Standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_STD = 1.4826

Array = NDArray[np.float64]
Value = TypeVar("Value")


def mad(values: Any, about: Any = 0.0, axis: int | None = None) -> Any:
    """Return the median of |values - about|; parameters are those of `mad_std`."""
    return np.median(np.abs(np.subtract(values, about)), axis=axis)


def mad_std(values: Any, about: Any = 0.0, axis: int | None = None, times: float = 1.0) -> Any:
    """Return the robust standard deviation: 1.4826 times the median of |values - about|.

    Parameters
    ----------
    values : array_like of float
        Float32 gives a float32 result.
    about : array_like of float
        What deviations are taken from: 0 for residuals, their median for values with a location of their own.
    axis : int, optional
        Along which the median is taken; over all values by default.
    times : float
        How many standard deviations are wanted.
    """
    return times * MAD_TO_STD * mad(values, about, axis)


def huber_weights(misfit: Array, limit: float) -> Array:
    """Return Huber's weights: 1 up to ``limit``, ``limit / |misfit|`` beyond."""
    weights: Array = 1 / np.maximum(np.abs(misfit) / limit, 1.0)
    return weights


def absolute_weights(misfit: Array, floor: float, base: Array | float = 1.0) -> Array:
    """Return the weights that turn least squares into least absolute deviations: ``base / |misfit|``.

    Misfits below ``floor`` weigh as if they were that large (I. Daubechies et al., Commun. Pure Appl. Math. 63 (2010)
    1).
    """
    weights: Array = base / np.maximum(np.abs(misfit), floor)
    return weights


def cauchy_weights(misfit: Any, scale: Any, base: Any = 1.0) -> Any:
    """Return Cauchy's weights, ``base / (1 + (misfit / scale)^2)``; float32 stays float32."""
    return base / (1.0 + (misfit / scale) ** 2)


def tukey_weights(misfit: Array, limit: float) -> Array:
    """Return Tukey's biweight: ``(1 - (misfit / limit)^2)^2``, 0 beyond ``limit``."""
    weights: Array = np.clip(1 - (misfit / limit) ** 2, 0, 1) ** 2
    return weights


def irls(
    solve: Callable[[Array], Value],
    reweigh: Callable[[Value, int], Array],
    weight: Array,
    rounds: int,
) -> tuple[Value, Array]:
    """Solve, reweigh by the misfit, and solve again.

    Parameters
    ----------
    solve : callable
        From weights to the solution.
    reweigh : callable
        From a solution and the number of the round, from 0, to the next weights.
    weight : ndarray, shape (m,)
        First weights.
    rounds : int
        How often to solve, at least 1.

    Returns
    -------
    solution
        The last one.
    weight : ndarray, shape (m,)
        Weights by the misfit of that solution.
    """
    for number in range(rounds):
        value = solve(weight)
        weight = reweigh(value, number)
    return value, weight


def normal_solver(
    design: csc_matrix, wanted: Array, prior: csc_matrix, goal: Array | float = 0.0
) -> Callable[[Array], Array]:
    """Return what solves the weighted normal equations ``(D' W D + P) x = D' W y + g`` for given weights.

    Parameters
    ----------
    design : sparse matrix, shape (m, n)
    wanted : ndarray, shape (m,) or (m, k)
    prior : sparse matrix, shape (n, n)
        Precision of what is known beforehand; it must make the equations regular.
    goal : ndarray, shape (n,) or (n, k)
        ``prior`` times what x is drawn to.
    """

    def solve(weight: Array) -> Array:
        right = weight * wanted if wanted.ndim == 1 else weight[:, None] * wanted
        found: Array = factorised(design, weight, prior).solve(design.T @ right + goal)
        return found

    return solve


def factorised(design: csc_matrix, weight: Array, prior: csc_matrix) -> Any:
    """Return the sparse LU factors of the normal matrix ``D' W D + P``; their ``solve`` applies the inverse."""
    return splu(csc_matrix(design.T @ diags(weight) @ design + prior))


def lstsq_solver(design: Array, wanted: Array, rcond: float = 1e-9) -> Callable[[Array], Array]:
    """Return what solves ``design @ x = wanted`` for given weights, dense; directions that are open become 0.

    Parameters
    ----------
    design : ndarray, shape (m, n)
    wanted : ndarray, shape (m, k)
    rcond : float
        Singular values below this share of the largest count as 0.
    """

    def solve(weight: Array) -> Array:
        root = np.sqrt(weight)[:, None]
        return np.asarray(np.linalg.lstsq(root * design, root * wanted, rcond=rcond)[0], np.float64)

    return solve
