"""Decoding a screen recording in order, by presentation time.

Never by seeking: on recordings of variable rate a seek may land on another frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError

#: Suffixes that a folder or pattern is searched for.
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})
#: Grey levels between the black and the white of video range (ITU-R BT.601: 16 to 235).
_VIDEO_RANGE = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


class EarlyEnd(InputError):
    """The recording ends before it should: it was cut, or its end is damaged."""


@dataclass(frozen=True, slots=True)
class ScreenFrame:
    """One frame of a recording.

    Attributes
    ----------
    time_s : float
        Presentation time from the start of the recording.
    luma : ndarray of uint8, shape (h, w)
        Brightness as it is coded; `Recording.grey` brings it to 0..255.
    chroma : ndarray of uint8, shape (2, ceil(h / 2), ceil(w / 2)), or None
        Colour differences, 128 for grey; None if the recording has no colour.
    intact : bool
        False if the decoder had to make up parts of it, or of a frame on which it builds.
    """

    time_s: float
    luma: NDArray[np.uint8]
    chroma: NDArray[np.uint8] | None
    intact: bool = True


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that can be decoded as often as needed; holds a path, not an open file.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        (height, width) of the screen, px.
    frames : int
        Frames that the file announces, 0 if it does not say.
    duration_s : float
        Duration that the file announces, 0 if it does not say.
    video_range : bool
        Black is coded as 16 and white as 235, not as 0 and 255.
    """

    path: Path
    shape: tuple[int, int]
    frames: int
    duration_s: float
    video_range: bool

    def grey(self, luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return coded brightness as grey levels 0..255."""
        return _VIDEO_RANGE[luma] if self.video_range else luma


def open_recording(path: Path) -> Recording:
    """Return what a recording's header says.

    Raises
    ------
    InputError
        The file is missing, empty, cut short so that it cannot be opened, not a video, or without pictures.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if not context.width or not context.height:
            raise InputError(f"'{path}' holds no pictures")
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not seconds and container.duration:
            seconds = container.duration / av.time_base
        full = str(context.pix_fmt).startswith(("yuvj", "gray")) or context.color_range == 2
        return Recording(path, (context.height, context.width), int(stream.frames), seconds, not full)


def decode(recording: Recording, threads: int = 1) -> Iterator[ScreenFrame]:
    """Yield every frame in order of presentation; frames without progress in time are left out.

    Raises
    ------
    EarlyEnd
        After the last frame that could be decoded, if the file announces more.
    """
    count, last_s, damaged = 0, float("-inf"), False
    with _opened(recording.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        stream.thread_type = "AUTO" if threads > 1 else "NONE"
        start_s: float | None = None
        packets = container.demux(stream)
        while True:
            try:
                pictures = next(packets).decode()
            except (StopIteration, av.error.EOFError):
                break
            except av.error.FFmpegError:
                damaged = True
                continue
            for picture in pictures:
                count += 1
                if picture.time is None or picture.time <= last_s:
                    continue
                last_s = float(picture.time)
                start_s = last_s if start_s is None else start_s
                damaged = picture.is_corrupt or (damaged and not picture.key_frame)  # later frames build on it
                yield _screen_frame(picture, last_s - start_s, not damaged)
    _check_end(recording, count, max(last_s - (start_s or 0.0), 0.0))


def _check_end(recording: Recording, count: int, last_s: float) -> None:
    """Raise EarlyEnd if frames are missing at the end; both their number and the time must say so where both are known.

    A recording of variable rate may end with a long frame, and an AVI counts frames that it leaves out.
    """
    left_s = recording.duration_s - last_s
    if recording.frames:
        missing = recording.frames - count
        if missing > 2 + recording.frames // 100 and (left_s > 3 * last_s / max(count - 1, 1) or count < 2):
            raise EarlyEnd(f"'{recording.path}' ends early: {count} of {recording.frames} frames can be read")
    elif left_s > 2.0 + recording.duration_s / 20:
        raise EarlyEnd(f"'{recording.path}' ends early: {last_s:.1f} of {recording.duration_s:.1f} s can be read")


def _screen_frame(picture: av.VideoFrame, time_s: float, intact: bool) -> ScreenFrame:
    if picture.format.name.startswith("gray"):
        picture = picture if picture.format.name == "gray" else picture.reformat(format="gray")
        return ScreenFrame(time_s, _plane(picture, 0), None, intact)
    if picture.format.name not in ("yuv420p", "yuvj420p"):
        picture = picture.reformat(format="yuv420p")
    return ScreenFrame(time_s, _plane(picture, 0), np.stack([_plane(picture, 1), _plane(picture, 2)]), intact)


def _plane(picture: av.VideoFrame, number: int) -> NDArray[np.uint8]:
    plane = picture.planes[number]
    samples: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    return samples.reshape(-1, plane.line_size)[: plane.height, : plane.width]


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    if not path.is_file():
        raise InputError(f"'{path}' is not a file" if path.exists() else f"'{path}' does not exist")
    if path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty (0 bytes)")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"'{path}' is not a video or was cut short, so that its index is missing ({reason}); copy it again"
        ) from None
    with container:
        if not container.streams.video:
            raise InputError(f"'{path}' has no video stream; give a screen recording")
        yield container
