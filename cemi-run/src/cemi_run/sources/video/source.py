"""Screen recordings of a moving stage, one file per pass: whole scans, placed by measured motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files, frame_names
from cemi_core.model.array_source import ArraySource
from cemi_core.model.frame import DroppedFrame, Frame
from cemi_core.model.stages import Runtime
from cemi_run.sources.video.decode import VIDEO_SUFFIXES, EarlyEnd, Recording, decode, open_recording
from cemi_run.sources.video.one_pass import PassReader, Progress, VideoSettings
from cemi_run.sources.video.screen import PictureArea, survey

__all__ = ["VideoSettings", "VideoSource", "make"]


class VideoSource:
    """Recordings as passes of whole scans (`cemi_core.model.frame.StreamSource`).

    Each file is decoded in order, twice for its first part: once to find the picture on the screen, then for the scans.
    Memory: a few frames, or all kept frames of one pass where ``deskew`` is on.

    Parameters
    ----------
    settings : VideoSettings
        Where the recordings are and how to read them.
    threads : int
        Threads that the decoder may use.

    Raises
    ------
    InputError
        No recording can be opened. One that cannot, among others that can, is an error of its `read_pass`.
    """

    dtype = np.dtype(np.uint8)

    notes: Sequence[str] = ()

    def __init__(self, settings: VideoSettings, threads: int = 1) -> None:
        self._settings = settings
        self._threads = threads
        self._paths = find_files(settings.path, VIDEO_SUFFIXES, "videos")
        self.passes: tuple[str, ...] = tuple(frame_names(self._paths))
        errors = [error for path in self._paths if (error := _open_error(path)) is not None]
        if len(errors) == len(self._paths):
            raise errors[0]

    def read_pass(
        self, row: int, progress: Progress | None = None
    ) -> Iterator[tuple[Frame, NDArray[np.uint8]] | DroppedFrame]:
        """Yield the kept scans of one recording as frames with their pixels, and what was left out and why.

        Pixels are grey levels 0..255. ``position_px`` is the motion of the stage since the start of the recording, as
        measured; y counts from the nominal place of the pass. Repeated video frames and scans that were not needed for
        the wanted overlap are summed up in one entry at the end.

        Raises
        ------
        InputError
            The recording cannot be opened, or nothing moves in it.
        """
        recording = open_recording(self._paths[row])
        name = self.passes[row]
        looked = survey(_until_early_end(decode(recording, self._threads)), self._area(recording))
        if looked.area is None or not looked.fresh:
            yield from self._still(recording, name, row)
            return
        reader = PassReader(self._settings, name, row, recording, looked)
        yield from reader.read(self._threads, progress)

    def to_frames(self) -> ArraySource:
        """Return all passes in memory as a source of frames: for small recordings in Python."""
        frames: list[Frame] = []
        arrays: list[NDArray[Any]] = []
        dropped: list[DroppedFrame] = []
        for row in range(len(self.passes)):
            for entry in self.read_pass(row):
                if isinstance(entry, DroppedFrame):
                    dropped.append(entry)
                else:
                    frames.append(entry[0])
                    arrays.append(entry[1])
        if not frames:
            raise InputError(f"no whole scan in {', '.join(self.passes)}: {dropped[0].reason if dropped else ''}")
        return ArraySource.from_frames(frames, arrays, dropped)

    def _area(self, recording: Recording) -> PictureArea | None:
        if self._settings.crop == "auto":
            return None
        y0, y1, x0, x1 = self._settings.crop
        height, width = recording.shape
        if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
            raise InputError(
                f"crop [{y0}, {y1}, {x0}, {x1}] does not fit '{recording.path}' of {height} x {width} px (y, x)"
            )
        return PictureArea(y0, y1, x0, x1)

    def _still(self, recording: Recording, name: str, row: int) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
        """Yield the picture of a recording of one frame; more frames without change are an error."""
        frames = _until_early_end(decode(recording, self._threads))
        first = next(frames, None)
        if first is None:
            raise InputError(f"'{recording.path}' holds no frame that can be decoded")
        if next(frames, None) is not None:
            raise InputError(
                f"nothing changes in '{recording.path}': it shows a still picture; record the screen while it scans"
            )
        area = self._area(recording) or PictureArea(0, recording.shape[0], 0, recording.shape[1])
        pixels = recording.grey(area.cut(first.luma))
        y_px = row * (1 - self._settings.y_overlap) * area.shape[0]
        yield (
            Frame(
                0, f"{name}@0.00s", area.shape, row, 0.0, (y_px, 0.0), 0.15 * area.shape[1], self._settings.pixel_size
            ),
            pixels,
        )


def make(settings: VideoSettings, runtime: Runtime) -> VideoSource:
    """Make the source from a recipe."""
    return VideoSource(settings, runtime.threads)


def _open_error(path: Path) -> InputError | None:
    try:
        open_recording(path)
    except InputError as error:
        return error
    return None


def _until_early_end(frames: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from frames
    except EarlyEnd:
        return
