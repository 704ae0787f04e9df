"""Frames that are turned, stretched or sheared against the others: found by what the parts of their overlaps want.

A turn that all frames share cannot be seen in overlaps and does no harm there. A single frame that is turned is found
in two steps, so that sound layouts cost nothing: pairs that do not fit its place raise suspicion, then the local shifts
in all its overlaps convict it, if they change linearly over the frame and more than their noise allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import eye_array
from scipy.sparse.linalg import splu

from cemi_core.model.layout import Layout, PairShift
from cemi_core.numeric.robust import irls
from cemi_stitch.correlation.block_shifts import LocalShifts

#: A frame is suspicious if its pairs miss its place by this many times the median of all frames, and by this, px.
SUSPICIOUS, SUSPICIOUS_PX = 3.0, 0.25
#: Frames whose pairs close no loop always fit; they are suspicious too, and known by residuals below this, px.
NO_LOOP_PX = 2e-3
#: Blocks of an overlap from which a turn can be told: one outlier among three still lies on a plane.
MIN_BLOCKS = 4
#: Gain in chi-square (4 degrees of freedom) from which a frame is convicted, the one that must be left if any one pair
#: is not heard, and least distance, px, by which its corners must be off.
CONVICTED, SECONDED, VISIBLE_PX = 40.0, 15.0, 0.5
#: Expected size of turns and stretches (rad, 1): decides what overlaps leave open.
PRIOR = 0.02
#: Rounds of fitting the map of one pair.
FIT_ROUNDS = 4
#: Rounds of convicting frames; medians of chi-square with 2 and 4 degrees of freedom.
ROUNDS, MEDIAN_2, MEDIAN_4 = 20, 1.386, 3.357


@dataclass(frozen=True)
class PairTurns:
    """What local shifts tell of the linear map between the two frames of each pair.

    Attributes
    ----------
    ends : ndarray of int, shape (m, 2)
        Frames (first, second).
    turn : ndarray of float, shape (m, 4)
        Map of the second minus map of the first (yy, yx, xy, xx), without unit.
    information : ndarray of float, shape (m, 4, 4)
        Inverse covariance of ``turn``.
    """

    ends: NDArray[np.int64]
    turn: NDArray[np.float64]
    information: NDArray[np.float64]


def suspicious_pairs(layout: Layout, turned: Sequence[int] = ()) -> list[PairShift]:
    """Return the pairs of frames that may be turned: those that match, whether or not the solve could use them.

    Frames in ``turned`` are suspicious however well they fit.
    """
    residual = layout.residual_px
    known = np.isfinite(residual)
    kept = [pair for pair in layout.pairs if pair.kept]
    if not kept:
        return []
    with_loops = residual[known & (residual > NO_LOOP_PX)]
    limit = max(SUSPICIOUS_PX, SUSPICIOUS * float(np.median(with_loops))) if len(with_loops) else 0.0
    suspicious = known & ((residual > limit) | (residual <= NO_LOOP_PX))
    suspicious[list(turned)] = True
    fair = float(np.median([pair.quality for pair in kept])) / 2
    matching = [pair for pair in layout.pairs if pair.kept or pair.quality > fair]
    for pair in matching:
        if not pair.kept:
            suspicious[[pair.first, pair.second]] = True
    return [pair for pair in matching if suspicious[pair.first] or suspicious[pair.second]]


def frame_turns(
    count: int,
    local: LocalShifts,
    ends: NDArray[np.int64],
    shapes: NDArray[np.int64],
    turned: Sequence[int] = (),
) -> dict[int, NDArray[np.float64]]:
    """Return the linear maps, less the identity, of the frames that are convicted.

    As few frames as explain the local shifts: the one that explains most is taken first, with all others whose
    neighbours explain less, and all that were taken are fitted together.

    Parameters
    ----------
    count : int
        Number of frames.
    local : LocalShifts
        Of pairs around suspicious frames and of some others, which show what is usual.
    ends : ndarray of int, shape (m, 2)
        Frames (first, second) of each pair that was asked for.
    shapes : ndarray of int, shape (count, 2)
    turned : sequence of int
        Frames that are known to be turned.

    Returns
    -------
    dict of int to ndarray of float64, shape (2, 2)
    """
    pairs = pair_turns(local, ends, shapes)
    if not len(pairs.ends):
        return {}
    half = (shapes - 1) / 2
    taken = np.zeros(count, bool)
    taken[list(turned)] = True
    maps = _fitted(pairs, taken)
    for _ in range(ROUNDS):
        gain = _gains(pairs, maps, ~taken)
        best_near = np.zeros(count)
        np.maximum.at(best_near, pairs.ends[:, 0], gain[pairs.ends[:, 1]])
        np.maximum.at(best_near, pairs.ends[:, 1], gain[pairs.ends[:, 0]])
        later = gain >= best_near  # of two frames alone, either may be the turned one: the later is taken
        fresh = (gain > CONVICTED) & later
        for number in np.flatnonzero(fresh).tolist():
            fresh[number] = _gain_without_best_pair(pairs, maps, number) > SECONDED
        if not fresh.any():
            break
        taken |= fresh
        maps = _fitted(pairs, taken)
    found = {n: maps[n].reshape(2, 2) for n in np.flatnonzero(taken).tolist()}
    return {n: turn for n, turn in found.items() if n in turned or corner_px(turn, half[n]) > VISIBLE_PX}


def as_affine(count: int, turns: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Return the maps of all frames, shape (count, 2, 2), from those of the turned ones; None if there are none."""
    if not turns:
        return None
    affine = np.tile(np.eye(2), (count, 1, 1))
    for number, turn in turns.items():
        affine[number] += turn
    return affine


