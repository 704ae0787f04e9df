"""One recording as one pass of the stage: its whole scans, their motion, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cemi_core.errors import InputError
from cemi_core.model.frame import DroppedFrame, Frame
from cemi_core.model.settings import PositiveLengthUm, Settings
from cemi_run.sources.video.decode import EarlyEnd, Recording, decode
from cemi_run.sources.video.deskew import deskew, first_column_px, shear_span_px
from cemi_run.sources.video.motion import LEAST_OVERLAP, Look, Shift, measure_shift, overlap_share, prepare
from cemi_run.sources.video.pick import OverlapPicker, PlacedScan
from cemi_run.sources.video.screen import Survey
from cemi_run.sources.video.whole_scans import COLOURED, Scan, ScanAssembler, WholePictures

Progress = Callable[[int, int], None]
#: Frames that wait for the stage's speed to be known, without which the place of the pass is not.
_FIRST_FRAMES = 4


class VideoSettings(Settings):
    """Settings of the source `video`."""

    path: str | list[str] = Field(
        description="Recordings, folders or patterns; one file per pass, in natural order of their names.",
        json_schema_extra={"format": "path"},
    )
    pixel_size: PositiveLengthUm | None = Field(default=None, description="Edge of a pixel, such as '222 nm'.")
    overlap: float = Field(
        default=0.45, gt=0, lt=1, description="Wanted overlap of neighbours in a pass, share of the frame."
    )
    overlap_range: tuple[float, float] = Field(
        default=(0.30, 0.60), description="Allowed overlap of neighbours, where the stage speed permits."
    )
    y_overlap: float = Field(default=0.3, ge=0, lt=1, description="Nominal overlap of neighbouring passes, share.")
    direction: Literal["x", "auto"] = Field(
        default="x", description="'x' if the stage moves along the lines of the scan; 'auto' for any direction."
    )
    crop: Literal["auto"] | tuple[int, int, int, int] = Field(
        default="auto",
        description="'auto' keeps the pixels that change while the stage moves; or [y0, y1, x0, x1] in px.",
    )
    deskew: bool = Field(
        default=False, description="Undo the shear of a picture that is drawn line by line while the stage moves."
    )
    drop_coloured: bool = Field(default=True, description="Leave out scans with coloured graphics in the picture.")

    @model_validator(mode="after")
    def _ordered(self) -> VideoSettings:
        least, most = self.overlap_range
        if not 0 <= least <= self.overlap <= most < 1:
            raise ValueError("overlap must lie within overlap_range, both between 0 and 1")
        return self


@dataclass
class _Track:
    """The stage's path through one pass, as the scans tell it."""

    look: Look | None = None
    time_s: float = 0.0
    position_px: tuple[float, float] = (0.0, 0.0)
    speeds: list[tuple[float, float]] = field(default_factory=list)  # px/s, measured or carried on, per step
    qualities: list[float] = field(default_factory=list)  # of the measured steps
    doubt_px: float = 0.0  # sum over the steps that could not be measured


