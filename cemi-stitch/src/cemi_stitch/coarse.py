"""The coarse layout: where all frames lie to a few pixels, found on thumbnails, from wide windows to narrow ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.model.frame import Frame
from cemi_stitch.gate import permutation_threshold
from cemi_stitch.pairs import Window, min_overlap_px, nominal_positions, overlap_px
from cemi_stitch.prepare import prepared
from cemi_stitch.solve import components, solve_positions
from cemi_stitch.stage_model import stage_prior
from cemi_stitch.thumbnails import Thumbnail
from cemi_stitch.zncc import overlap_zncc

#: Pairs of thumbnails that are correlated at once.
BATCH = 16
#: Frame pairs that vote on the place of one group of frames relative to another.
VOTERS = 24
#: A vote counts if its peak is higher than chance peaks by this factor.
VOTE_MARGIN = 1.25


@dataclass(frozen=True)
class CoarseMatches:
    """Best shift of each window on thumbnails: ``shifts_px`` (m, 2), ``score`` (m,) is `gate.significance`."""

    edges: NDArray[np.int64]
    shifts_px: NDArray[np.float64]
    score: NDArray[np.float64]

    def above(self, threshold: float) -> CoarseMatches:
        """Return the matches whose score is above ``threshold``."""
        good = self.score > threshold
        return CoarseMatches(self.edges[good], self.shifts_px[good], self.score[good])

    def joined(self, other: CoarseMatches) -> CoarseMatches:
        """Return the matches of both."""
        return CoarseMatches(
            np.concatenate([self.edges, other.edges]),
            np.concatenate([self.shifts_px, other.shifts_px]),
            np.concatenate([self.score, other.score]),
        )


class CoarseSearch:
    """Correlates thumbnails, freed of what varies slowly over them, over windows given in px of the frames.

    Parameters
    ----------
    thumbnails : sequence of Thumbnail
    factor : int
        Frame pixels per thumbnail pixel.
    min_overlap : float
        Smallest overlap, as a share of a frame's area.
    device : str
        A torch device.
    """

    def __init__(self, thumbnails: Sequence[Thumbnail], factor: int, min_overlap: float, device: str = "cpu") -> None:
        self.thumbnails = thumbnails
        self.factor = factor
        self.min_overlap = min_overlap
        self.device = device

    def image(self, index: int) -> Tensor:
        """Return a thumbnail without shading, float32, NaN where nothing was imaged."""
        image = self.thumbnails[index].image
        valid = torch.from_numpy(np.isfinite(image))
        return prepared(image, 0.0, "cpu").masked_fill(~valid, math.nan)

    def scores(self, windows: Sequence[Window], mirror: Sequence[int] = ()) -> Tensor:
        """Return the `significance` of every shift of windows of one reach, shape (n, rows, columns).

        ``mirror`` names axes along which the second picture is flipped, which destroys any true match and keeps its
        texture.
        """
        first = _stack([self.image(w.first) for w in windows])
        second = _stack([self.image(w.second) for w in windows])
        if mirror:
            second = _stack([self.image(w.second).flip(tuple(mirror)) for w in windows])
        centre = torch.tensor([[round(s / self.factor) for s in w.shift_px] for w in windows])
        fewest = [self._fewest_pixels(w) for w in windows]
        quality, count = overlap_zncc(
            first.to(self.device),
            second.to(self.device),
            centre.to(self.device),
            self.reach(windows[0]),
            torch.tensor(fewest, device=self.device),
        )
        return (torch.atanh(quality.clamp(-0.9999, 0.9999)) * count.sqrt()).cpu()

    def reach(self, window: Window) -> tuple[int, int]:
        """Return half the window in thumbnail px."""
        return math.ceil(window.reach_px[0] / self.factor), math.ceil(window.reach_px[1] / self.factor)

    def match(self, windows: Sequence[Window], mirror: Sequence[int] = ()) -> CoarseMatches:
        """Return the best shift of each window."""
        shifts, score = np.zeros((len(windows), 2)), np.full(len(windows), -np.inf)
        for numbers in self._groups(windows):
            group = [windows[n] for n in numbers]
            surface = self.scores(group, mirror)
            for n, window, plane in zip(numbers, group, surface, strict=True):
                score[n] = float(plane.max())
                shifts[n] = self.shift_at(window, int(plane.argmax()))
        edges = np.array([(w.first, w.second) for w in windows], np.int64).reshape(-1, 2)
        return CoarseMatches(edges, shifts, score)

    def shift_at(self, window: Window, place: int) -> NDArray[np.float64]:
        """Return the shift in frame px at a flat index into the window's scores."""
        reach = self.reach(window)
        row, column = divmod(place, 2 * reach[1] + 1)
        middle = [round(s / self.factor) for s in window.shift_px]
        return self.factor * np.array([middle[0] + row - reach[0], middle[1] + column - reach[1]], np.float64)

    def _groups(self, windows: Sequence[Window]) -> list[list[int]]:
        by_reach: dict[tuple[int, int], list[int]] = {}
        for n, window in enumerate(windows):
            by_reach.setdefault(self.reach(window), []).append(n)
        return [group[k : k + BATCH] for group in by_reach.values() for k in range(0, len(group), BATCH)]

    def _fewest_pixels(self, window: Window) -> float:
        shapes = [self.thumbnails[n].levels.shape for n in (window.first, window.second)]
        return max(16.0, min_overlap_px(shapes[0], shapes[1], self.min_overlap) * (shapes[0][0] * shapes[0][1] >= 256))


