"""The matchers that a setting chooses from: each proposes shifts of a pair, ZNCC of the overlap judges them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from torch import Tensor

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_stitch.correlation.features import Similarity, agreed_shifts, pair_matcher, similarity
from cemi_stitch.correlation.phase_correlation import phase_peaks
from cemi_stitch.frames.cache import FRAMES_KEPT, MatchOptions, PreparedFrames
from cemi_stitch.frames.filters import shading_sigma_px, without_shading
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.evaluation import MIN_SIDE, TOO_SMALL
from cemi_stitch.matching.pair_shift import matched, verified
from cemi_stitch.tasks import use_threads

Shifts = list[tuple[float, float]]


def match_windows(source: FrameSource, windows: Sequence[Window], options: MatchOptions) -> list[PairShift]:
    """Read the frames of ``windows`` and return their shifts to a fraction of a pixel, in the same order.

    A module-level function, so that any executor can run it. The second frames are flipped along the axes in
    ``options.mirror``, which no true match survives.
    """
    use_threads(options.threads)
    frames = _frames(source, windows, options)
    if options.matcher == "zncc":
        return matched(frames, windows, options.together)
    return _match_proposals(frames, windows, options)


def _frames(source: FrameSource, windows: Sequence[Window], options: MatchOptions) -> PreparedFrames:
    """Return the frames of a task, all of them kept where all pairs are compared at once."""
    involved = {n for window in windows for n in (window.first, window.second)}
    return PreparedFrames(source, options, len(involved) if options.together else FRAMES_KEPT)


def _match_proposals(frames: PreparedFrames, windows: Sequence[Window], options: MatchOptions) -> list[PairShift]:
    shifts: dict[int, PairShift] = {}
    proposals: dict[int, Shifts] = {}
    for number, window in enumerate(windows):
        pieces = _pieces(frames, window, options)
        nothing = PairShift(window.first, window.second, window.shift_px, 0.0)
        if pieces is None:
            shifts[number] = nothing.dropped(TOO_SMALL)
            continue
        found = _by_phase(*pieces, window, options) if options.matcher == "phase" else _by_features(*pieces, options)
        if found:
            proposals[number] = found
        else:
            shifts[number] = nothing.dropped("too few features agree on a shift")
    those = [windows[number] for number in proposals]
    shifts.update(zip(proposals, verified(frames, those, list(proposals.values()), options.together), strict=True))
    return [shifts[number] for number in range(len(windows))]


def _by_phase(first: Tensor, second: Tensor, offset: tuple[int, int], window: Window, options: MatchOptions) -> Shifts:
    sigma = shading_sigma_px(second.shape)
    reach = (math.ceil(window.reach_px[0]) + 1, math.ceil(window.reach_px[1]) + 1)
    middle = [round(s) - o for s, o in zip(window.shift_px, offset, strict=True)]
    far = (reach[0] + abs(middle[0]), reach[1] + abs(middle[1]))
    peaks = phase_peaks(without_shading(first, sigma), without_shading(second, sigma), far, options.smoothing_px)
    near = [peak for peak in peaks if all(abs(p - m) <= r for p, m, r in zip(peak, middle, reach, strict=True))]
    return [(float(y + offset[0]), float(x + offset[1])) for y, x in near or peaks[:1]]


def _by_features(first: Tensor, second: Tensor, offset: tuple[int, int], options: MatchOptions) -> Shifts:
    places = pair_matcher(options.features, options.device)(first, second)
    return [(y + offset[0], x + offset[1]) for y, x in agreed_shifts(*places)]


def _pieces(
    frames: PreparedFrames, window: Window, options: MatchOptions
) -> tuple[Tensor, Tensor, tuple[int, int]] | None:
    """Cut out of both frames what may overlap, to one size; and the shift between the corners of the two pieces."""
    first, second = frames.level(window.first, 1), frames.second(window.second, 1)
    if options.matcher == "phase":
        first, second = frames.raw(window.first), frames.raw(window.second)
        second = second.flip(options.mirror) if options.mirror else second
    corners, sides = [], []
    for axis in (0, 1):
        shift, reach = round(window.shift_px[axis]), math.ceil(window.reach_px[axis])
        height = (int(first.shape[axis]), int(second.shape[axis]))
        start = (max(0, shift - reach), max(0, -shift - reach))
        stop = (min(height[0], shift + height[1] + reach), min(height[1], height[0] - shift + reach))
        side = min(stop[0] - start[0], stop[1] - start[1])
        if side < 2 * MIN_SIDE:
            return None
        # A shift to larger y puts the overlap at the end of the first piece and at the beginning of the second.
        corners.append((stop[0] - side if shift > 0 else start[0], start[1] if shift > 0 else stop[1] - side))
        sides.append(side)
    (top, upper), (left, lefter) = corners
    height, width = sides
    return (
        first[top : top + height, left : left + width],
        second[upper : upper + height, lefter : lefter + width],
        (top - upper, left - lefter),
    )


def similarities(source: FrameSource, windows: Sequence[Window], options: MatchOptions) -> list[Similarity | None]:
    """Return rotation and scale between the frames of each window, None where too few features agree."""
    use_threads(options.threads)
    frames, found = PreparedFrames(source, options), []
    for window in windows:
        pieces = _pieces(frames, window, options)
        places = None if pieces is None else pair_matcher(options.features, options.device)(*pieces[:2])
        found.append(None if places is None else similarity(*places))
    return found


def rotation_note(found: Sequence[Similarity | None]) -> tuple[str, ...]:
    """Return a sentence on the rotation and scale between frames; nothing if no pair told."""
    told = [one for one in found if one is not None]
    if not told:
        return ()
    turns, scales = [one.rotation_deg for one in told], [one.scale for one in told]
    return (
        f"Overlapping frames are turned against each other by {median(turns):.2f} degrees (at most "
        f"{max(abs(turn) for turn in turns):.2f}) and scaled by {median(scales):.4f} (medians of {len(told)} pairs).",
    )
