"""The global solve: positions of all frames from all measured shifts at once, robust against wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, block_diag, coo_matrix, csc_matrix, diags
from scipy.sparse.csgraph import connected_components

from cemi_core.numeric.robust import absolute_weights, cauchy_weights, irls, normal_solver

#: Scales in px of the Cauchy weight, from forgiving to strict: graduated non-convexity, so that the start does not
#: matter (Black and Rangarajan, Int. J. Comput. Vis. 19 (1996) 57).
ROBUST_SCALES_PX = (64.0, 16.0, 8.0, 4.0, 2.0, 1.0, 1.0, 1.0)

#: A shift with a large standard error is robust at this many of them, whatever the scale.
ROBUST_SIGMAS = 3.0
#: Deviations in px below which least absolute deviations become least squares, round by round.
ABSOLUTE_FLOORS_PX = (16.0, 8.0, 4.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5)


@dataclass(frozen=True)
class NormalShiftEquations:
    """Shifts that are known in one direction.

    Attributes
    ----------
    edges : ndarray of int, shape (k, 2)
        Frames i, j.
    normal : ndarray of float, shape (k, 2)
        Unit vectors (y, x).
    across_px : ndarray of float, shape (k,)
        Position of j minus position of i along ``normal``.
    sigma_px : ndarray of float, shape (k,)
        Standard errors.
    """

    edges: NDArray[np.int64]
    normal: NDArray[np.float64]
    across_px: NDArray[np.float64]
    sigma_px: NDArray[np.float64]


def solve_positions(
    count: int,
    edges: NDArray[np.int64],
    shifts_px: NDArray[np.float64],
    sigma_px: NDArray[np.float64],
    prior_edges: NDArray[np.int64],
    prior_shifts_px: NDArray[np.float64],
    prior_sigma_px: NDArray[np.float64],
    scale: float = 1.0,
) -> NDArray[np.float64]:
    """Return positions by iteratively reweighted sparse least squares.

    Minimises the sum of rho(|p_j - p_i - s_ij| / scale) / sigma_ij^2 over the measured shifts, rho being Cauchy's, plus
    the plain weighted squares of the prior shifts.

    Parameters
    ----------
    count : int
        Number of frames, n.
    edges, prior_edges : ndarray of int, shape (m, 2)
        Frames i, j.
    shifts_px, prior_shifts_px : ndarray of float, shape (m, 2)
        Position of j minus position of i, (y, x).
    sigma_px, prior_sigma_px : ndarray of float, shape (m,)
        Standard errors, above 0.
    scale : float
        Factor on the robust scales, for shifts that were measured on thumbnails.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        Positions; groups of frames that no edge joins each start at (0, 0).
    """
    edges, prior_edges = edges.reshape(-1, 2), prior_edges.reshape(-1, 2)
    every_edge = np.concatenate([edges, prior_edges])
    every_shift = np.concatenate([shifts_px.reshape(-1, 2), prior_shifts_px.reshape(-1, 2)])
    base = 1.0 / np.concatenate([sigma_px, prior_sigma_px]) ** 2
    incidence = incidence_matrix(count, every_edge)
    anchors = _anchors(count, every_edge, base)
    scales = ROBUST_SCALES_PX if len(edges) else (1.0,)

    def reweigh(positions: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        distance = np.linalg.norm(incidence @ positions - every_shift, axis=1)[: len(edges)]
        measured = cauchy_weights(distance, scales[number] * scale, base[: len(edges)])
        return np.concatenate([measured, base[len(edges) :]])

    return irls(normal_solver(incidence, every_shift, anchors), reweigh, base, len(scales))[0]


def solve_with_normal_shifts(
    count: int,
    edges: NDArray[np.int64],
    shifts_px: NDArray[np.float64],
    sigma_px: NDArray[np.float64],
    normal_shifts: NormalShiftEquations,
) -> NDArray[np.float64]:
    """Return positions as `solve_positions` does, by equations that know a shift in one direction as well.

    Parameters
    ----------
    count : int
        Number of frames, n.
    edges : ndarray of int, shape (m, 2)
        Frames i, j of measured and prior shifts.
    shifts_px : ndarray of float, shape (m, 2)
    sigma_px : ndarray of float, shape (m,)
    normal_shifts : NormalShiftEquations

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    matrix = both_axes(count, edges, normal_shifts)
    wanted = np.concatenate([shifts_px[:, 0], shifts_px[:, 1], normal_shifts.across_px])
    base = 1.0 / np.concatenate([sigma_px, sigma_px, normal_shifts.sigma_px]) ** 2
    every_edge = np.concatenate([edges, normal_shifts.edges])
    pins = _anchors(count, every_edge, base)
    anchors = block_diag([pins, pins])
    measured = len(edges)

    def reweigh(flat: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        miss = matrix @ flat - wanted
        distance = np.hypot(miss[:measured], miss[measured : 2 * measured])
        away = np.concatenate([distance, distance, np.abs(miss[2 * measured :])])
        scale = np.maximum(ROBUST_SCALES_PX[number], ROBUST_SIGMAS / np.sqrt(base))
        return np.asarray(cauchy_weights(away, scale, base))

    flat, _ = irls(normal_solver(matrix, wanted, anchors), reweigh, base, len(ROBUST_SCALES_PX))
    return np.asarray(flat.reshape(2, count).T)


def both_axes(count: int, edges: NDArray[np.int64], normal_shifts: NormalShiftEquations) -> csc_matrix:
    """Return the matrix, shape (2 m + k, 2 n), from all y and then all x to shifts in y, in x, and in one direction."""
    whole = incidence_matrix(count, edges)
    part = incidence_matrix(count, normal_shifts.edges)
    across = [diags(normal_shifts.normal[:, axis]) @ part for axis in (0, 1)]
    return block_array([[whole, None], [None, whole], across]).tocsc()


def solve_absolute(count: int, edges: NDArray[np.int64], shifts_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the positions that minimise the sum of |p_j - p_i - s_ij| (least absolute deviations).

    Convex, so that no start is needed, and not moved by a minority of wrong shifts in the loops through each frame; by
    iteratively reweighted least squares (Daubechies et al., Commun. Pure Appl. Math. 63 (2010) 1).

    Parameters
    ----------
    count : int
        Number of frames, n.
    edges : ndarray of int, shape (m, 2)
        Frames i, j.
    shifts_px : ndarray of float, shape (m, 2)

    Returns
    -------
    ndarray of float64, shape (n, 2)
        Positions; groups of frames that no edge joins each start at (0, 0).
    """
    incidence = incidence_matrix(count, edges)
    anchors = _anchors(count, edges, np.ones(len(edges)))

    def reweigh(positions: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        return absolute_weights(np.linalg.norm(incidence @ positions - shifts_px, axis=1), ABSOLUTE_FLOORS_PX[number])

    solve = normal_solver(incidence, shifts_px, anchors)
    return irls(solve, reweigh, np.ones(len(edges)), len(ABSOLUTE_FLOORS_PX))[0]


def incidence_matrix(count: int, edges: NDArray[np.int64]) -> csc_matrix:
    """Return the matrix, shape (m, count), that turns positions into shifts of edges (i, j): position j minus i."""
    row = np.repeat(np.arange(len(edges)), 2)
    sign = np.tile([-1.0, 1.0], len(edges))
    return coo_matrix((sign, (row, edges.ravel())), shape=(len(edges), count)).tocsc()


def _anchors(count: int, edges: NDArray[np.int64], base: NDArray[np.float64]) -> csc_matrix:
    """Return a diagonal that pins the first frame of every group, without which the equations have no one solution."""
    group = components(count, edges)
    first = np.unique(group, return_index=True)[1]
    diagonal = np.zeros(count)
    diagonal[first] = base.max() if len(base) else 1.0
    return diags(diagonal).tocsc()


def components(count: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return per frame the number of the group that edges join it to; 0 is the largest, then by first frame."""
    edges = edges.reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    _, first, size = np.unique(label, return_index=True, return_counts=True)
    order = np.lexsort((first, -size))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[label])