def _stack(images: Sequence[Tensor]) -> Tensor:
    height, width = (max(int(image.shape[axis]) for image in images) for axis in (0, 1))
    return torch.stack(
        [torch.nn.functional.pad(i, (0, width - i.shape[1], 0, height - i.shape[0]), value=math.nan) for i in images]
    )


def chance_threshold(search: CoarseSearch, windows: Sequence[Window], rate: float, most: int = 60) -> float:
    """Return the score that a share ``rate`` of false matches would exceed, from mirrored second frames."""
    step = max(1, len(windows) // most)
    picks = list(windows[::step])
    scores = [search.match(picks, mirror=axes).score for axes in ((0, 1), (0,), (1,))[: 1 if len(picks) > 20 else 3]]
    return permutation_threshold(np.concatenate(scores), rate) if picks else 0.0


def place_coarsely(
    frames: Sequence[Frame], search: CoarseSearch, windows: Sequence[Window], sigma_px: float, rate: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return coarse positions of all frames, shape (n, 2) in px, and the group that each belongs to.

    Frames that follow each other are matched first; then each group of frames that hang together is shifted as a whole
    over the groups beside it, all pairs voting together; the stage model fills what is left.
    """
    matches = search.match(windows)
    good = matches.above(chance_threshold(search, windows, rate))
    positions = _solve(frames, good, sigma_px, search.factor)
    for _ in range(4):
        group = components(len(frames), good.edges)
        if group.max(initial=0) == 0:
            break
        found = _votes(frames, search, positions, group, sigma_px)
        if found is None:
            break
        good = good.joined(found)
        positions = _solve(frames, good, sigma_px, search.factor)
    return positions, components(len(frames), good.edges)


def _solve(frames: Sequence[Frame], matches: CoarseMatches, sigma_px: float, factor: int) -> NDArray[np.float64]:
    nominal = nominal_positions(frames)
    prior = stage_prior(frames, nominal, matches.edges, matches.shifts_px, sigma_px)
    sigma = np.full(len(matches.edges), 0.1)
    return solve_positions(
        len(frames), matches.edges, matches.shifts_px, sigma, prior.edges, prior.shifts_px, prior.sigma_px, scale=factor
    )


def _votes(
    frames: Sequence[Frame],
    search: CoarseSearch,
    positions: NDArray[np.float64],
    group: NDArray[np.int64],
    sigma_px: float,
) -> CoarseMatches | None:
    """Let all pairs between two groups vote on their relative place; return the pairs' shifts, None without success."""
    nominal = nominal_positions(frames)
    if not np.isfinite(nominal).all():
        return None
    result: CoarseMatches | None = None
    for a, b in _neighbouring_groups(frames, positions, group, search.min_overlap, nominal, sigma_px):
        reach = _group_reach(group, a, b, positions, nominal, sigma_px)
        windows = _voters(frames, positions, group, (a, b), reach, search.min_overlap)
        found = _vote(search, windows) if windows else None
        if found is not None:
            result = found if result is None else result.joined(found)
    return result


def _group_reach(
    group: NDArray[np.int64],
    a: int,
    b: int,
    positions: NDArray[np.float64],
    nominal: NDArray[np.float64],
    sigma_px: float,
) -> tuple[float, float]:
    """Return how far two groups may be from their relative place: a step's tolerance and their own drift."""
    drift = [np.ptp((positions - nominal)[group == g], axis=0) for g in (a, b)]
    reach = 2 * sigma_px + np.maximum(drift[0], drift[1])
    return float(reach[0]), float(reach[1])


def _neighbouring_groups(
    frames: Sequence[Frame],
    positions: NDArray[np.float64],
    group: NDArray[np.int64],
    min_overlap: float,
    nominal: NDArray[np.float64],
    sigma_px: float,
) -> list[tuple[int, int]]:
    """Return pairs of groups whose frames may overlap, those with most possible pairs first."""
    shapes = np.array([frame.shape for frame in frames], np.float64)
    count: dict[tuple[int, int], int] = {}
    drift = np.array([np.ptp((positions - nominal)[group == g], axis=0) for g in range(group.max() + 1)])
    for i in range(len(frames)):
        slack = 2 * sigma_px + np.maximum(drift[group[i]], drift[group])
        gap = np.abs(positions - positions[i]) - slack
        near = (gap < 0.9 * np.minimum(shapes, shapes[i])).all(axis=1) & (group > group[i])
        for other in group[near].tolist():
            count[(int(group[i]), other)] = count.get((int(group[i]), other), 0) + 1
    return sorted(count, key=lambda pair: -count[pair])


def _voters(
    frames: Sequence[Frame],
    positions: NDArray[np.float64],
    group: NDArray[np.int64],
    pair: tuple[int, int],
    reach: tuple[float, float],
    min_overlap: float,
) -> list[Window]:
    """Return windows for pairs between two groups, spread evenly, those that overlap most at the expected place."""
    windows = []
    members = np.flatnonzero(group == pair[1])
    for i in np.flatnonzero(group == pair[0]).tolist():
        for j in members.tolist():
            first, second = min(i, j), max(i, j)
            shift = positions[second] - positions[first]
            size = frames[first].shape
            if abs(shift[0]) < size[0] + reach[0] and abs(shift[1]) < size[1] + reach[1]:
                windows.append(Window(first, second, (float(shift[0]), float(shift[1])), reach))
    windows.sort(key=lambda w: -overlap_px(_clamped(w), frames[w.first].shape, frames[w.second].shape))
    likely = sorted(windows[: 4 * VOTERS], key=lambda w: (w.first, w.second))
    step = max(1, math.ceil(len(likely) / VOTERS))
    return likely[::step]


def _clamped(window: Window) -> tuple[float, float]:
    """Return the shift of the window that overlaps most."""
    nearest = [math.copysign(max(abs(s) - r, 0.0), s) for s, r in zip(window.shift_px, window.reach_px, strict=True)]
    return nearest[0], nearest[1]


def _vote(search: CoarseSearch, windows: Sequence[Window]) -> CoarseMatches | None:
    """Add up the scores of all windows, as if frames moved together; return each pair's best shift near the peak."""
    total, planes = _summed(search, windows, ())
    chance = max(float(_summed(search, windows, axes)[0].max()) for axes in ((0, 1), (0,), (1,)))
    if not float(total.max()) > VOTE_MARGIN * chance:
        return None
    row, column = divmod(int(total.argmax()), total.shape[1])
    edges, shifts, score = [], [], []
    for window, plane in zip(windows, planes, strict=True):
        top, left = max(row - 2, 0), max(column - 2, 0)
        near = plane[top : row + 3, left : column + 3]
        best_row, best_column = divmod(int(near.argmax()), near.shape[1])
        place = (top + best_row) * total.shape[1] + left + best_column
        edges.append((window.first, window.second))
        shifts.append(search.shift_at(window, place))
        score.append(float(near.max()))
    best = max(score)
    strong = np.array(score) >= 0.5 * best
    return CoarseMatches(np.array(edges, np.int64)[strong], np.array(shifts)[strong], np.array(score)[strong])


def _summed(search: CoarseSearch, windows: Sequence[Window], mirror: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the sum of scores over pairs by the root of the pairs that overlap, and the scores of each pair."""
    planes = torch.cat([search.scores(windows[k : k + BATCH], mirror) for k in range(0, len(windows), BATCH)])
    votes = (planes != 0).sum(0).clamp_min(1)
    return planes.sum(0) / votes.sqrt(), planes
