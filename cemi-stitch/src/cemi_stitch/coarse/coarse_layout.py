"""The coarse layout: where all frames lie to a few pixels, found on thumbnails, from wide windows to narrow ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from cemi_core.model.frame import Frame
from cemi_core.model.layout import PairShift
from cemi_stitch.coarse.group_voting import vote_on_groups
from cemi_stitch.coarse.thumbnail_search import CoarseMatches, ThumbnailSearch
from cemi_stitch.coarse.unordered_search import MAX_FRAMES, proposed_windows
from cemi_stitch.graph.acceptance import drop_broken_loops
from cemi_stitch.graph.candidate_pairs import Window, nominal_positions
from cemi_stitch.solve.least_squares import components, solve_absolute, solve_positions
from cemi_stitch.solve.stage_prior import PriorShifts, stage_prior

#: Rounds in which groups of frames are joined: first neighbours in a pass and neighbouring passes, then any.
ROUNDS = 2
#: A loop of shifts found on thumbnails closes within so many of their pixels.
LOOP_TOLERANCE = 4
#: A shift agrees with a whole tree of others within so many.
TREE_TOLERANCE = 12


def place_coarsely(
    frames: Sequence[Frame],
    search: ThumbnailSearch,
    windows: Sequence[Window],
    slack_px: tuple[float, float],
    false_match_rate: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return coarse positions of all frames, shape (n, 2) in px, and the group that each belongs to.

    Frames that follow each other are matched first; then each group of frames that hang together is shifted as a whole
    over the groups beside it, all pairs voting together; the stage model fills what is left. Frames without positions
    that their order does not join are searched for among all others.

    Parameters
    ----------
    frames : sequence of Frame
    search : ThumbnailSearch
    windows : sequence of Window
        Frames that follow each other.
    slack_px : tuple of float
        Tolerance of one nominal step, (y, x).
    false_match_rate : float
        Accepted share of chance matches.
    """
    good = search.match(windows)
    if windows:
        good = good.above(search.chance_threshold(windows, false_match_rate))
    if not np.isfinite(nominal_positions(frames)).all():
        good = _without_order(frames, search, good, len(windows), false_match_rate)
        good = _closing(good, len(frames), search.factor)
    positions, prior = _solve(frames, good, max(slack_px), search.factor)
    for number in range(ROUNDS):
        group = components(len(frames), good.edges)
        if group.max() == 0 or not len(prior.edges):
            break
        found = vote_on_groups(frames, search, positions, group, prior, slack_px, only_tied=number == 0)
        if found is not None:
            good = good.joined(found)
            positions, prior = _solve(frames, good, max(slack_px), search.factor)
    return positions, components(len(frames), good.edges)


def _without_order(
    frames: Sequence[Frame], search: ThumbnailSearch, good: CoarseMatches, compared: int, false_match_rate: float
) -> CoarseMatches:
    """Add matches between frames that do not follow each other, where nothing else tells which of them overlap."""
    group = components(len(frames), good.edges)
    all_pairs = len(frames) * (len(frames) - 1) // 2
    if group.max() == 0 or compared >= all_pairs or len(frames) > MAX_FRAMES:
        return good
    windows = proposed_windows(search.pictures(), search.factor, group, search.min_overlap)
    if not windows:
        return good
    found = search.match(windows)
    return good.joined(found.above(search.chance_threshold(windows, false_match_rate)))


def _closing(matches: CoarseMatches, count: int, factor: int) -> CoarseMatches:
    """Return the matches but those that no short loop confirms though some pass through them.

    Ends of a specimen look alike wherever they are, and one of them wrongly matched bends a whole chain of frames.
    """
    edges, shifts = matches.edges.tolist(), matches.shifts_px.tolist()
    pairs = [PairShift(i, j, (y, x), float(q)) for (i, j), (y, x), q in zip(edges, shifts, matches.score, strict=True)]
    kept = np.array([pair.kept for pair in drop_broken_loops(pairs, LOOP_TOLERANCE * factor)], bool)
    return _agreeing_with_tree(matches.only(kept), count, TREE_TOLERANCE * factor)


def _agreeing_with_tree(matches: CoarseMatches, count: int, tolerance_px: float) -> CoarseMatches:
    """Return the matches that agree with the strongest tree of them: where matches contradict, the weaker one goes."""
    if not len(matches.edges):
        return matches
    i, j = matches.edges.T
    number = csr_matrix((np.arange(1, len(i) + 1), (i, j)), (count, count))
    tree = minimum_spanning_tree(csr_matrix((1 / matches.score, (i, j)), (count, count))).tocoo()
    picks = np.asarray(number[tree.row, tree.col]).ravel() - 1
    places = solve_absolute(count, matches.edges[picks], matches.shifts_px[picks])
    misfit = np.linalg.norm(places[j] - places[i] - matches.shifts_px, axis=1)
    return matches.only(misfit <= tolerance_px)


def _solve(
    frames: Sequence[Frame], matches: CoarseMatches, sigma_px: float, factor: int
) -> tuple[NDArray[np.float64], PriorShifts]:
    prior = stage_prior(frames, nominal_positions(frames), matches.edges, matches.shifts_px, sigma_px)
    # Where matches contradict each other, the weaker one gives way.
    sigma = 0.1 * np.median(matches.score) / matches.score if len(matches.score) else np.zeros(0)
    positions = solve_positions(
        len(frames), matches.edges, matches.shifts_px, sigma, prior.edges, prior.shifts_px, prior.sigma_px, scale=factor
    )
    return positions, prior