def corner_px(turn: NDArray[np.float64], half: NDArray[np.float64]) -> float:
    """Return how far the corners of a frame are moved at most, px; ``half`` is half its height and width."""
    corners = np.array([half, half * [1, -1]])
    return float(np.linalg.norm(corners @ turn.T, axis=1).max())


def pair_turns(local: LocalShifts, ends: NDArray[np.int64], shapes: NDArray[np.int64]) -> PairTurns:
    """Return what the local shifts of each pair tell, its information set right by how well all of them agree."""
    order = np.argsort(local.pair, kind="stable")
    cuts = np.flatnonzero(np.diff(local.pair[order])) + 1
    members = [part for part in np.split(order, cuts) if len(part) >= MIN_BLOCKS]
    fits = [_fit(local, part, (shapes[ends[local.pair[part[0]], 0]] - 1) / 2) for part in members]
    if not fits:
        return PairTurns(np.zeros((0, 2), np.int64), np.zeros((0, 4)), np.zeros((0, 4, 4)))
    turn = np.array([fit[0] for fit in fits])
    squares = np.concatenate([fit[2] for fit in fits])
    information = np.array([fit[1] for fit in fits]) * MEDIAN_2 / max(float(np.median(squares)), 1e-12)
    # Blocks share pixels, and pictures are bent: pairs of sound frames, which are most, tell by how much in all.
    usual = float(np.median(np.einsum("ni,nij,nj->n", turn, information, turn)))
    information *= min(1.0, MEDIAN_4 / max(usual, 1e-12))
    return PairTurns(np.array([ends[local.pair[part[0]]] for part in members]), turn, information)


