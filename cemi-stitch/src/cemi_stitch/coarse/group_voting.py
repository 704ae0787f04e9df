"""Group voting: all pairs between two groups of frames decide together where one group lies relative to the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.model.frame import Frame
from cemi_stitch.coarse.thumbnail_search import BATCH, CoarseMatches, ThumbnailSearch, inside
from cemi_stitch.graph.acceptance import COARSE_FLOOR
from cemi_stitch.graph.candidate_pairs import Window, may_overlap, overlap_px
from cemi_stitch.solve.stage_prior import PriorShifts

#: Half the window between groups, in tolerances of a step. Generous, because the last frame of a pass, at the end of
#: the specimen or of the stage's travel, often comes after a step far off the others.
GROUP_REACH = 4.0
#: Frame pairs that vote on the place of one group relative to another.
VOTERS = 16
#: A vote counts if its peak is higher than that of mirrored frames by this factor.
MARGIN = 1.3

Reach = tuple[float, float]


def vote_on_groups(
    frames: Sequence[Frame],
    search: ThumbnailSearch,
    positions_px: NDArray[np.float64],
    group: NDArray[np.int64],
    prior: PriorShifts,
    slack_px: Reach,
    only_tied: bool,
) -> CoarseMatches | None:
    """Shift whole groups of frames over each other and return the shifts of the pairs that agree, None without any.

    Parameters
    ----------
    frames : sequence of Frame
    search : ThumbnailSearch
    positions_px : ndarray, shape (n, 2)
        Right within each group; between groups only as good as the stage model.
    group : ndarray of int, shape (n,)
    prior : PriorShifts
        What ties groups to each other; where these ties disagree, the window grows.
    slack_px : tuple of float
        Tolerance of one step, (y, x).
    only_tied : bool
        Whether groups that the stage model does not tie to each other are left out.
    """
    slack_px = (GROUP_REACH * slack_px[0], GROUP_REACH * slack_px[1])
    reaches = _tied_reaches(positions_px, group, prior, slack_px)
    votes: list[tuple[float, tuple[int, int], CoarseMatches]] = []
    for pair, windows in _windows_between(frames, positions_px, group, reaches, slack_px).items():
        if only_tied and pair not in reaches:
            continue
        voters = _voters([w for w in windows if may_overlap(w, frames, search.min_overlap)], frames)
        strength, matches = _vote(search, voters) if voters else (0.0, None)
        if matches is not None and strength > MARGIN:
            votes.append((strength, pair, matches))
    return _strongest_tree(votes)


def _strongest_tree(votes: list[tuple[float, tuple[int, int], CoarseMatches]]) -> CoarseMatches | None:
    """Join groups by their strongest votes first; a vote between groups that are joined by then can only disturb."""
    found: CoarseMatches | None = None
    joined = {number: number for _, pair, _ in votes for number in pair}
    for _, (a, b), matches in sorted(votes, key=lambda vote: -vote[0]):
        if joined[a] != joined[b]:
            old, new = joined[a], joined[b]
            joined = {number: new if root == old else root for number, root in joined.items()}
            found = matches if found is None else found.joined(matches)
    return found


def _tied_reaches(
    positions: NDArray[np.float64], group: NDArray[np.int64], prior: PriorShifts, slack: Reach
) -> dict[tuple[int, int], Reach]:
    """Return half the window for each pair of groups that the stage model ties together."""
    reaches: dict[tuple[int, int], Reach] = {}
    for (i, j), shift in zip(prior.edges, prior.shifts_px, strict=True):
        a, b = sorted((int(group[i]), int(group[j])))
        if a != b:
            misfit = np.abs(positions[j] - positions[i] - shift)
            known = reaches.get((a, b), (0.0, 0.0))
            reaches[a, b] = (max(known[0], slack[0] + float(misfit[0])), max(known[1], slack[1] + float(misfit[1])))
    return reaches


def _windows_between(
    frames: Sequence[Frame],
    positions: NDArray[np.float64],
    group: NDArray[np.int64],
    reaches: dict[tuple[int, int], Reach],
    slack: Reach,
) -> dict[tuple[int, int], list[Window]]:
    """Return, for each pair of groups, windows for all their frames that may touch."""
    shapes = np.array([frame.shape for frame in frames], np.float64)
    widest = np.array([*reaches.values(), slack]).max(axis=0)
    windows: dict[tuple[int, int], list[Window]] = {}
    for i in range(len(frames)):
        near = (np.abs(positions - positions[i]) < np.maximum(shapes, shapes[i]) + widest).all(axis=1)
        for j in np.flatnonzero(near & (group != group[i]) & (np.arange(len(frames)) > i)).tolist():
            pair = (min(int(group[i]), int(group[j])), max(int(group[i]), int(group[j])))
            shift = positions[j] - positions[i]
            middle, reach = (float(shift[0]), float(shift[1])), reaches.get(pair, slack)
            windows.setdefault(pair, []).append(Window(i, j, middle, reach, max(slack) / GROUP_REACH))
    return windows


def _voters(windows: Sequence[Window], frames: Sequence[Frame]) -> list[Window]:
    """Return the windows that vote: of those that may overlap most, some spread evenly."""

    def largest_overlap(window: Window) -> float:
        nearest = [
            math.copysign(max(abs(s) - r, 0.0), s) for s, r in zip(window.shift_px, window.reach_px, strict=True)
        ]
        return overlap_px(nearest, frames[window.first].shape, frames[window.second].shape)

    likely = sorted(windows, key=largest_overlap, reverse=True)[: max(VOTERS, len(windows) // 2)]
    likely.sort(key=lambda w: (w.first, w.second))
    return [likely[k] for k in np.unique(np.linspace(0, len(likely) - 1, VOTERS).round().astype(int))] if likely else []


def _vote(search: ThumbnailSearch, windows: Sequence[Window]) -> tuple[float, CoarseMatches | None]:
    """Add up the scores as if frames moved together.

    Returns
    -------
    strength : float
        Height of the common peak over that of mirrored frames.
    matches : CoarseMatches or None
        Each pair's own best shift near the common peak; None where the peak is on the border.
    """
    total, planes = _summed(search, windows, ())
    chance, _ = _summed(search, windows, (0, 1))
    strength = float(total.max()) / max(float(chance.max()), COARSE_FLOOR / MARGIN)
    if not inside(total):
        return 0.0, None
    row, column = divmod(int(total.argmax()), total.shape[1])
    top, left = max(row - 2, 0), max(column - 2, 0)
    edges, shifts, score = [], [], []
    for window, plane in zip(windows, planes, strict=True):
        near = plane[top : row + 3, left : column + 3]
        best_row, best_column = divmod(int(near.argmax()), near.shape[1])
        edges.append((window.first, window.second))
        shifts.append(search.shift_at(window, (top + best_row) * total.shape[1] + left + best_column))
        score.append(float(near.max()))
    strong = np.array(score) >= 0.5 * max(score)
    edge, shift, significance = np.array(edges, np.int64)[strong], np.array(shifts)[strong], np.array(score)[strong]
    return strength, CoarseMatches(edge, shift, significance, np.ones(len(edge), bool))


def _summed(search: ThumbnailSearch, windows: Sequence[Window], mirror: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the sum of scores over pairs, by the root of the number that overlap, and the scores of each pair."""
    planes = torch.cat([search.scores(windows[k : k + BATCH], mirror) for k in range(0, len(windows), BATCH)])
    return planes.sum(0) / (planes != 0).sum(0).clamp_min(1).sqrt(), planes
