"""The survey: all frames read once before anything else, for their thumbnails and for what is fixed in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from cemi_core.model.frame import FrameSource
from cemi_core.model.progress import Progress, silent
from cemi_stitch.frames.fixed_pattern import FrameSums, summed
from cemi_stitch.frames.thumbnails import Thumbnail, make_thumbnail, thumbnail_factor
from cemi_stitch.tasks import batches, spread, use_threads

#: Frames whose thumbnails one task makes.
FRAMES_PER_TASK = 32


@dataclass(frozen=True)
class Survey:
    """What one reading of all frames gives.

    Attributes
    ----------
    thumbnails : list of Thumbnail
        One per frame.
    factor : int
        Frame pixels per thumbnail pixel.
    sums : FrameSums or None
        Sums of the frames, where a fixed pattern could be mistaken for "no shift".
    """

    thumbnails: list[Thumbnail]
    factor: int
    sums: FrameSums | None


def take_survey(
    source: FrameSource, add_up: bool, threads: int = 1, executor: Executor | None = None, progress: Progress = silent
) -> Survey:
    """Read all frames once.

    Parameters
    ----------
    source : FrameSource
    add_up : bool
        Whether the frames are added up.
    threads : int
        Threads that one task may use.
    executor : Executor, optional
        Runs the batches; None runs them here.
    progress : callable
    """
    factor, total = thumbnail_factor([frame.shape for frame in source.frames]), len(source.frames)
    calls = [(source, part, factor, threads, add_up) for part in batches(range(total), FRAMES_PER_TASK)]
    thumbnails: list[Thumbnail] = []
    sums: FrameSums | None = None
    for part, some in spread(executor, survey_frames, calls):
        thumbnails += part
        sums = some if sums is None or some is None else sums.joined(some)
        progress("reading frames", len(thumbnails), total)
    return Survey(thumbnails, factor, sums)


def survey_frames(
    source: FrameSource, indices: Sequence[int], factor: int, threads: int, add_up: bool = False
) -> tuple[list[Thumbnail], FrameSums | None]:
    """Read frames and return their thumbnails and, if asked for, their sums; a module-level function for executors."""
    use_threads(threads)
    frames = [source.read(index) for index in indices]
    return [make_thumbnail(frame, factor) for frame in frames], summed(indices, frames) if add_up else None
