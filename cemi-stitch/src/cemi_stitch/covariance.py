"""How well each place is known: standard errors from the normal equations of the solve, in bounded time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded
from scipy.sparse import csc_matrix, diags
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from cemi_stitch.solve import components, incidence_matrix

#: Residuals are trusted against the stated standard errors as far as loops give more numbers than this.
STATED_FREEDOM = 1.0
#: What no loop can show, px: drift and distortion within a frame move all its shifts alike (0.03 px in frames of the
#: virtual microscope).
FRAME_SIGMA_PX = 0.03


def position_sigma(
    count: int,
    edges: NDArray[np.int64],
    sigma_px: NDArray[np.float64],
    residuals_px: NDArray[np.float64],
    prior_edges: NDArray[np.int64],
    prior_sigma_px: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the standard error of each place relative to the middle of the largest component.

    The inverse of the weighted normal equations, times the variance that loops show (residuals of closed loops know
    of errors that the matcher does not), separately for y and x, and a floor for what loops cannot show.

    Parameters
    ----------
    count : int
        Number of frames, n.
    edges : ndarray of int, shape (m, 2)
        Measured pairs that the solve used.
    sigma_px : ndarray of float, shape (m,)
        Their stated standard errors.
    residuals_px : ndarray of float, shape (m, 2)
        Measured minus solved shift.
    prior_edges : ndarray of int, shape (k, 2)
        Shifts that the stage model gave.
    prior_sigma_px : ndarray of float, shape (k, 2)
        Their standard errors (y, x).

    Returns
    -------
    ndarray of float64, shape (n, 2)
        px; NaN for frames that nothing joins to the largest component.
    """
    edges, prior_edges = edges.reshape(-1, 2), prior_edges.reshape(-1, 2)
    main = components(count, edges) == 0
    every = np.concatenate([edges, prior_edges])
    joined = components(count, every)
    scale = _unit_variance(count, edges, sigma_px, residuals_px)
    result = np.full((count, 2), np.nan)
    for axis in (0, 1):
        weight = np.concatenate([1 / (sigma_px**2 * scale[axis]), 1 / prior_sigma_px[:, axis] ** 2])
        result[:, axis] = np.sqrt(_variances(count, every, weight, main) + FRAME_SIGMA_PX**2)
    result[joined != joined[np.argmax(main)]] = np.nan
    return result


def _unit_variance(
    count: int, edges: NDArray[np.int64], sigma: NDArray[np.float64], residuals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the variance of residuals in units of the stated one, (y, x); 1 without loops."""
    freedom = len(edges) - count + int(components(count, edges).max(initial=-1)) + 1
    squares = ((residuals / sigma[:, None]) ** 2).sum(axis=0) if len(edges) else np.zeros(2)
    scale: NDArray[np.float64] = (squares + STATED_FREEDOM) / (freedom + STATED_FREEDOM)
    return scale


def _variances(
    count: int, edges: NDArray[np.int64], weight: NDArray[np.float64], main: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the variance of p_i minus the mean of p over ``main``, shape (n,)."""
    incidence = incidence_matrix(count, edges)
    pinned = np.zeros(count)  # the first frame of each group; the differences asked for do not depend on it
    pinned[np.unique(components(count, edges), return_index=True)[1]] = np.median(weight) if len(weight) else 1.0
    normal = csc_matrix(incidence.T @ diags(weight) @ incidence + diags(pinned))
    to_mean = splu(normal).solve(main / main.sum())
    variance = inverse_diagonal(normal) - 2 * to_mean + to_mean[main].mean()
    return np.maximum(variance, 0.0)


def inverse_diagonal(matrix: csc_matrix) -> NDArray[np.float64]:
    """Return the diagonal of the inverse of a sparse symmetric positive definite matrix, shape (n,).

    Only the entries of the inverse within the band of the matrix (after reverse Cuthill-McKee ordering) are computed:
    n steps of b x b numbers for a band of width b (Takahashi's equations; Erisman and Tinney, Commun. ACM 18 (1975)
    177).
    """
    order = reverse_cuthill_mckee(matrix.tocsr(), symmetric_mode=True)
    entries = matrix[order][:, order].tocoo()
    lower = entries.row >= entries.col
    row, column, value = entries.row[lower], entries.col[lower], entries.data[lower]
    count, width = matrix.shape[0], int((row - column).max(initial=0))
    band = np.zeros((width + 1, count))
    band[row - column, column] = value
    factor = cholesky_banded(band, lower=True)
    below = factor[1:] / factor[0]
    diagonal = np.empty(count)
    window = np.zeros((width, width))  # inverse at rows and columns i + 1 ... i + width
    for i in range(count - 1, -1, -1):
        left = -(window @ below[:, i])
        corner = 1.0 / factor[0, i] ** 2 - below[:, i] @ left
        diagonal[order[i]] = corner
        if width:
            window[1:, 1:] = window[:-1, :-1].copy()
            window[0, 0] = corner
            window[0, 1:] = window[1:, 0] = left[:-1]
    return diagonal