def _fit(
    local: LocalShifts, part: NDArray[np.int64], half: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the robust linear map in the deviations of a pair's blocks, its information, and the blocks' squares."""
    place = local.first_px[part] - half
    design = np.zeros((len(part), 2, 6))
    design[:, 0, :2] = design[:, 1, 2:4] = place
    design[:, 0, 4] = design[:, 1, 5] = 1.0
    known, wanted = local.information[part], local.deviation_px[part]
    ridge = np.diag([1e-6] * 6) * np.trace(known.sum(axis=0))

    def normal_matrix(trust: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("bik,bij,bjl->kl", design, known * trust[:, None, None], design))

    def solve(trust: NDArray[np.float64]) -> NDArray[np.float64]:
        right = np.einsum("bik,bij,bj->k", design, known * trust[:, None, None], wanted)
        return np.linalg.solve(normal_matrix(trust) + ridge, right)

    def squared(found: NDArray[np.float64]) -> NDArray[np.float64]:
        away = wanted - design @ found
        return np.asarray(np.einsum("bi,bij,bj->b", away, known, away))

    def reweigh(found: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        squares = squared(found)
        return 1 / (1 + squares / max(4 * float(np.median(squares)), 1e-12))

    _, trust = irls(solve, reweigh, np.ones(len(part)), FIT_ROUNDS - 1)
    found, normal = solve(trust), normal_matrix(trust)
    squares = squared(found)
    fixed = normal[4:, 4:] + ridge[4:, 4:]
    information = normal[:4, :4] - normal[:4, 4:] @ np.linalg.solve(fixed, normal[4:, :4])
    freedom = max(1 - 3 / len(part), 0.25)  # six numbers were fitted to two per block
    return found[:4], (information + information.T) / 2, squares / freedom


def _misfit(pairs: PairTurns, maps: NDArray[np.float64]) -> NDArray[np.float64]:
    return pairs.turn - (maps[pairs.ends[:, 1]] - maps[pairs.ends[:, 0]])


def _gains(pairs: PairTurns, maps: NDArray[np.float64], free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return by how much chi-square falls if one more frame may be turned, shape (n,)."""
    pull = np.einsum("nij,nj->ni", pairs.information, _misfit(pairs, maps))
    gradient = np.zeros((len(free), 4))
    stiffness = np.tile(np.eye(4) / PRIOR**2, (len(free), 1, 1))
    for end, sign in ((0, -1.0), (1, 1.0)):
        np.add.at(gradient, pairs.ends[:, end], sign * pull)
        np.add.at(stiffness, pairs.ends[:, end], pairs.information)
    gain = np.einsum("ni,ni->n", gradient, np.linalg.solve(stiffness, gradient[..., None])[..., 0])
    return np.where(free, gain, 0.0)


def _gain_without_best_pair(pairs: PairTurns, maps: NDArray[np.float64], frame: int) -> float:
    """Return by how much chi-square falls if ``frame`` may be turned, less its best pair; 0 if it has no other."""
    own = np.flatnonzero((pairs.ends == frame).any(axis=1))
    gains = []
    for left_out in own.tolist():
        others = own[own != left_out]
        some = PairTurns(pairs.ends[others], pairs.turn[others], pairs.information[others])
        gains.append(float(_gains(some, maps, np.ones(len(maps), bool))[frame]) if len(others) else 0.0)
    return min(gains, default=0.0)


def _fitted(pairs: PairTurns, taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the maps, shape (n, 4), of all frames that were taken, fitted together; 0 for the others."""
    number = np.cumsum(taken) - 1
    size = int(taken.sum())
    if not size:
        return np.zeros((len(taken), 4))
    normal = eye_array(4 * size, format="lil") / PRIOR**2
    right = np.zeros((size, 4))
    for (i, j), turn, known in zip(pairs.ends.tolist(), pairs.turn, pairs.information, strict=True):
        for one, sign in ((i, -1.0), (j, 1.0)):
            if taken[one]:
                at = 4 * number[one]
                normal[at : at + 4, at : at + 4] += known
                right[number[one]] += sign * known @ turn
        if taken[i] and taken[j]:
            a, b = 4 * number[i], 4 * number[j]
            normal[a : a + 4, b : b + 4] -= known
            normal[b : b + 4, a : a + 4] -= known
    maps = np.zeros((len(taken), 4))
    maps[taken] = splu(normal.tocsc()).solve(right.ravel()).reshape(size, 4)
    return maps
