"""Standard errors of the positions, from the normal equations of the solve, in bounded time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded
from scipy.sparse import csc_matrix, diags
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from cemi_stitch.solve.least_squares import NormalShiftEquations, both_axes, components, incidence_matrix

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
    normal_shifts: NormalShiftEquations | None = None,
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
    normal_shifts : NormalShiftEquations, optional
        Shifts that are known in one direction; they join frames as the others do.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        px; NaN for frames that nothing joins to the largest component.
    """
    edges, prior_edges = edges.reshape(-1, 2), prior_edges.reshape(-1, 2)
    across = np.zeros((0, 2), np.int64) if normal_shifts is None else normal_shifts.edges
    main = components(count, np.concatenate([edges, across])) == 0
    every = np.concatenate([edges, prior_edges])
    joined = components(count, np.concatenate([every, across]))
    scale = _unit_variance(count, edges, sigma_px, residuals_px)
    result = np.full((count, 2), np.nan)
    weight = [np.concatenate([1 / (sigma_px**2 * scale[n]), 1 / prior_sigma_px[:, n] ** 2]) for n in (0, 1)]
    if normal_shifts is None:
        incidence, group = incidence_matrix(count, every), components(count, every)
        variance = np.stack([_variances(incidence, weight[n], group, main) for n in (0, 1)], axis=1)
    else:
        matrix = both_axes(count, every, normal_shifts)
        every_weight = np.concatenate([*weight, 1 / normal_shifts.sigma_px**2])
        axes = [
            _variances(matrix, every_weight, np.concatenate([joined, joined + count]), part)
            for part in (np.concatenate([main, 0 * main]), np.concatenate([0 * main, main]))
        ]
        variance = np.stack([axes[0][:count], axes[1][count:]], axis=1)
    result[:] = np.sqrt(variance + FRAME_SIGMA_PX**2)
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
    matrix: csc_matrix, weight: NDArray[np.float64], group: NDArray[np.int64], main: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the variance of each unknown minus the mean of those in ``main``, shape (n,).

    ``matrix`` turns unknowns into what was measured with ``weight``; unknowns of a ``group`` have one common freedom.
    """
    pinned = np.zeros(matrix.shape[1])  # the first of each group; the differences asked for do not depend on it
    pinned[np.unique(group, return_index=True)[1]] = np.median(weight) if len(weight) else 1.0
    normal = csc_matrix(matrix.T @ diags(weight) @ matrix + diags(pinned))
    to_mean = splu(normal).solve(main / main.sum())
    variance = inverse_diagonal(normal) - 2 * to_mean + to_mean[main.astype(bool)].mean()
    return np.asarray(np.maximum(variance, 0.0))


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
