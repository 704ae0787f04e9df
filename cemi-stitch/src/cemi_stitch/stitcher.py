"""Stitchers: from frames to a layout, and from frames with their places to the mosaic."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError, UsageError
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.result import Result
from cemi_core.model.stages import Runtime
from cemi_core.sources.array import ArraySource
from cemi_stitch.average import average
from cemi_stitch.blend import feather, nearest
from cemi_stitch.coarse import place_coarsely
from cemi_stitch.exposure import equalised
from cemi_stitch.fixed_pattern import FrameSums, Picture, explained, shared_picture
from cemi_stitch.flat_field import MIN_FRAMES, estimate_flat_field
from cemi_stitch.gate import FINE_FLOOR, permutation_threshold, quality_at, significance
from cemi_stitch.geometry import with_geometry
from cemi_stitch.layouts import solve_layout, step_slack_px
from cemi_stitch.matchers import match_windows, rotation_note, similarities
from cemi_stitch.multiband import MARGIN_PX, multiband
from cemi_stitch.pairs import Window, consecutive_windows, may_stand_still, overlapping_pairs
from cemi_stitch.prepared_frames import MatchOptions
from cemi_stitch.quality import judge_layout
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.spread import Journal, Progress, batches, no_progress, spread
from cemi_stitch.thumbnail_search import ThumbnailSearch
from cemi_stitch.thumbnails import Thumbnail, survey_frames, thumbnail_factor

#: Frames whose thumbnails one task makes, and pairs that one task matches: a good 100 ms each.
FRAMES_PER_TASK, PAIRS_PER_TASK = 32, 24
#: Pairs that cannot overlap, compared to learn what chance gives.
CHANCE_PAIRS = 40
#: Axes along which second frames are flipped so that they match only by chance; all three where pairs are few.
MIRRORS: tuple[tuple[int, ...], ...] = ((0, 1), (0,), (1,))
#: Pairs, at most, whose rotation and scale are looked at.
ROTATION_PAIRS = 12
#: What the coarse layout may be wrong by, beside two thumbnail pixels.
NARROW_REACH_PX = 12.0

Frames = FrameSource | Sequence[NDArray[Any]]
#: Thumbnails of all frames, and sums of the frames where a fixed pattern could be mistaken for no shift.
Survey = tuple[list[Thumbnail], FrameSums | None]


def as_frames(frames: Frames) -> FrameSource:
    """Return ``frames`` as a source: a list of 2-D arrays is wrapped, a source is returned as it is."""
    return frames if isinstance(frames, FrameSource) else ArraySource(frames)


class OverlapStitcher(ABC):
    """A stitcher that compares overlapping frames in pairs; a new matcher is one method, `match`.

    Parameters
    ----------
    settings : KorniaSettings, optional
    runtime : Runtime, optional
        Device, threads per task and seed.
    """

    def __init__(self, settings: KorniaSettings | None = None, runtime: Runtime | None = None) -> None:
        self.settings = settings or KorniaSettings()
        self.runtime = runtime or Runtime()
        self._in_hand: tuple[FrameSource, Survey] | None = None  # while `place` runs, so as to read once

    @abstractmethod
    def match(
        self,
        frames: FrameSource,
        executor: Executor | None = None,
        *,
        progress: Progress | None = None,
        journal: Journal | None = None,
    ) -> list[PairShift]:
        """Return the shifts of pairs of frames, kept or dropped with the reason.

        Parameters
        ----------
        frames : FrameSource
        executor : Executor, optional
            Runs the batches; None runs them here.
        progress : callable, optional
            Called with (what is going on, done, total).
        journal : Journal, optional
            Keeps finished batches, so that a run that was killed goes on where it stopped.
        """

    def solve(self, frames: Frames, shifts: Sequence[PairShift]) -> Layout:
        """Return the layout that all shifts together give, without brightness correction."""
        source = as_frames(frames)
        layout = solve_layout(source.frames, shifts, self.settings.tolerance)
        return with_geometry(source, layout, self.settings.smoothing_px)

    def place(
        self,
        frames: Frames,
        executor: Executor | None = None,
        *,
        progress: Progress | None = None,
        journal: Journal | None = None,
    ) -> Layout:
        """Return the layout of frames, or of a plain list of 2-D arrays: match, solve, equalise."""
        source = as_frames(frames)
        if not len(source.frames):
            raise InputError("there are no frames to stitch")
        self._in_hand = (source, self._survey(source, executor, progress or no_progress))
        try:
            shifts = self.match(source, executor, progress=progress, journal=journal)
            layout = self.solve(source, shifts)
            return self.equalise(source, layout, executor, progress=progress)
        finally:
            self._in_hand = None

    def equalise(
        self, frames: Frames, layout: Layout, executor: Executor | None = None, *, progress: Progress | None = None
    ) -> Layout:
        """Return the layout with the shading of all frames and a gain and offset per frame, as far as settings want.

        Both come from the overlaps of kept pairs; see `estimate_flat_field` and `equalised`.
        """
        if self.settings.flat_field == "none" and not self.settings.equalise:
            return layout
        source = as_frames(frames)
        factor = thumbnail_factor([frame.shape for frame in source.frames])
        small, _ = self._survey(source, executor, progress or no_progress)
        flat_field, looked_for = None, self.settings.flat_field == "auto" and len(small) >= MIN_FRAMES
        if looked_for:
            flat_field = estimate_flat_field(small, factor, layout.positions_px, layout.pairs)
            layout = replace(layout, flat_field=flat_field)
        if self.settings.equalise:
            gain, offset = equalised(small, factor, layout.positions_px, layout.pairs, flat_field, looked_for)
            layout = replace(layout, gain=gain, offset=offset)
        return layout

    def judge(
        self, frames: Frames, layout: Layout, executor: Executor | None = None, *, progress: Progress | None = None
    ) -> Result:
        """Return how good a layout of these frames is: score, maps, weak places; see `judge_layout`."""
        return judge_layout(as_frames(frames), layout, executor, threads=self.runtime.threads, progress=progress)

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, float32 (height, width), NaN where no patch reaches; see the setting `blend`.

        ``patches`` should hold all frames that reach ``box`` grown by `blend_margin_px`.
        """
        if self.settings.blend == "average":
            return average(patches, box)[0]
        return {"feather": feather, "none": nearest, "multiband": multiband}[self.settings.blend](patches, box)

    @property
    def blend_margin_px(self) -> int:
        """How far from a box a frame may lie and still have a say in it, px."""
        return MARGIN_PX if self.settings.blend == "multiband" else 0

    @property
    def offers_looks(self) -> bool:
        """Whether `blend_with_looks` tells more than `blend`: how many frames made each pixel."""
        return self.settings.blend == "average"

    def blend_with_looks(self, patches: Sequence[Patch], box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the average of all frames in ``box`` and the effective number of looks; see `average`."""
        return average(patches, box)

    def _survey(self, source: FrameSource, executor: Executor | None, progress: Progress) -> Survey:
        """Read all frames once: their thumbnails and, where "no shift" is a possible answer, their sums."""
        if self._in_hand is not None and self._in_hand[0] is source:
            return self._in_hand[1]
        factor, total = thumbnail_factor([frame.shape for frame in source.frames]), len(source.frames)
        add_up = may_stand_still(source.frames, self.settings.min_overlap, self.settings.tolerance)
        calls = [
            (source, part, factor, self.runtime.threads, add_up) for part in batches(range(total), FRAMES_PER_TASK)
        ]
        small: list[Thumbnail] = []
        sums: FrameSums | None = None
        for part, some in spread(executor, survey_frames, calls):
            small += part
            sums = some if sums is None or some is None else sums.joined(some)
            progress("reading frames", len(small), total)
        return small, sums


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
        measured = self._matched(source, executor, windows, MatchOptions(pattern=pattern), "matching", show, journal)
        threshold = {}
        for wide in {window.wide for window in windows}:
            alike = [window for window in windows if window.wide == wide]
            picks = alike[:: max(1, len(alike) // CHANCE_PAIRS)]
            mirrors = MIRRORS if len(picks) < CHANCE_PAIRS else MIRRORS[:1]
            chance = [
                pair
                for mirror in mirrors
                for pair in self._matched(
                    source,
                    executor,
                    picks,
                    MatchOptions(mirror=mirror, pattern=pattern),
                    "learning chance",
                    show,
                    journal,
                )
            ]
            threshold[wide] = self._chance_threshold(chance)
        return [_gated(pair, threshold[window.wide]) for pair, window in zip(measured, windows, strict=True)]

    def solve(self, frames: Frames, shifts: Sequence[PairShift]) -> Layout:
        """Return the layout that all shifts give; the matcher ``features`` adds a note on rotation and scale."""
        layout = super().solve(frames, shifts)
        kept = [pair for pair in layout.pairs if pair.kept]
        if self.settings.matcher != "features" or not kept:
            return layout
        picks = kept[:: math.ceil(len(kept) / ROTATION_PAIRS)]
        windows = [Window(pair.first, pair.second, pair.shift_px, (1.0, 1.0)) for pair in picks]
        source, machine = as_frames(frames), self.runtime
        options = MatchOptions(self.settings.smoothing_px, machine.device, machine.threads, matcher="features")
        found = similarities(source, windows, replace(options, features=self.settings.features))
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
            options = MatchOptions(pattern=trial)
            shifts = self._matched(source, executor, windows, options, "finding what is fixed", progress, journal)
            layout = solve_layout(source.frames, [_gated(pair, FINE_FLOOR) for pair in shifts], self.settings.tolerance)
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

    def _matched(
        self,
        source: FrameSource,
        executor: Executor | None,
        windows: Sequence[Window],
        options: MatchOptions,
        label: str,
        progress: Progress,
        journal: Journal | None,
    ) -> list[PairShift]:
        """Match windows at full resolution in batches; batches that the journal knows are not matched again."""
        options = replace(
            options,
            smoothing_px=self.settings.smoothing_px,
            device=self.runtime.device,
            threads=self.runtime.threads,
            matcher=self.settings.matcher,
            features=self.settings.features,
        )
        parts = batches(windows, PAIRS_PER_TASK)
        keys = [_key(part, options) for part in parts]
        known = [journal.get(key) if journal is not None else None for key in keys]
        calls = [(source, part, options) for part, shifts in zip(parts, known, strict=True) if shifts is None]
        fresh = spread(executor, match_windows, calls)
        result: list[PairShift] = []
        for key, shifts in zip(keys, known, strict=True):
            if shifts is None:
                shifts = next(fresh)
                if journal is not None:
                    journal.put(key, shifts)
            result += shifts
            progress(label, len(result), len(windows))
        return result

    def _chance_threshold(self, chance: Sequence[PairShift]) -> float:
        """Return the significance that a match must exceed, from pairs that cannot overlap."""
        found = np.array([float(significance(p.quality, p.overlap_px)) for p in chance if p.overlap_px])
        return permutation_threshold(found, self.settings.false_match_rate, FINE_FLOOR)


def _gated(pair: PairShift, threshold: float) -> PairShift:
    """Drop a shift whose correlation chance could give too."""
    limit = quality_at(threshold, pair.overlap_px)
    if pair.kept and pair.quality < limit:
        return pair.dropped(f"correlation {pair.quality:.2f} below the threshold {limit:.2f} found by permutation")
    return pair


def _key(windows: Sequence[Window], options: MatchOptions) -> str:
    """Return the name of a batch: the same pairs, windows and settings have the same name."""
    pattern = None if options.pattern is None else hashlib.sha256(options.pattern.tobytes()).hexdigest()
    places = [(w.first, w.second, w.shift_px, w.reach_px) for w in windows]
    text = repr((places, options.smoothing_px, options.mirror, pattern, options.features))
    return f"{options.matcher}-{windows[0].first}-{windows[-1].second}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def make_kornia(settings: KorniaSettings, runtime: Runtime) -> KorniaStitcher:
    """Return the stitcher ``kornia``.

    Raises
    ------
    UsageError
        The device is none of torch's, or this machine does not have it.
    """
    import torch

    try:
        torch.zeros(1, device=runtime.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {runtime.device} cannot be used here ({reason}); use --device cpu") from None
    return KorniaStitcher(settings, runtime)
