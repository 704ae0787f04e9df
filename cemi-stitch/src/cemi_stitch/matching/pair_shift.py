"""Measures shifts at full resolution: one pair after the other on the CPU, all pairs of a task together on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cemi_core.model.layout import PairShift
from cemi_stitch.correlation.zncc import overlap_zncc, significance
from cemi_stitch.frames.cache import PreparedFrames
from cemi_stitch.frames.filters import shading_sigma_px, without_shading
from cemi_stitch.graph.candidate_pairs import Window, overlap_sides
from cemi_stitch.matching.batched_evaluation import evaluated_together
from cemi_stitch.matching.evaluation import MAX_TEMPLATE_PIXELS, MIN_SIDE, Evaluation, evaluated
from cemi_stitch.matching.pyramid_search import NO_PEAK, LevelMatch, Search, Shift, best_of, descent

Peaks = list[LevelMatch]


def matched(frames: PreparedFrames, windows: Sequence[Window], together: bool) -> list[PairShift]:
    """Return the shifts of pairs: pyramid search over each window, then a quadratic through the peak.

    Where the specimen repeats itself, the other peaks are a pair's candidates.
    """
    return _answered(frames, windows, [_descent(frames, window) for window in windows], together)


def verified(
    frames: PreparedFrames, windows: Sequence[Window], proposals: Sequence[Sequence[Shift]], together: bool
) -> list[PairShift]:
    """Return the shifts of pairs: of those proposed for each, the one at which the overlap correlates best."""
    return _answered(frames, windows, [best_of(shifts) for shifts in proposals], together)


def _answered(
    frames: PreparedFrames, windows: Sequence[Window], searches: Sequence[Search[Peaks]], together: bool
) -> list[PairShift]:
    if together:
        return _all_together(frames, windows, searches)
    return [_as_pair(w, _one(frames, w, search)) for w, search in zip(windows, searches, strict=True)]


def _one(frames: PreparedFrames, window: Window, search: Search[Peaks]) -> Peaks | str:
    """Follow one search to its end on the CPU."""
    try:
        evaluation = next(search)
        while True:
            first, second = frames.level(window.first, evaluation.level), frames.second(window.second, evaluation.level)
            evaluation = search.send(evaluated(first, second, evaluation, frames.enough(evaluation.level)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _all_together(
    frames: PreparedFrames, windows: Sequence[Window], searches: Sequence[Search[Peaks]]
) -> list[PairShift]:
    """Follow all searches at the same pace: in each round, one evaluation for every search that is not at its end."""
    evaluations: dict[int, Evaluation] = {n: next(search) for n, search in enumerate(searches)}
    found: dict[int, Peaks | str] = {}
    of_number = dict(enumerate(windows))
    while evaluations:
        outcomes, evaluations = evaluated_together(frames, of_number, evaluations), {}
        for number, outcome in outcomes.items():
            try:
                evaluations[number] = searches[number].send(outcome)
            except StopIteration as end:
                found[number] = end.value
    return [_as_pair(window, found[number]) for number, window in of_number.items()]


def _descent(frames: PreparedFrames, window: Window) -> Search[Peaks]:
    shift, reach = window.shift_px, max(window.reach_px)
    first, second = frames.shape(window.first), frames.shape(window.second)
    if window.wide:
        level = max(1, math.ceil(math.sqrt(first[0] * first[1] / MAX_TEMPLATE_PIXELS)))
        pictures = frames.level(window.first, level), frames.second(window.second, level)
        shift, reach = _searched(*pictures, window, level), level + 1.0
    return (yield from descent(shift, reach, min(overlap_sides(shift, first, second))))


def _searched(first: Tensor, second: Tensor, window: Window, level: int) -> Shift:
    """Return the best shift, px, of the whole of a wide window on one level."""
    middle = [round(s / level) for s in window.shift_px]
    reach = (math.ceil(window.reach_px[0] / level), math.ceil(window.reach_px[1] / level))
    fewest = torch.tensor([MIN_SIDE * max(min(first.shape), MIN_SIDE)], device=first.device)
    sigma = shading_sigma_px(second.shape)
    first, second = without_shading(first, sigma), without_shading(second, sigma)
    quality, count = overlap_zncc(
        _alike(first, second), _alike(second, first), torch.tensor([middle], device=first.device), reach, fewest
    )
    score = significance(quality[0], count[0])
    row, column = divmod(int(score.argmax()), score.shape[1])
    return float(level * (middle[0] + row - reach[0])), float(level * (middle[1] + column - reach[1]))


def _alike(picture: Tensor, other: Tensor) -> Tensor:
    """Return ``picture`` as a batch of one, filled up with NaN to the size of ``other`` where that is larger."""
    more = [max(0, int(b) - int(a)) for a, b in zip(picture.shape, other.shape, strict=True)]
    return torch.nn.functional.pad(picture, (0, more[1], 0, more[0]), value=math.nan)[None]


def _as_pair(window: Window, peaks: Peaks | str) -> PairShift:
    if isinstance(peaks, str):
        return PairShift(window.first, window.second, window.shift_px, 0.0).dropped(peaks)
    found, *others = peaks
    sigma = _standard_error(found.quality, found.curvature, found.pixels)
    candidates = tuple((other.shift, other.quality) for other in others)
    pair = PairShift(
        window.first, window.second, found.shift, found.quality, found.pixels, sigma, candidates=candidates
    )
    return pair if found.inside else pair.dropped(NO_PEAK)


def _standard_error(quality: float, curvature: float, pixels: int) -> float:
    """Return the standard error of a shift from the height and sharpness of its correlation peak.

    Cramér-Rao bound for two pictures with equal noise: variance = 2 (1 - q) / (q'' n), q'' being the curvature of the
    peak and n the number of independent pixels; smoothing leaves about one in 4 pi sigma^2, taken as 28 (sigma = 1.5
    px).
    """
    if curvature <= 0:
        return float("nan")
    return math.sqrt(2 * max(1 - quality, 1e-4) * 28 / (curvature * pixels))
