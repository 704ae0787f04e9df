"""The coarse layout: where all frames lie to a few pixels, found on thumbnails, from wide windows to narrow ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame
from cemi_stitch.pairs import Window, nominal_positions
from cemi_stitch.solve import components, solve_positions
from cemi_stitch.stage_model import PriorShifts, stage_prior
from cemi_stitch.thumbnail_search import CoarseMatches, ThumbnailSearch
from cemi_stitch.votes import vote_on_groups

#: Rounds in which groups of frames are joined: first neighbours in a pass and neighbouring passes, then any.
ROUNDS = 2


def place_coarsely(
    frames: Sequence[Frame],
    search: ThumbnailSearch,
    windows: Sequence[Window],
    slack_px: tuple[float, float],
    false_match_rate: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return coarse positions of all frames, shape (n, 2) in px, and the group that each belongs to.

    Frames that follow each other are matched first; then each group of frames that hang together is shifted as a whole
    over the groups beside it, all pairs voting together; the stage model fills what is left.

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


def _solve(
    frames: Sequence[Frame], matches: CoarseMatches, sigma_px: float, factor: int
) -> tuple[NDArray[np.float64], PriorShifts]:
    prior = stage_prior(frames, nominal_positions(frames), matches.edges, matches.shifts_px, sigma_px)
    sigma = np.full(len(matches.edges), 0.1)
    positions = solve_positions(
        len(frames), matches.edges, matches.shifts_px, sigma, prior.edges, prior.shifts_px, prior.sigma_px, scale=factor
    )
    return positions, prior
