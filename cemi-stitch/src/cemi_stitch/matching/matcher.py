"""What a matcher offers, and the one that proposes shifts and lets ZNCC of the overlap judge them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_stitch.frames.cache import FRAMES_KEPT, MatchOptions, PreparedFrames
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.evaluation import MIN_SIDE, TOO_SMALL
from cemi_stitch.matching.pair_shift import verified
from cemi_stitch.methods import MATCHERS
from cemi_stitch.tasks import use_threads

Shifts = list[tuple[float, float]]
#: Axes along which an image is flipped.
Axes = tuple[int, ...]
#: Pairs after which a long task measures what chance gives, where pairs are compared one after the other.
PAIRS_AT_ONCE = 48


class Matcher(ABC):
    """Measures the shifts of pairs of frames; add a subclass to `cemi_stitch.methods.MATCHERS`.

    Parameters
    ----------
    options : MatchOptions

    Attributes
    ----------
    needs_raw : bool
        Whether it compares frames without smoothing (`PreparedFrames.raw`).
    """

    needs_raw: ClassVar[bool] = False

    def __init__(self, options: MatchOptions) -> None:
        self.options = options

    @abstractmethod
    def match(self, frames: PreparedFrames, windows: Sequence[Window]) -> list[PairShift]:
        """Return the shifts of all windows to a fraction of a pixel, in order.

        Parameters
        ----------
        frames : PreparedFrames
            The second frame of a pair is `PreparedFrames.second`, which a permutation test may flip.
        windows : sequence of Window
        """

    def notes(self, source: FrameSource, windows: Sequence[Window]) -> tuple[str, ...]:
        """Return sentences for the report on pairs that the solve has kept; nothing by default."""
        return ()


class ProposingMatcher(Matcher):
    """A matcher that proposes shifts of a pair; of these the one counts at which the overlap correlates best.

    Attributes
    ----------
    nothing_found : str
        Reason for dropping a pair for which nothing is proposed.
    """

    nothing_found: ClassVar[str] = "no shift was proposed"

    @abstractmethod
    def propose(self, first: Tensor, second: Tensor, offset: tuple[int, int], window: Window) -> Shifts:
        """Return shifts (dy, dx) of frames, best first; nothing where none is found.

        Parameters
        ----------
        first, second : Tensor of float32, shape (h, w)
            What may overlap, cut out of both frames to one size.
        offset : tuple of int
            Shift between the corners of the two pieces, to be added to a shift between them.
        window : Window
        """

    def match(self, frames: PreparedFrames, windows: Sequence[Window]) -> list[PairShift]:
        """Return the shifts of all windows; see `Matcher.match`."""
        shifts: dict[int, PairShift] = {}
        proposals: dict[int, Shifts] = {}
        for number, window in enumerate(windows):
            pieces = self.pieces(frames, window)
            nothing = PairShift(window.first, window.second, window.shift_px, 0.0)
            if pieces is None:
                shifts[number] = nothing.dropped(TOO_SMALL)
            elif found := self.propose(*pieces, window):
                proposals[number] = found
            else:
                shifts[number] = nothing.dropped(self.nothing_found)
        those = [windows[number] for number in proposals]
        answers = verified(frames, those, list(proposals.values()), self.options.together)
        shifts.update(zip(proposals, answers, strict=True))
        return [shifts[number] for number in range(len(windows))]

    def pieces(self, frames: PreparedFrames, window: Window) -> tuple[Tensor, Tensor, tuple[int, int]] | None:
        """Cut out of both frames what may overlap, to one size; and the shift between the corners of the two pieces."""
        first, second = frames.level(window.first, 1), frames.second(window.second, 1)
        if self.needs_raw:
            first, second = frames.raw(window.first), frames.raw(window.second)
            second = second.flip(self.options.mirror) if self.options.mirror else second
        corners, sides = [], []
        for axis in (0, 1):
            shift, reach = round(window.shift_px[axis]), math.ceil(window.reach_px[axis])
            length = (int(first.shape[axis]), int(second.shape[axis]))
            start = (max(0, shift - reach), max(0, -shift - reach))
            stop = (min(length[0], shift + length[1] + reach), min(length[1], length[0] - shift + reach))
            side = min(stop[0] - start[0], stop[1] - start[1])
            if side < 2 * MIN_SIDE:
                return None
            # A shift to larger y puts the overlap at the end of the first piece and at the beginning of the second.
            corners.append((stop[0] - side if shift > 0 else start[0], start[1] if shift > 0 else stop[1] - side))
            sides.append(side)
        (top, top_second), (left, left_second) = corners
        height, width = sides
        return (
            first[top : top + height, left : left + width],
            second[top_second : top_second + height, left_second : left_second + width],
            (top - top_second, left - left_second),
        )


def match_windows(
    source: FrameSource,
    windows: Sequence[Window],
    options: MatchOptions,
    chance: Sequence[tuple[int, Axes]] = (),
) -> list[PairShift]:
    """Read the frames of ``windows`` and return their shifts to a fraction of a pixel, in the same order.

    A module-level function, so that any executor can run it. The second frames are flipped along the axes in
    ``options.mirror``, which no true match survives.

    Parameters
    ----------
    source : FrameSource
    windows : sequence of Window
    options : MatchOptions
    chance : sequence of (int, tuple of int)
        Windows, by their place in ``windows`` and in that order, that are measured once more with second frames flipped
        along these axes, while their frames are in memory. Their shifts follow those of the windows.
    """
    use_threads(options.threads)
    matcher = make_matcher(options)
    # Where all pairs are compared at once, all frames of the task are kept.
    involved = {n for window in windows for n in (window.first, window.second)}
    kept = len(involved) if options.together else FRAMES_KEPT
    frames = PreparedFrames(source, options, kept, matcher.needs_raw)
    found: list[PairShift] = []
    by_chance: dict[int, PairShift] = {}
    at_once = len(windows) if options.together else PAIRS_AT_ONCE
    for start in range(0, len(windows), max(at_once, 1)):
        some = windows[start : start + at_once]
        found += matcher.match(frames, some)
        for axes in dict.fromkeys(axes for _, axes in chance):
            asked = [n for n, (at, along) in enumerate(chance) if along == axes and start <= at < start + len(some)]
            if asked:
                mirrored = make_matcher(replace(options, mirror=axes))
                shifts = mirrored.match(frames.mirrored(axes), [windows[chance[n][0]] for n in asked])
                by_chance.update(zip(asked, shifts, strict=True))
    return found + [by_chance[n] for n in range(len(chance))]


def make_matcher(options: MatchOptions) -> Matcher:
    """Return the matcher that the options name."""
    matcher: Matcher = MATCHERS[options.matcher].load()(options)
    return matcher
