"""Chooses the true peak of each pair: on periodic structures the highest is often a period off, and loops tell.

Straight lamellae correlate nearly as well one period further. Each pair then has several candidate shifts; the choice
that lets the loops of all pairs close with the fewest second choices is a labelling problem on the graph of pairs, in
its form the same as phase unwrapping (Costantini, IEEE Trans. Geosci. Remote Sens. 36 (1998) 813). It is solved by
least absolute deviations, which a minority of wrong shifts does not move, followed by moves of single frames, from
several starts; the choice of lowest cost wins, whatever it started from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from cemi_core.model.layout import PairShift
from cemi_core.numeric.robust import mad_std
from cemi_stitch.solve.least_squares import components, solve_absolute

#: Cost of a shift that no candidate explains, and of a candidate that is not the highest: at once, per 0.1 of
#: correlation that it is lower, and at most. Of two choices that close all loops, the one with fewer and less bad
#: second choices is the likelier.
UNEXPLAINED, SECOND_CHOICE, PER_TENTH, MAX_COST = 3.0, 0.5, 0.5, 2.0
#: Cost of a candidate one tolerance of the stage off the expected shift, and at most: less than a second choice, so
#: that the stage settles what loops leave open, and no more.
PRIOR_COST, MAX_PRIOR_COST = 0.25, 0.45
#: Rounds of choosing and solving from each start.
ROUNDS = 4
#: Sweeps in which single frames are moved.
SWEEPS = 4


@dataclass(frozen=True)
class Choices:
    """Pairs and their candidate shifts as arrays.

    Attributes
    ----------
    edges : ndarray of int, shape (m, 2)
    shifts_px : ndarray of float, shape (m, k, 2)
        Candidates, the highest peak first; those that a pair lacks repeat the first.
    cost : ndarray of float, shape (m, k)
        How unlikely each is; infinite for those that a pair lacks.
    tolerance_px : float
        A candidate explains a pair's solved shift within this distance.
    """

    edges: NDArray[np.int64]
    shifts_px: NDArray[np.float64]
    cost: NDArray[np.float64]
    tolerance_px: float

    def losses(self, edge: NDArray[np.int64] | slice, shift_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the loss of each candidate of ``edge`` if the true shifts were ``shift_px``, shape (m, k)."""
        away = ((self.shifts_px[edge] - shift_px[:, None]) ** 2).sum(axis=-1) / self.tolerance_px**2
        losses: NDArray[np.float64] = UNEXPLAINED * np.minimum(away, 1.0) + self.cost[edge]
        return losses

    def chosen(self, positions: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
        """Return the best candidate of each pair for a layout, and the total loss."""
        losses = self.losses(slice(None), positions[self.edges[:, 1]] - positions[self.edges[:, 0]])
        return np.argmin(losses, axis=1), float(losses.min(axis=1).sum())


def choose_peaks(
    count: int,
    shifts: Sequence[PairShift],
    nominal_px: NDArray[np.float64],
    slack_px: tuple[float, float],
    tolerance_px: float,
) -> list[PairShift]:
    """Return the shifts, each with the candidate that agrees with the loops through it; the others become candidates.

    Parameters
    ----------
    count : int
        Number of frames.
    shifts : sequence of PairShift
        Only those with ``kept`` count; without further candidates nothing changes.
    nominal_px : ndarray, shape (count, 2)
        Nominal positions, NaN where unknown; they settle what loops do not.
    slack_px : tuple of float
        Standard error of a nominal step, (y, x).
    tolerance_px : float
        A shift agrees with the layout within this distance, or a third of the way to the next candidate.
    """
    result = list(shifts)
    used = [n for n, pair in enumerate(result) if pair.kept]
    if not any(result[n].candidates for n in used):
        return result
    choices = _choices([result[n] for n in used], nominal_px, slack_px, tolerance_px)
    best, least = np.zeros(len(used), np.int64), np.inf
    for positions in _starts(count, choices, nominal_px):
        pick = np.zeros(0, np.int64)
        for _ in range(ROUNDS):
            before, (pick, _loss) = pick, choices.chosen(positions)
            if np.array_equal(before, pick):
                break
            positions = solve_absolute(count, choices.edges, _taken(choices, pick))
        positions = _moved(count, choices, positions)
        pick, loss = choices.chosen(positions)
        if loss < least - 1e-9:
            best, least = pick, loss
    for n, pick_n in zip(used, best.tolist(), strict=True):
        result[n] = _with_peak(result[n], pick_n)
    return result


def _with_peak(pair: PairShift, number: int) -> PairShift:
    """Return the pair with candidate ``number`` (0 is its highest peak) as its shift."""
    if number == 0:
        return pair
    peaks = [(pair.shift_px, pair.quality), *pair.candidates]
    shift, quality = peaks.pop(number)
    return replace(pair, shift_px=shift, quality=quality, candidates=tuple(peaks))


def _choices(
    pairs: Sequence[PairShift], nominal: NDArray[np.float64], slack: tuple[float, float], tolerance: float
) -> Choices:
    most = 1 + max(len(pair.candidates) for pair in pairs)
    edges = np.array([(pair.first, pair.second) for pair in pairs], np.int64)
    shifts = np.empty((len(pairs), most, 2))
    cost = np.full((len(pairs), most), np.inf)
    for n, pair in enumerate(pairs):
        shifts[n] = pair.shift_px
        cost[n, 0] = 0.0
        for k, (shift, quality) in enumerate(pair.candidates, 1):
            shifts[n, k] = shift
            cost[n, k] = min(SECOND_CHOICE + PER_TENTH * max(pair.quality - quality, 0.0) / 0.1, MAX_COST)
    away = shifts - (nominal[edges[:, 1]] - nominal[edges[:, 0]])[:, None]
    known = np.isfinite(away[:, 0, 0])
    if known.any():  # the stage is often better than its tolerance: two standard deviations of what most pairs say
        spread = mad_std(away[known, 0], axis=0, times=2)
        away = ((away / np.clip(spread, 1.0, np.maximum(slack, 1.0))) ** 2).sum(axis=-1)
        cost += np.nan_to_num(np.minimum(PRIOR_COST * away, MAX_PRIOR_COST))
    apart = np.linalg.norm(shifts[:, 1:] - shifts[:, :1], axis=-1)[np.isfinite(cost[:, 1:])]
    return Choices(edges, shifts, cost, min(tolerance, float(np.median(apart)) / 3))


def _taken(choices: Choices, pick: NDArray[np.int64]) -> NDArray[np.float64]:
    return choices.shifts_px[np.arange(len(pick)), pick]


def _starts(count: int, choices: Choices, nominal: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield first layouts: where the stage says, highest and likeliest peaks by least absolute deviations, a tree."""
    if np.isfinite(nominal).all():
        yield nominal
    yield solve_absolute(count, choices.edges, choices.shifts_px[:, 0])
    likely = np.argmin(choices.cost, axis=1)
    yield solve_absolute(count, choices.edges, _taken(choices, likely))
    second = np.partition(choices.cost, 1, axis=1)[:, 1]
    yield _along_tree(count, choices.edges, _taken(choices, likely), 1.0 + MAX_COST - np.minimum(second, MAX_COST))


def _along_tree(
    count: int, edges: NDArray[np.int64], shifts: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return positions along the shortest spanning tree of each group, from its first frame."""
    number = csr_matrix((np.arange(1, len(edges) + 1), (edges[:, 0], edges[:, 1])), shape=(count, count))
    tree = minimum_spanning_tree(csr_matrix((length, (edges[:, 0], edges[:, 1])), shape=(count, count)))
    positions = np.zeros((count, 2))
    for root in np.unique(components(count, edges), return_index=True)[1].tolist():
        order, parent = breadth_first_order(tree, root, directed=False)
        for node in order[1:].tolist():
            above = int(parent[node])
            forward = number[above, node]
            step = shifts[forward - 1] if forward else -shifts[number[node, above] - 1]
            positions[node] = positions[above] + step
    return positions


def _moved(count: int, choices: Choices, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move single frames to where a candidate of one of their pairs wants them, while that lowers the loss."""
    positions = positions.copy()
    at: list[list[int]] = [[] for _ in range(count)]
    for n, (i, j) in enumerate(choices.edges.tolist()):
        at[i].append(n)
        at[j].append(n)
    for _ in range(SWEEPS):
        shift = positions[choices.edges[:, 1]] - positions[choices.edges[:, 0]]
        losses = choices.losses(slice(None), shift).min(axis=1)
        # A move cannot gain more than the losses, and costs a second choice for every pair that is content.
        gain = np.bincount(choices.edges.ravel(), np.repeat(losses, 2), count)
        content = np.bincount(choices.edges.ravel(), np.repeat(losses < SECOND_CHOICE, 2), count)
        unhappy = np.flatnonzero(gain > SECOND_CHOICE * content)
        moves = sum(_move_one(node, np.array(at[node]), choices, positions) for node in unhappy.tolist())
        if not moves:
            break
    return positions


def _move_one(node: int, pairs: NDArray[np.int64], choices: Choices, positions: NDArray[np.float64]) -> bool:
    """Move one frame in place if a candidate place lowers the loss of its pairs; return whether it moved."""
    ends = choices.edges[pairs]
    sign = np.where(ends[:, 1] == node, 1.0, -1.0)[:, None]
    other = positions[np.where(ends[:, 1] == node, ends[:, 0], ends[:, 1])]
    wanted = (other[:, None] + sign[:, None] * choices.shifts_px[pairs])[np.isfinite(choices.cost[pairs])]
    places = np.concatenate([positions[node][None], wanted])
    shift = sign[None] * (places[:, None] - other[None])  # (places, pairs, 2)
    total = [float(choices.losses(pairs, each).min(axis=1).sum()) for each in shift]
    best = int(np.argmin(total))
    if total[best] < total[0] - 1e-6:
        positions[node] = places[best]
        return True
    return False