class PassReader:
    """Reads one pass: scans, their motion, the choice among them.

    Parameters
    ----------
    settings : VideoSettings
        How to read it.
    name, row : str, int
        Name and place of the pass.
    recording : Recording
        The file.
    looked : Survey
        What the first part of it tells; it must have an area.
    """

    def __init__(self, settings: VideoSettings, name: str, row: int, recording: Recording, looked: Survey) -> None:
        assert looked.area is not None
        self._settings, self._name, self._row = settings, name, row
        self._recording, self._survey, self._shape = recording, looked, looked.area.shape
        self._picker = OverlapPicker(settings.overlap, *settings.overlap_range)
        self._track = _Track()
        self._scans = self._whole = self._kept = 0
        self._first_start_s = self._last_doubt_px = 0.0
        self._origin_px: tuple[float, float] | None = None

    def read(self, threads: int, progress: Progress | None) -> Iterator[tuple[Frame, NDArray[np.uint8]] | DroppedFrame]:
        """Yield kept frames with their pixels (h, w), and what was left out and why."""
        pictures = (ScanAssembler if self._survey.rolling else WholePictures)(
            self._survey, self._settings.drop_coloured
        )
        chosen: list[PlacedScan] = []
        for scan in self._all_scans(pictures, threads, progress):
            if isinstance(scan, DroppedFrame):
                yield scan
                continue
            flaw = scan.flaw or ("black picture" if _is_black(self._recording.grey(scan.pixels)) else "")
            if flaw:
                yield DroppedFrame(self._frame_name(scan.end_s), flaw, scan.end_s)
            if flaw in ("", COLOURED):
                placed = self._place(scan)
                if not flaw:
                    self._whole += 1
                    chosen += self._picker.offer(placed)
            if not self._settings.deskew and (self._kept or len(chosen) >= _FIRST_FRAMES):
                yield from self._frames(chosen)
                chosen = []
        yield from self._frames([*chosen, *self._picker.finish()])
        if not self._scans:
            yield DroppedFrame(
                self._name, "no whole scan was found: the picture is not seen to be refreshed line by line"
            )
        unused = self._whole - self._kept
        if unused or pictures.repeats or pictures.saved:
            saved = f"; {pictures.saved} scans were put together without the coloured graphics that came over them"
            yield DroppedFrame(
                self._name,
                f"{unused} whole scans were not needed for the wanted overlap, {pictures.repeats} video frames repeat "
                f"the one before{saved if pictures.saved else ''}",
                frames=0,
            )

    def _all_scans(
        self, pictures: ScanAssembler | WholePictures, threads: int, progress: Progress | None
    ) -> Iterator[Scan | DroppedFrame]:
        count = 0
        try:
            for count, frame in enumerate(decode(self._recording, threads), start=1):
                if not frame.intact:
                    yield from pictures.interrupt("damaged video frames within it")
                else:
                    yield from pictures.push(frame.luma, frame.chroma, frame.time_s)
                if progress is not None and count % 25 == 0:
                    progress(count, max(self._recording.frames, count))
        except EarlyEnd as error:
            yield from pictures.finish()
            yield DroppedFrame(self._name, str(error))
        else:
            yield from pictures.finish()
        if progress is not None:
            progress(count, count)

    def _place(self, scan: Scan) -> PlacedScan:
        """Measure how far the stage has moved since the scan before."""
        track, look = self._track, prepare(scan.pixels)
        if track.look is not None:
            seconds = max(scan.end_s - track.time_s, 1e-9)
            speed = track.speeds[-1] if track.speeds else None
            expected = None if speed is None else (speed[0] * seconds, speed[1] * seconds)
            shift = self._measure(track.look, look, expected)
            if shift is None:
                shift = Shift(*(expected or (0.0, 0.0)), quality=0.0)
                track.doubt_px += 0.15 * self._shape[1]
            track.position_px = track.position_px[0] + shift.dy, track.position_px[1] + shift.dx
            track.speeds.append((shift.dy / seconds, shift.dx / seconds))
        track.look, track.time_s = look, scan.end_s
        if not self._scans:
            self._first_start_s = scan.start_s
        self._scans += 1
        width = self._shape[1]
        if self._settings.deskew and track.speeds and scan.lines_per_s:
            width -= shear_span_px(track.speeds[-1][1] / scan.lines_per_s, self._shape[0])
        return PlacedScan(
            self._scans - 1,
            scan.pixels,
            scan.end_s,
            track.position_px,
            (self._shape[0], max(width, 1)),
            track.doubt_px,
            scan.lines_per_s,
        )

    def _measure(self, before: Look, now: Look, expected: tuple[float, float] | None) -> Shift | None:
        """Return the shift between two scans, or None where they can hardly overlap or what was found is not sure."""
        if expected is not None and overlap_share(expected, self._shape) < LEAST_OVERLAP:
            return None
        shift = measure_shift(before, now, expected, 0.08 if self._settings.direction == "x" else 1.0)
        usual = float(np.median(self._track.qualities[-9:])) if self._track.qualities else 0.0
        if shift is None or shift.quality < 0.4 * usual:
            return None
        self._track.qualities.append(shift.quality)
        return shift

    def _frames(self, chosen: list[PlacedScan]) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
        shears = [self._shear(scan) if self._settings.deskew else 0.0 for scan in chosen]
        height, width = self._shape
        lost = max((shear_span_px(shear, height) for shear in shears), default=0)
        if lost >= 0.9 * width:
            raise InputError(
                f"'{self._recording.path}': the stage moves {lost} px within one scan, so deskew would leave nothing "
                f"of the {width} px; scan faster, move more slowly, or set deskew: false"
            )
        if self._origin_px is None and chosen:
            self._origin_px = self._origin(chosen[-1].lines_per_s, lost)
        for scan, shear in zip(chosen, shears):
            assert self._origin_px is not None
            pixels = self._recording.grey(scan.pixels)
            if lost:
                pixels = deskew(pixels, shear, lost)
            tolerance = max(8.0, 0.02 * width) + scan.doubt_px - self._last_doubt_px
            self._last_doubt_px = scan.doubt_px
            yield (
                Frame(
                    self._kept,
                    self._frame_name(scan.time_s),
                    (pixels.shape[0], pixels.shape[1]),
                    self._row,
                    scan.time_s,
                    (self._origin_px[0] + scan.position_px[0], self._origin_px[1] + scan.position_px[1]),
                    tolerance,
                    self._settings.pixel_size,
                ),
                pixels,
            )
            self._kept += 1

    def _origin(self, lines_per_s: float, lost_columns: int) -> tuple[float, float]:
        """Return the nominal place of the pass's first scan, px: that of a stage that stood at x = 0 at time 0.

        Lines further down are drawn later, with the stage further on. In pictures that are left sheared this holds
        for the whole mosaic: what lies y lower lies shear * y further to the left than the stage says.
        """
        height = self._shape[0]
        speed_y, speed_x = self._track.speeds[0] if self._track.speeds else (0.0, 0.0)
        y = self._row * (1 - self._settings.y_overlap) * height + speed_y * self._first_start_s
        x = speed_x * self._first_start_s
        usual = float(np.median([speed for _, speed in self._track.speeds[-9:]])) if self._track.speeds else 0.0
        shear = usual / lines_per_s if lines_per_s else 0.0
        return y, x + first_column_px(shear, height, lost_columns) if self._settings.deskew else x - shear * y

    def _shear(self, scan: PlacedScan) -> float:
        """Return stage speed times line time, px per line: the mean of the steps to and from the scan."""
        around = self._track.speeds[max(scan.number - 1, 0) : scan.number + 1]
        if not around or not scan.lines_per_s:
            return 0.0
        return float(np.mean([speed for _, speed in around])) / scan.lines_per_s

    def _frame_name(self, time_s: float) -> str:
        return f"{self._name}@{max(time_s, 0.0):.2f}s"


def _is_black(pixels: NDArray[np.uint8]) -> bool:
    """Return whether a picture shows nothing: its 99th percentile is below 3 % of white."""
    return float(np.percentile(pixels[::4, ::4], 99)) < 0.03 * 255
