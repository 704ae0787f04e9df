"""The base of stitchers that compare overlapping frames in pairs: everything but the comparison.

What needs torch is imported when frames are placed: making a stitcher is cheap, and workers that blend go without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.array_source import ArraySource
from cemi_core.model.corrections import corrected_frames
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.progress import Progress, silent
from cemi_core.model.result import Result
from cemi_core.model.stages import Journal, PlaceContext, Runtime
from cemi_stitch.blending.blender import Blender
from cemi_stitch.graph.candidate_pairs import may_stand_still
from cemi_stitch.illumination.flat_field import MIN_FRAMES, estimate_flat_field
from cemi_stitch.illumination.gain_offset import equalised
from cemi_stitch.methods import BLENDERS
from cemi_stitch.quality.score import judge_layout
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.solve.layout import solve_layout, step_slack_px
from cemi_stitch.tasks import require_device

if TYPE_CHECKING:
    from cemi_stitch.distortion.rectification import Rematch
    from cemi_stitch.frames.survey import Survey

#: Work where it is asked for, without a word.
_HERE = PlaceContext()

Frames = FrameSource | Sequence[NDArray[Any]]


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

    @abstractmethod
    def match(
        self,
        frames: FrameSource,
        executor: Executor | None = None,
        *,
        progress: Progress | None = None,
        journal: Journal | None = None,
        survey: Survey | None = None,
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
        survey : Survey, optional
            What `survey` gives for these frames, where it was taken already.
        """

    def solve(self, frames: Frames, shifts: Sequence[PairShift]) -> Layout:
        """Return the layout that all shifts together give, without brightness correction.

        Frames that look turned against the others have a map in ``affine``; `place` straightens them.
        """
        from cemi_stitch.distortion.scan_geometry import with_geometry

        source = as_frames(frames)
        layout = solve_layout(source.frames, shifts, self.settings.tolerance)
        return with_geometry(source, layout, self.settings.smoothing_px)

    def prepare(self) -> None:
        """Try the device, so that a mistake is told before the work starts.

        Raises
        ------
        UsageError
            The device is none of torch's, or this machine does not have it.
        """
        require_device(self.runtime.device)

    def place(self, frames: Frames, context: PlaceContext = _HERE) -> Layout:
        """Return the layout of frames, or of a plain list of 2-D arrays: match, solve, equalise."""
        source, executor, progress, journal = as_frames(frames), context.executor, context.progress, context.journal
        if not len(source.frames):
            raise InputError("there are no frames to stitch")
        survey = self.survey(source, executor, progress=progress)
        shifts = self.match(source, executor, progress=progress, journal=journal, survey=survey)
        layout = self._with_bridges_checked(source, self.solve(source, shifts), executor)
        layout = self._with_normal_shifts(source, layout, executor)
        layout = self._upright(source, layout, executor, progress)
        return self.equalise(source, layout, executor, progress=progress, survey=survey)

    def _with_bridges_checked(self, source: FrameSource, layout: Layout, executor: Executor | None) -> Layout:
        from cemi_stitch.matching.bridge_check import checked_bridges

        pairs = checked_bridges(source, layout.pairs, self.settings.smoothing_px, self.runtime.threads, executor)
        return layout if pairs == list(layout.pairs) else self.solve(source, pairs)

    def _with_normal_shifts(self, source: FrameSource, layout: Layout, executor: Executor | None) -> Layout:
        if any(pair.kept for pair in layout.pairs):  # where some pairs tell all of their shift, they decide alone
            return layout
        from cemi_stitch.distortion.scan_geometry import with_geometry
        from cemi_stitch.matching.normal_shifts import AMBIGUOUS, measured_normal_shifts, straight_pairs

        settings, threads, frames = self.settings, self.runtime.threads, source.frames
        straight = straight_pairs(source, layout, settings.smoothing_px, threads, executor)
        if not straight:
            return layout
        pairs = list(layout.pairs)
        for n in straight:
            pairs[n] = pairs[n].dropped(AMBIGUOUS)
        places = solve_layout(frames, pairs, settings.tolerance).positions_px
        expected = []
        for pair in (pairs[n] for n in straight):
            dy, dx = places[pair.second] - places[pair.first]
            expected.append((pair.first, pair.second, (float(dy), float(dx))))
        reach = max(step_slack_px(frames, settings.tolerance))
        normal_shifts = measured_normal_shifts(source, expected, reach, settings.smoothing_px, threads, executor)
        return with_geometry(
            source, solve_layout(frames, pairs, settings.tolerance, normal_shifts), settings.smoothing_px
        )

    def rematch(self, executor: Executor | None, progress: Progress) -> Rematch | None:
        """Return how pairs of straightened frames are matched anew: windows in, shifts out; None: they are not."""
        return None

    def _upright(self, source: FrameSource, layout: Layout, executor: Executor | None, progress: Progress) -> Layout:
        if layout.affine is None:
            return layout
        from cemi_stitch.distortion.rectification import note_on_turned, with_upright_frames

        if self.settings.turned_frames == "report":
            note = note_on_turned(source.frames, layout, "straightened by turned_frames: straighten")
            return replace(layout, affine=None, notes=(*layout.notes, note))
        return with_upright_frames(source, layout, self.settings, self.rematch(executor, progress))

    def equalise(
        self,
        frames: Frames,
        layout: Layout,
        executor: Executor | None = None,
        *,
        progress: Progress | None = None,
        survey: Survey | None = None,
    ) -> Layout:
        """Return the layout with the shading of all frames and a gain and offset per frame, as far as settings want.

        Both come from the overlaps of kept pairs; see `estimate_flat_field` and `equalised`.
        """
        if self.settings.flat_field == "none" and not self.settings.equalise:
            return layout
        survey = survey or self.survey(frames, executor, progress=progress or silent)
        small, factor = survey.thumbnails, survey.factor
        flat_field, looked_for = None, self.settings.flat_field == "auto" and len(small) >= MIN_FRAMES
        if looked_for:
            flat_field = estimate_flat_field(small, factor, layout.positions_px, layout.pairs)
            layout = replace(layout, flat_field=flat_field)
        if self.settings.equalise:
            gain, offset = equalised(small, factor, layout.positions_px, layout.pairs, flat_field, looked_for)
            layout = replace(layout, gain=gain, offset=offset)
        return layout

    def judge(self, frames: Frames, layout: Layout, context: PlaceContext = _HERE) -> Result:
        """Return how good a layout of these frames is: score, maps, weak places; see `judge_layout`.

        Frames are judged as they go into the mosaic: without the shading that all share, and upright.
        """
        seen = corrected_frames(as_frames(frames), layout, brightness=False)
        threads = self.runtime.threads
        return judge_layout(seen, layout, context.executor, threads=threads, progress=context.progress)

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the mosaic in ``box``, float32 (height, width), NaN where no patch reaches; see the setting `blend`.

        ``patches`` should hold all frames that reach ``box`` grown by the declared ``blend_margin_px``.
        """
        return self._blender().blend(patches, box)

    def blend_and_count(self, patches: Sequence[Patch], box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the mosaic in ``box`` and the effective frame count of each pixel; see `Blender.blend_and_count`."""
        return self._blender().blend_and_count(patches, box)

    def survey(self, frames: Frames, executor: Executor | None = None, *, progress: Progress = silent) -> Survey:
        """Read all frames once: their thumbnails and, where "no shift" is a possible answer, their sums."""
        from cemi_stitch.frames.survey import take_survey

        source = as_frames(frames)
        add_up = may_stand_still(source.frames, self.settings.min_overlap, self.settings.tolerance)
        return take_survey(source, add_up, self.runtime.threads, executor, progress)

    def _blender(self) -> Blender:
        blender: Blender = BLENDERS[self.settings.blend].load()()
        return blender
