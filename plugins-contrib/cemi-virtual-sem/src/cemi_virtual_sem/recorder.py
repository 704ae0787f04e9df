"""The screen recorder: what the screen shows, when, and how it ends up in a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.settings import Settings
from cemi_virtual_sem.screen import marker_mask, to_yuv420

_TICKS_PER_S = 1000
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


class RecorderSettings(Settings):
    """How the screen is recorded."""

    frames_per_s: float = Field(5.0, gt=0, le=60, description="Mean rate of the recording.")
    rate_jitter: float = Field(0.15, ge=0, lt=0.5, description="Deviation of the times, as a share of the interval.")
    skipped_share: float = Field(0.04, ge=0, lt=1, description="Share of frames that the recorder leaves out.")
    repeated_share: float = Field(0.04, ge=0, lt=1, description="Share of frames that repeat the one before.")
    marker_share: float = Field(0.05, ge=0, lt=1, description="Share of the time with a green marker on the picture.")
    crf: int = Field(18, ge=0, le=51, description="Quality of H.264: 0 lossless, 18 good, 51 worst.")
    preset: Preset = Field("veryfast", description="Speed preset of libx264.")


@dataclass(frozen=True)
class ScanClock:
    """When scans are drawn: scan k starts when the flyback after scan k - 1 ends.

    Attributes
    ----------
    scan_s : float
        From the first to the last line of a scan.
    flyback_s : float
        From the last line to the first of the next scan.
    lines : int
        Lines of a scan.
    """

    scan_s: float
    flyback_s: float
    lines: int

    def start_s(self, scan: int) -> float:
        """Return when the first line of a scan is drawn."""
        return scan * (self.scan_s + self.flyback_s)

    def end_s(self, scan: int) -> float:
        """Return when the last line of a scan is drawn."""
        return self.start_s(scan) + self.scan_s

    def front(self, time_s: float) -> tuple[int, int]:
        """Return the scan being drawn at a time, and how many of its lines are on the screen."""
        scan = max(0, int(time_s / (self.scan_s + self.flyback_s)))
        line = (time_s - self.start_s(scan)) / self.scan_s * (self.lines - 1)
        return scan, min(self.lines, max(0, int(np.floor(line + 1e-9)) + 1))


@dataclass(frozen=True)
class ScreenFrame:
    """One frame of the recording.

    Attributes
    ----------
    time_s : float
        Presentation time.
    shown_s : float
        Time of the screen that it shows: earlier than ``time_s`` for a repeated frame.
    marker : tuple of float or None
        Relative place (y, x) of the green marker, each in [0, 1].
    """

    time_s: float
    shown_s: float
    marker: tuple[float, float] | None

    @property
    def repeated(self) -> bool:
        """The frame shows what the one before it showed."""
        return self.shown_s < self.time_s


def screen_frames(duration_s: float, settings: RecorderSettings, rng: np.random.Generator) -> list[ScreenFrame]:
    """Return when frames are grabbed and what disturbs them.

    Parameters
    ----------
    duration_s : float
        Length of the recording; the last frame is taken at its very end.
    settings : RecorderSettings
        Rate, jitter, shares.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    list of ScreenFrame
        Times are whole milliseconds and strictly increase from 0.
    """
    interval = 1 / settings.frames_per_s
    times = np.arange(0, duration_s, interval)
    times = times + interval * settings.rate_jitter * np.clip(rng.standard_normal(len(times)), -2, 2)
    times[0] = 0.0
    times = times[(rng.random(len(times)) >= settings.skipped_share) | (times <= 0)]
    ticks = np.unique(np.rint(np.append(times, duration_s) * _TICKS_PER_S).astype(int))
    ticks = ticks[(ticks >= 0) & (ticks <= np.ceil(duration_s * _TICKS_PER_S))]
    markers = _marker_times(duration_s, settings.marker_share, rng)
    frames: list[ScreenFrame] = []
    repeats = rng.random(len(ticks)) < settings.repeated_share
    for tick, repeat in zip(ticks / _TICKS_PER_S, repeats, strict=True):
        time_s = float(tick)
        if repeat and frames and time_s < duration_s:
            frames.append(ScreenFrame(time_s, frames[-1].shown_s, frames[-1].marker))
        else:
            place = next((where for start, end, where in markers if start <= time_s < end), None)
            frames.append(ScreenFrame(time_s, time_s, place))
    return frames


def _marker_times(
    duration_s: float, share: float, rng: np.random.Generator
) -> list[tuple[float, float, tuple[float, float]]]:
    """Return spans of 0.6 to 1.6 s, each with a place, that make up the wanted share of the time on average."""
    spans, time = [], 0.0
    while share > 0:
        time += rng.exponential(1.1 * (1 - share) / share)
        length = rng.uniform(0.6, 1.6)
        if time + length > duration_s:
            break
        spans.append((time, time + length, (float(rng.random()), float(rng.random()))))
        time += length
    return spans


def compose(
    frames: Iterable[ScreenFrame],
    clock: ScanClock,
    picture_of: Callable[[int], NDArray[np.uint8]],
    bar: NDArray[np.uint8],
) -> Iterator[tuple[ScreenFrame, NDArray[np.uint8], NDArray[np.bool_] | None]]:
    """Yield the screen of every frame: new lines above the scan front, old ones below it, the data bar under both.

    Parameters
    ----------
    frames : iterable of ScreenFrame
        In order of time.
    clock : ScanClock
        When lines are drawn.
    picture_of : callable
        ``picture_of(scan)`` returns the picture (h, w) of a scan; asked for once for each scan, in order.
    bar : ndarray of uint8, shape (b, w)
        Data bar.

    Yields
    ------
    tuple
        The frame, the grey screen (h + b, w) and the marker's mask (h, w) or None. The screen is dark before the
        first scan.
    """
    screen = np.zeros((clock.lines + len(bar), bar.shape[1]), np.uint8)
    screen[clock.lines :] = bar
    current, picture, drawn = -1, np.zeros((0, 0), np.uint8), 0
    for frame in frames:
        scan, lines = clock.front(frame.shown_s)
        while current < scan:
            if current >= 0:
                screen[drawn : clock.lines] = picture[drawn:]
            current, drawn = current + 1, 0
            picture = picture_of(current)
        screen[drawn:lines] = picture[drawn:lines]
        drawn = max(drawn, lines)
        mask = marker_mask((clock.lines, bar.shape[1]), *frame.marker) if frame.marker else None
        yield frame, screen, mask


def write_video(
    path: Path,
    screens: Iterable[tuple[ScreenFrame, NDArray[np.uint8], NDArray[np.bool_] | None]],
    shape: tuple[int, int],
    settings: RecorderSettings,
    threads: int = 1,
) -> None:
    """Encode screens as H.264 in MP4; the file appears under its name when it is complete.

    Parameters
    ----------
    path : Path
        The .mp4 file.
    screens : iterable of (ScreenFrame, grey screen, marker mask or None)
        As from `compose`; one is held at a time.
    shape : tuple of int
        (height, width) of the screens, height a multiple of 4 and width of 2.
    settings : RecorderSettings
        Quality and speed.
    threads : int
        Encoder threads.
    """
    partial = path.with_name(path.name + ".partial")
    options = {"crf": str(settings.crf), "preset": settings.preset, "threads": str(threads)}
    with av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(round(settings.frames_per_s * 1000), 1000))
        stream.height, stream.width, stream.pix_fmt = *shape, "yuv420p"
        stream.options = options
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        for frame, screen, marker in screens:
            picture = av.VideoFrame.from_ndarray(to_yuv420(screen, marker), format="yuv420p")
            picture.pts = round(frame.time_s * _TICKS_PER_S)
            picture.time_base = Fraction(1, _TICKS_PER_S)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    partial.replace(path)
