"""Pyramid search: from a window on a coarse level to a shift at full resolution, to a fraction of a pixel.

Each search is a generator that yields an `Evaluation`, receives its `Outcome`, and continues from there. So the CPU,
one pair after the other, and a GPU, many pairs together, follow the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cemi_core.numeric.peak import quadratic_peak
from cemi_core.numeric.significance import significance
from cemi_stitch.correlation.peaks import rival_peaks
from cemi_stitch.graph.acceptance import FINE_FLOOR
from cemi_stitch.matching.evaluation import MIN_SIDE, Evaluation, Outcome, Surface

#: Half the window on the coarsest level, on every finer one, and at most (where an overlap is too narrow for a coarser
#: level), in px of that level.
FIRST_REACH, NEXT_REACH, MAX_REACH = 6, 2, 24
#: Each level is this many times finer than the one before.
LEVEL_STEP = 4
#: How often a peak on the border of a window is followed.
FOLLOWED = 2
#: Other peaks are looked for if one is this share of the highest, or if the coarsest level, which does not show fine
#: lamellae, correlates by less than this.
RIVAL_SHARE, DULL = 0.8, 0.5
#: How many are kept, by how much one must be better than the peak that was followed, and half the window, at most, in
#: px of the level that it is searched on. Peaks nearer than this are one.
MAX_RIVALS, RIVAL_MARGIN, RIVAL_REACH, SAME_PEAK_PX = 4, 0.03, 14, 2.0

Shift = tuple[float, float]
NO_PEAK = "no peak within the window"


@dataclass(frozen=True)
class LevelMatch:
    """The best shift of one pair on one level, in px of the frames, with height and curvature of the peak.

    ``rivals`` are the places of other peaks nearly as high.
    """

    shift: Shift
    quality: float
    curvature: float
    pixels: int
    inside: bool
    rivals: tuple[Shift, ...] = ()


Answer = TypeVar("Answer")
#: Asks for evaluations and ends in an answer, or in the reason why there is none.
Search = Generator[Evaluation, Outcome, Answer | str]


def descent(shift: Shift, reach: float, side: float) -> Search[list[LevelMatch]]:
    """Find the shift of a pair within ``reach`` of ``shift``, px, from level to level.

    Where the specimen may repeat itself, other peaks follow, best first. ``side`` is the shorter side of the overlap.
    """
    first_level, *finer = _levels(reach, side)
    # A window wider than a narrow overlap is searched by following the peak.
    half = min(MAX_REACH, math.ceil(reach / first_level) + 1, max(NEXT_REACH, int(side / first_level) - MIN_SIDE))
    found = coarse = yield from _best(shift, half, first_level)
    for level in finer:
        if isinstance(found, str):
            return found
        found = yield from _best(found.shift, NEXT_REACH, level)
    if isinstance(found, str) or isinstance(coarse, str):
        return str(found)
    believable = significance(found.quality, found.pixels) > FINE_FLOOR
    if believable and (coarse.rivals or coarse.quality < DULL):
        return (yield from _with_rivals(found, shift, min(reach, side / 2)))
    return [found]


def best_of(proposals: Sequence[Shift]) -> Search[list[LevelMatch]]:
    """Find, of some proposed shifts, the one at which the overlap correlates best; others as high follow."""
    found = []
    for shift in proposals:
        found.append((yield from _best(shift, NEXT_REACH, 1)))
    peaks = sorted((f for f in found if not isinstance(f, str) and f.inside), key=lambda peak: -peak.quality)
    if not peaks:
        return found[0] if isinstance(found[0], str) else NO_PEAK
    rivals = [peak for peak in peaks[1:] if peak.quality >= RIVAL_SHARE * peaks[0].quality]
    return [peaks[0], *(peak for peak in rivals if math.dist(peak.shift, peaks[0].shift) > SAME_PEAK_PX)]


def _with_rivals(found: LevelMatch, shift: Shift, reach: float) -> Search[list[LevelMatch]]:
    """Return ``found`` and the other peaks within ``reach`` of ``shift``, best first, those nearly alike excepted.

    A rival takes the first place only if it is clearly better: of equals, the one that was expected stays.
    """
    level = math.ceil((reach + 1) / RIVAL_REACH)
    wide = yield from _best(shift, math.ceil(reach / level) + 1, level, follow=False)
    peaks = [found]
    for place in [] if isinstance(wide, str) else [wide.shift, *wide.rivals]:
        rival: LevelMatch | str = wide
        for finer in sorted({math.ceil(level / 2), 1}, reverse=True):
            rival = yield from _best(place, NEXT_REACH, finer)
            if isinstance(rival, str):
                break
            place = rival.shift
        if isinstance(rival, str) or not rival.inside or rival.quality < RIVAL_SHARE * found.quality:
            continue
        if all(math.dist(rival.shift, peak.shift) > SAME_PEAK_PX for peak in peaks):
            peaks.append(rival)
    peaks.sort(key=lambda peak: -peak.quality)
    first = peaks[0] if peaks[0].quality > found.quality + RIVAL_MARGIN else found
    return [first, *(peak for peak in peaks if peak is not first)][: MAX_RIVALS + 1]


def _best(shift_px: Shift, half: int, level: int, follow: bool = True) -> Search[LevelMatch]:
    """Find the best shift within ``half`` px of a level.

    A peak on the border is followed; if not to be followed, the best one off the border counts.
    """
    evaluation = Evaluation(level, (round(shift_px[0] / level), round(shift_px[1] / level)), half)
    for _ in range(1 + FOLLOWED):
        answer = yield evaluation
        if isinstance(answer, str):
            return answer
        seen = answer
        row, column = _highest(seen, evaluation.reach, border=follow)
        if max(abs(row - half), abs(column - half)) < half:
            return _peak(seen, evaluation, (row, column))
        evaluation = Evaluation(level, (evaluation.middle[0] + row - half, evaluation.middle[1] + column - half), half)
    place = (float(level * evaluation.middle[0]), float(level * evaluation.middle[1]))
    return LevelMatch(place, float(seen.surface.max()), 0.0, seen.pixels, False)


def _highest(seen: Surface, half: int, border: bool) -> tuple[int, int]:
    """Return (row, column) of the highest value, of those off the border if that is not to count."""
    if border:
        return divmod(int(seen.surface.argmax()), 2 * half + 1)
    row, column = divmod(int(seen.surface[1:-1, 1:-1].argmax()), 2 * half - 1)
    return row + 1, column + 1


def _peak(seen: Surface, evaluation: Evaluation, best: tuple[int, int]) -> LevelMatch:
    """Return the match at the highest value of a surface, to a fraction of a pixel."""
    row, column = best
    corner = (evaluation.middle[0] - evaluation.reach, evaluation.middle[1] - evaluation.reach)
    (offset,), (height,), (curvature,) = quadratic_peak(seen.surface[None, row - 1 : row + 2, column - 1 : column + 2])
    place = [evaluation.level * (start + at + float(by)) for start, at, by in zip(corner, best, offset, strict=True)]
    rivals = tuple(
        (float(evaluation.level * (corner[0] + y)), float(evaluation.level * (corner[1] + x)))
        for y, x in rival_peaks(seen.surface, best, RIVAL_SHARE, MAX_RIVALS)
    )
    return LevelMatch((place[0], place[1]), min(float(height), 1.0), float(curvature), seen.pixels, True, rivals)


def _levels(reach: float, side: float) -> list[int]:
    """Return the pooling factors, coarse to fine, ending in 1, for a window and the shorter side of its overlap."""
    level = max(1, min(math.ceil((reach + 1) / FIRST_REACH), int((side - reach) / (2 * MIN_SIDE))))
    levels = [level, math.ceil(level / LEVEL_STEP)]  # the second evaluation of a single level uses all of the overlap
    while levels[-1] > 1:
        levels.append(math.ceil(levels[-1] / LEVEL_STEP))
    return levels
