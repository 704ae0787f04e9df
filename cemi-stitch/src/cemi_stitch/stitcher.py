"""The stitcher ``kornia``: which pairs are compared, and how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.stages import Runtime
from cemi_stitch.coarse.coarse_layout import place_coarsely
from cemi_stitch.coarse.thumbnail_search import ThumbnailSearch
from cemi_stitch.distortion.rectification import Rematch
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.frames.fixed_pattern import Picture, explained, shared_picture
from cemi_stitch.frames.thumbnails import thumbnail_factor
from cemi_stitch.graph.acceptance import FINE_FLOOR
from cemi_stitch.graph.candidate_pairs import Window, consecutive_windows, overlapping_pairs
from cemi_stitch.matching.match_pairs import Matching, gated, matched, matched_beyond_chance
from cemi_stitch.matching.matchers import rotation_note, similarities
from cemi_stitch.overlap_stitcher import Frames, OverlapStitcher, as_frames
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.solve.layout import solve_layout, step_slack_px
from cemi_stitch.tasks import Journal, Progress, no_progress

__all__ = ["KorniaStitcher", "OverlapStitcher", "make_kornia"]

#: Pairs, at most, whose rotation and scale are looked at.
ROTATION_PAIRS = 12
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
    ) -> list[PairShift]:
        """Return the shifts of all pairs that overlap; see `OverlapStitcher.match`."""
        source, show = as_frames(frames), progress or no_progress
        if len(source.frames) < 2:
            return []
        pattern = self._fixed_pattern(source, executor, show, journal)
        windows = self._windows(source, executor, show, pattern)
        matching = Matching(source, self._options(pattern), executor, show, journal)
        return matched_beyond_chance(matching, windows, self.settings.false_match_rate)

    def rematch(self, executor: Executor | None, progress: Progress) -> Rematch:
        """Return how pairs of straightened frames are matched anew; see `OverlapStitcher.rematch`."""

        def match_again(source: FrameSource, windows: Sequence[Window]) -> list[PairShift]:
            return matched(Matching(source, self._options(), executor, progress), windows, "matching upright frames")

        return match_again

    def _options(self, pattern: Picture | None = None) -> MatchOptions:
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
        """Return the layout that all shifts give; the matcher ``features`` adds a note on rotation and scale."""
        layout = super().solve(frames, shifts)
        kept = [pair for pair in layout.pairs if pair.kept]
        if self.settings.matcher != "features" or not kept:
            return layout
        picks = kept[:: math.ceil(len(kept) / ROTATION_PAIRS)]
        windows = [Window(pair.first, pair.second, pair.shift_px, (1.0, 1.0)) for pair in picks]
        found = similarities(as_frames(frames), windows, self._options())
        return replace(layout, notes=(*layout.notes, *rotation_note(found)))

    def _fixed_pattern(
        self, source: FrameSource, executor: Executor | None, progress: Progress, journal: Journal | None
    ) -> Picture | None:
        """Return what is fixed in the pixels of all frames; None where it is nothing or could not be mistaken."""
        _, sums = self._survey(source, executor, progress)
        smoothing = self.settings.smoothing_px
        shared = None if sums is None else shared_picture(sums, smoothing)
        if shared is None:
            return None
        found = []
        for trial in (None, shared):
            windows = self._windows(source, executor, progress, trial)
            matching = Matching(source, self._options(trial), executor, progress, journal)
            shifts = matched(matching, windows, "finding what is fixed")
            layout = solve_layout(source.frames, [gated(pair, FINE_FLOOR) for pair in shifts], self.settings.tolerance)
            if not layout.placed_by_prior.any():
                found.append(explained(source, layout.positions_px, shared, smoothing))
        return min(found, key=lambda explanation: explanation.unexplained).pattern if found else None

    def _windows(
        self, source: FrameSource, executor: Executor | None, progress: Progress, pattern: Picture | None = None
    ) -> list[Window]:
        """Return narrow windows for all pairs that overlap, from the coarse layout."""
        frames, settings = source.frames, self.settings
        factor = thumbnail_factor([frame.shape for frame in frames])
        small, _ = self._survey(source, executor, progress)
        search = ThumbnailSearch(small, factor, settings.min_overlap, self.runtime.device, pattern)
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
        return windows


def make_kornia(settings: KorniaSettings, runtime: Runtime) -> KorniaStitcher:
    """Return the stitcher ``kornia``."""
    return KorniaStitcher(settings, runtime)
