"""The stitcher ``kornia``: which pairs are compared, and how; what needs torch is imported when they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame, FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.progress import Progress, silent
from cemi_core.model.stages import Journal, Runtime
from cemi_stitch.graph.acceptance import FINE_FLOOR
from cemi_stitch.graph.candidate_pairs import Window, consecutive_windows, overlapping_pairs
from cemi_stitch.overlap_stitcher import Frames, OverlapStitcher, as_frames
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.solve.layout import solve_layout, step_slack_px

if TYPE_CHECKING:
    from cemi_stitch.distortion.rectification import Rematch
    from cemi_stitch.frames.cache import MatchOptions
    from cemi_stitch.frames.fixed_pattern import Picture
    from cemi_stitch.frames.survey import Survey

__all__ = ["KorniaStitcher", "OverlapStitcher", "make_kornia"]

#: Pairs, at most, that the matcher's notes come from.
NOTED_PAIRS = 12
#: What the coarse layout may be wrong by, beside two thumbnail pixels.
NARROW_REACH_PX = 12.0


class KorniaStitcher(OverlapStitcher):
    """Places frames by zero-mean normalised cross-correlation: thumbnails first, then full resolution, sub-pixel.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).random((300, 500), dtype=np.float32)
    >>> layout = KorniaStitcher().place([scene[:, :280], scene[:, 220:]])
    >>> layout.positions_px.round(1).tolist()
    [[0.0, 0.0], [0.0, 220.0]]
    """

    def match(
        self,
        frames: FrameSource,
        executor: Executor | None = None,
        *,
        progress: Progress | None = None,
        journal: Journal | None = None,
        survey: Survey | None = None,
    ) -> list[PairShift]:
        """Return the shifts of all pairs that overlap; see `OverlapStitcher.match`."""
        from cemi_stitch.matching.match_pairs import Matching, matched_beyond_chance

        source, show = as_frames(frames), progress or silent
        if len(source.frames) < 2:
            return []
        survey = survey or self.survey(source, executor, progress=show)
        pattern = self._fixed_pattern(source, survey, executor, show, journal)
        windows, places = self._windows(source.frames, survey, pattern)
        matching = Matching(source, self._options(pattern), executor, show, journal, places)
        return matched_beyond_chance(matching, windows, self.settings.false_match_rate)

    def rematch(self, executor: Executor | None, progress: Progress) -> Rematch:
        """Return how pairs of straightened frames are matched anew; see `OverlapStitcher.rematch`."""
        from cemi_stitch.matching.match_pairs import Matching, matched

        def match_again(source: FrameSource, windows: Sequence[Window]) -> list[PairShift]:
            return matched(Matching(source, self._options(), executor, progress), windows, "matching upright frames")

        return match_again

    def _options(self, pattern: Picture | None = None) -> MatchOptions:
        from cemi_stitch.frames.cache import MatchOptions

        settings, machine = self.settings, self.runtime
        return MatchOptions(
            settings.smoothing_px,
            machine.device,
            machine.threads,
            pattern=pattern,
            matcher=settings.matcher,
            features=settings.features,
        )

    def solve(self, frames: Frames, shifts: Sequence[PairShift]) -> Layout:
        """Return the layout that all shifts give, with what the matcher has to say on it."""
        from cemi_stitch.matching.matcher import make_matcher

        layout = super().solve(frames, shifts)
        kept = [pair for pair in layout.pairs if pair.kept]
        picks = kept[:: math.ceil(len(kept) / NOTED_PAIRS) or 1]
        windows = [Window(pair.first, pair.second, pair.shift_px, (1.0, 1.0)) for pair in picks]
        notes = make_matcher(self._options()).notes(as_frames(frames), windows)
        return replace(layout, notes=(*layout.notes, *notes))

    def _fixed_pattern(
        self,
        source: FrameSource,
        survey: Survey,
        executor: Executor | None,
        progress: Progress,
        journal: Journal | None,
    ) -> Picture | None:
        """Return what is fixed in the pixels of all frames; None where it is nothing or could not be mistaken."""
        from cemi_stitch.frames.fixed_pattern import explained, shared_picture
        from cemi_stitch.matching.match_pairs import Matching, accepted, matched

        smoothing = self.settings.smoothing_px
        shared = None if survey.sums is None else shared_picture(survey.sums, smoothing)
        if shared is None:
            return None
        found = []
        for trial in (None, shared):
            windows, places = self._windows(source.frames, survey, trial)
            matching = Matching(source, self._options(trial), executor, progress, journal, places)
            shifts = matched(matching, windows, "finding what is fixed")
            layout = solve_layout(
                source.frames, [accepted(pair, FINE_FLOOR) for pair in shifts], self.settings.tolerance
            )
            if not layout.placed_by_prior.any():
                found.append(explained(source, layout.positions_px, shared, smoothing))
        return min(found, key=lambda explanation: explanation.unexplained).pattern if found else None

    def _windows(
        self, frames: Sequence[Frame], survey: Survey, pattern: Picture | None = None
    ) -> tuple[list[Window], NDArray[np.float64]]:
        """Return narrow windows for all pairs that overlap, and the coarse layout that they come from."""
        from cemi_stitch.coarse.coarse_layout import place_coarsely
        from cemi_stitch.coarse.thumbnail_search import ThumbnailSearch

        settings, factor = self.settings, survey.factor
        search = ThumbnailSearch(survey.thumbnails, factor, settings.min_overlap, self.runtime.device, pattern)
        follow = consecutive_windows(frames, settings.min_overlap, settings.tolerance)
        slack = step_slack_px(frames, settings.tolerance)
        positions, group = place_coarsely(frames, search, follow, slack, settings.false_match_rate)
        shapes = np.array([frame.shape for frame in frames], np.int64)
        narrow = NARROW_REACH_PX + 2 * factor
        windows = []
        for i, j in overlapping_pairs(positions, shapes, settings.min_overlap):
            shift = (float(positions[j, 0] - positions[i, 0]), float(positions[j, 1] - positions[i, 1]))
            wide = bool(group[i] != group[j])
            reach = (max(narrow, slack[0]), max(narrow, slack[1])) if wide else (narrow, narrow)
            windows.append(Window(i, j, shift, reach, wide=wide))
        return windows, positions


def make_kornia(settings: KorniaSettings, runtime: Runtime) -> KorniaStitcher:
    """Return the stitcher ``kornia``."""
    return KorniaStitcher(settings, runtime)
