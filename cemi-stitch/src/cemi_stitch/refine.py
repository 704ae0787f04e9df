"""The fine match: full-resolution shifts of single pairs, from a window down to a fraction of a pixel."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_stitch.gate import FINE_FLOOR, significance
from cemi_stitch.pairs import Window, overlap_sides
from cemi_stitch.prepare import shading_sigma_px, smoothed, without_shading
from cemi_stitch.zncc import overlap_zncc, rival_peaks, subpixel_peak, template_zncc

#: Prepared frames that a task keeps, enough for pairs that are ordered along a pass.
FRAMES_KEPT = 6
#: Half the window on the coarsest level, on every finer one, and at most (where an overlap is too narrow for a coarser
#: level), in px of that level.
FIRST_REACH, NEXT_REACH, MOST_REACH = 6, 2, 24
#: Each level is this many times finer than the one before.
LEVEL_STEP = 4
#: Pixels at the edge of an overlap that are left out where there are enough of them.
EDGE_PX = 4
#: From how many smoothed edges on an overlap can spare them: at full resolution, where they would bias the shift of a
#: thin overlap (0.08 px at 26 px), and on pooled levels, where smoothing reaches less far.
THIN_FINE, THIN_COARSE = 4, 10
#: The shortest side of an overlap that can be compared, px of a level.
MIN_SIDE = 8
#: Other peaks are looked for if one is this share of the highest, or if the coarsest level, which does not show fine
#: lamellae, correlates by less than this.
RIVAL_SHARE, DULL = 0.8, 0.5
#: How many are kept, by how much one must be better than the peak that was followed, and half the window, at most, in
#: px of the level that it is searched on. Peaks nearer than this are one.
MOST_RIVALS, RIVAL_MARGIN, RIVAL_REACH, SAME_PEAK_PX = 4, 0.03, 14, 2.0
#: Pixels of an overlap, at most, that are compared at full resolution; more would add time and no certainty.
MAX_TEMPLATE_PIXELS = 300_000


@dataclass(frozen=True)
class MatchOptions:
    """What a matching task needs to know of settings and machine."""

    smoothing_px: float = 1.5
    device: str = "cpu"
    threads: int = 1
    mirror: tuple[int, ...] = ()
    pattern: NDArray[np.float32] | None = None
    matcher: str = "zncc"
    features: str = "sift"


class PreparedFrames:
    """Frames smoothed and on the device, at full size and pooled, the last few kept."""

    def __init__(self, source: FrameSource, options: MatchOptions) -> None:
        self._source = source
        self._options = options
        self._kept: OrderedDict[int, dict[int, Tensor]] = OrderedDict()

    def pixels(self, index: int) -> int:
        """Return the number of pixels of frame ``index``."""
        return self.level(index, 1).numel()

    def level(self, index: int, factor: int) -> Tensor:
        """Return frame ``index``, float32 (h // factor, w // factor), averaged over blocks."""
        if index not in self._kept:
            frame = self._source.read(index)
            if self._options.pattern is not None:
                frame = frame - self._options.pattern
            full = smoothed(frame, self._options.smoothing_px, self._options.device)
            self._kept[index] = {1: full}
            if self._options.matcher == "phase":
                self._kept[index][0] = smoothed(frame, 0.0, self._options.device)
            while len(self._kept) > FRAMES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        levels = self._kept[index]
        if factor not in levels:
            levels[factor] = avg_pool2d(levels[1][None, None], factor)[0, 0]
        return levels[factor]

    def raw(self, index: int) -> Tensor:
        """Return frame ``index`` without smoothing, which only the matcher ``phase`` keeps."""
        self.level(index, 1)
        return self._kept[index][0]


@dataclass(frozen=True)
class LevelMatch:
    """The best shift of one pair on one level, in px of the frames, with height and curvature of the peak.

    ``rivals`` are the places of other peaks nearly as high.
    """

    shift: tuple[float, float]
    quality: float
    curvature: float
    pixels: int
    inside: bool
    rivals: tuple[tuple[float, float], ...] = ()


def match_pair(frames: PreparedFrames, window: Window, mirror: tuple[int, ...] = ()) -> PairShift:
    """Return the shift of one pair: pyramid search over the window, then a quadratic through the peak.

    Where the specimen repeats itself, the other peaks are its candidates.
    """
    peaks = _descend(frames, window, mirror)
    if isinstance(peaks, str):
        return PairShift(window.first, window.second, window.shift_px, 0.0).dropped(peaks)
    return _as_pair(window, peaks)


def verified(
    frames: PreparedFrames, window: Window, proposals: Sequence[tuple[float, float]], mirror: tuple[int, ...] = ()
) -> PairShift:
    """Return the shift of one pair: the one of some proposed shifts at which the overlap correlates best."""
    first, second = frames.level(window.first, 1), frames.level(window.second, 1)
    second = second.flip(mirror) if mirror else second
    found = [_match_level(first, second, shift, NEXT_REACH, 1) for shift in proposals]
    peaks = sorted((f for f in found if not isinstance(f, str) and f.inside), key=lambda peak: -peak.quality)
    if not peaks:
        why = found[0] if isinstance(found[0], str) else "no peak within the window"
        return PairShift(window.first, window.second, window.shift_px, 0.0).dropped(why)
    rivals = [peak for peak in peaks[1:] if peak.quality >= RIVAL_SHARE * peaks[0].quality]
    apart = [peak for peak in rivals if math.dist(peak.shift, peaks[0].shift) > SAME_PEAK_PX]
    return _as_pair(window, [peaks[0], *apart])


def _as_pair(window: Window, peaks: Sequence[LevelMatch]) -> PairShift:
    found, *others = peaks
    sigma = _standard_error(found.quality, found.curvature, found.pixels)
    candidates = tuple((other.shift, other.quality) for other in others)
    pair = PairShift(
        window.first, window.second, found.shift, found.quality, found.pixels, sigma, candidates=candidates
    )
    return pair if found.inside else pair.dropped("no peak within the window")


def _descend(frames: PreparedFrames, window: Window, mirror: tuple[int, ...]) -> list[LevelMatch] | str:
    """Return the shifts of a pair at full resolution, best first, found from level to level; or why there is none."""

    def both(level: int) -> tuple[Tensor, Tensor]:
        second = frames.level(window.second, level)
        return frames.level(window.first, level), second.flip(mirror) if mirror else second

    shift, reach = window.shift_px, max(window.reach_px)
    if window.wide:
        level = max(1, math.ceil(math.sqrt(frames.pixels(window.first) / MAX_TEMPLATE_PIXELS)))
        shift, reach = _searched(*both(level), window, level), level + 1.0
    side = min(overlap_sides(shift, both(1)[0].shape, both(1)[1].shape))
    first_level, *finer = _levels(reach, side)
    # A window wider than a narrow overlap is searched by following the peak.
    half = min(MOST_REACH, math.ceil(reach / first_level) + 1, max(NEXT_REACH, int(side / first_level) - MIN_SIDE))
    found = coarse = _match_level(*both(first_level), shift, half, first_level)
    for level in finer:
        if isinstance(found, str):
            return found
        found = _match_level(*both(level), found.shift, NEXT_REACH, level)
    if isinstance(found, str) or isinstance(coarse, str):
        return str(found)
    believable = significance(found.quality, found.pixels) > FINE_FLOOR
    if believable and (coarse.rivals or coarse.quality < DULL):
        return _with_rivals(both, found, shift, min(reach, side / 2))
    return [found]


def _with_rivals(
    both: Callable[[int], tuple[Tensor, Tensor]], found: LevelMatch, shift: tuple[float, float], reach: float
) -> list[LevelMatch]:
    """Return ``found`` and the other peaks within ``reach`` of ``shift``, best first, those nearly alike excepted.

    A rival takes the first place only if it is clearly better: of equals, the one that was expected stays.
    """
    level = math.ceil((reach + 1) / RIVAL_REACH)
    wide = _match_level(*both(level), shift, math.ceil(reach / level) + 1, level, follow=False)
    peaks = [found]
    for place in [] if isinstance(wide, str) else [wide.shift, *wide.rivals]:
        rival: LevelMatch | str = wide
        for finer in sorted({math.ceil(level / 2), 1}, reverse=True):
            rival = _match_level(*both(finer), place, NEXT_REACH, finer)
            if isinstance(rival, str):
                break
            place = rival.shift
        if isinstance(rival, str) or not rival.inside or rival.quality < RIVAL_SHARE * found.quality:
            continue
        if all(math.dist(rival.shift, peak.shift) > SAME_PEAK_PX for peak in peaks):
            peaks.append(rival)
    peaks.sort(key=lambda peak: -peak.quality)
    first = peaks[0] if peaks[0].quality > found.quality + RIVAL_MARGIN else found
    return [first, *(peak for peak in peaks if peak is not first)][: MOST_RIVALS + 1]


def _searched(first: Tensor, second: Tensor, window: Window, level: int) -> tuple[float, float]:
    """Return the best shift, px, of the whole of a wide window on one level."""
    middle = [round(s / level) for s in window.shift_px]
    reach = (math.ceil(window.reach_px[0] / level), math.ceil(window.reach_px[1] / level))
    fewest = torch.tensor([MIN_SIDE * max(min(first.shape), MIN_SIDE)], device=first.device)
    sigma = shading_sigma_px(second.shape)
    first, second = without_shading(first, sigma), without_shading(second, sigma)
    quality, count = overlap_zncc(
        _alike(first, second), _alike(second, first), torch.tensor([middle], device=first.device), reach, fewest
    )
    score = torch.atanh(quality[0].clamp(-0.9999, 0.9999)) * count[0].sqrt()
    row, column = divmod(int(score.argmax()), score.shape[1])
    return float(level * (middle[0] + row - reach[0])), float(level * (middle[1] + column - reach[1]))


def _alike(picture: Tensor, other: Tensor) -> Tensor:
    """Return ``picture`` as a batch of one, filled up with NaN to the size of ``other`` where that is larger."""
    more = [max(0, int(b) - int(a)) for a, b in zip(picture.shape, other.shape, strict=True)]
    return torch.nn.functional.pad(picture, (0, more[1], 0, more[0]), value=math.nan)[None]


def _match_level(
    first: Tensor, second: Tensor, shift_px: tuple[float, float], half: int, level: int, follow: bool = True
) -> LevelMatch | str:
    """Return the best shift within ``half`` px of a level; or why there is none.

    A peak on the border is followed twice at most; if not to be followed, the best one off the border counts.
    """
    middle = [round(s / level) for s in shift_px]
    sigma = shading_sigma_px(second.shape)
    for _ in range(3):
        patches = _patches(first, second, middle, half, THIN_FINE if level == 1 else THIN_COARSE)
        if patches is None:
            return "overlap is too small"
        patch, template = (without_shading(part, sigma) for part in patches)
        surface = template_zncc([patch], [template], half)[0]
        if not bool(surface.any()):
            return "overlap has no contrast"
        row, column = divmod(
            int((surface if follow else surface[1:-1, 1:-1]).argmax()), 2 * half + 1 - 2 * (not follow)
        )
        if not follow:
            row, column = row + 1, column + 1
        peak = [middle[0] + row - half, middle[1] + column - half]
        if max(abs(row - half), abs(column - half)) < half:
            break
        middle = peak
    else:
        place = (float(level * peak[0]), float(level * peak[1]))
        return LevelMatch(place, float(surface.max()), 0.0, template.numel(), False)
    offset, height, curvature = subpixel_peak(surface[None, row - 1 : row + 2, column - 1 : column + 2])
    place = (level * (peak[0] + float(offset[0, 0])), level * (peak[1] + float(offset[0, 1])))
    rivals = [
        (float(level * (middle[0] + y - half)), float(level * (middle[1] + x - half)))
        for y, x in rival_peaks(surface, (row, column), RIVAL_SHARE, MOST_RIVALS)
    ]
    return LevelMatch(place, min(float(height[0]), 1.0), float(curvature[0]), template.numel(), True, tuple(rivals))


def _levels(reach: float, side: float) -> list[int]:
    """Return the pooling factors, coarse to fine, ending in 1, for a window and the shorter side of its overlap."""
    level = max(1, min(math.ceil((reach + 1) / FIRST_REACH), int((side - reach) / (2 * MIN_SIDE))))
    levels = [level, math.ceil(level / LEVEL_STEP)]  # the second look of a single level uses all of the overlap
    while levels[-1] > 1:
        levels.append(math.ceil(levels[-1] / LEVEL_STEP))
    return levels


def _patches(
    first: Tensor, second: Tensor, shift: Sequence[int], margin: int, spared: int
) -> tuple[Tensor, Tensor] | None:
    """Cut the template out of ``second`` and the patch, larger by ``margin`` on every side, out of ``first``.

    Overlaps thinner than ``spared`` smoothed edges keep theirs: a little wrong is better than nothing left.
    """
    bounds = []
    for axis in (0, 1):
        start = max(0, margin - shift[axis])
        stop = min(second.shape[axis], first.shape[axis] - margin - shift[axis])
        if stop - start < MIN_SIDE:
            return None
        # Smoothing saw nothing beyond the edge of a frame: what lies there differs between two frames.
        edge = EDGE_PX if stop - start >= spared * EDGE_PX else 0
        bounds.append((start + edge, stop - edge))
    (top, bottom), (left, right) = _middle(bounds)
    patch = first[
        top + shift[0] - margin : bottom + shift[0] + margin, left + shift[1] - margin : right + shift[1] + margin
    ]
    return patch, second[top:bottom, left:right]


def _middle(bounds: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the middle of a rectangle given by (start, stop) in y and x, at most about `MAX_TEMPLATE_PIXELS` of it."""
    sides = [stop - start for start, stop in bounds]
    keep = min(1.0, math.sqrt(MAX_TEMPLATE_PIXELS / (sides[0] * sides[1])))
    cut = [int(side * (1 - keep) / 2) for side in sides]
    return [(start + c, stop - c) for (start, stop), c in zip(bounds, cut, strict=True)]


def _standard_error(quality: float, curvature: float, pixels: int) -> float:
    """Return the standard error of a shift from the height and sharpness of its correlation peak.

    Cramér-Rao bound for two pictures with equal noise: variance = 2 (1 - q) / (q'' n), q'' being the curvature of the
    peak and n the number of independent pixels; smoothing leaves about one in 4 pi sigma^2, taken as 28 (sigma = 1.5
    px).
    """
    if curvature <= 0:
        return float("nan")
    return math.sqrt(2 * max(1 - quality, 1e-4) * 28 / (curvature * pixels))
