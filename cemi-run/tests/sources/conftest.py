"""A small screen recorder: a raster scan over a moving stage, seen by H.264."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import ndimage

HEIGHT, WIDTH = 192, 256


@dataclass(frozen=True)
class Truth:
    """What a recording shows: per video frame its time, the scan front (counted on over scans), whether it repeats."""

    times_s: np.ndarray
    fronts: np.ndarray
    repeats: np.ndarray
    period_s: float
    start_phase: float
    speed_px_per_s: float
    area: tuple[int, int, int, int]
    specimen: np.ndarray

    def scan(self, number: int) -> np.ndarray:
        """Return scan ``number`` without noise."""
        rows = np.arange(HEIGHT)
        times = (number + rows / HEIGHT - self.start_phase) * self.period_s
        return draw_rows(self.specimen, rows, self.speed_px_per_s * times)

    def straight(self, x_px: float) -> np.ndarray:
        """Return the specimen without shear, from column ``x_px`` on."""
        return draw_rows(self.specimen, np.arange(HEIGHT), np.full(HEIGHT, x_px))

    def scan_ending_at(self, time_s: float) -> int:
        """Return the number of the scan whose last line was drawn at this time."""
        return round(time_s / self.period_s + self.start_phase) - 1


def make_specimen(seed: int = 1, width: int = 4200) -> np.ndarray:
    """Return lamellar colonies and blobs, float32, 0 to 255."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT + 8, width)
    bends = 60 * ndimage.gaussian_filter(rng.standard_normal(shape), 30, mode="wrap")
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    stripes = np.sin(2 * np.pi * (0.7 * xx + 0.5 * yy + 40 * bends) / 9)
    blobs = ndimage.gaussian_filter(rng.standard_normal(shape), 6)
    image = 120 + 25 * stripes + 35 * blobs / blobs.std()
    return np.clip(image, 5, 250).astype(np.float32)


def draw_rows(specimen: np.ndarray, rows: np.ndarray, x_px: np.ndarray) -> np.ndarray:
    """Return rows of the specimen, each from its own sub-pixel column on."""
    x_px = x_px + 600.0
    whole = np.floor(x_px).astype(int)
    part = (x_px - whole)[:, None].astype(np.float32)
    columns = whole[:, None] + np.arange(WIDTH)
    left, right = specimen[rows[:, None], columns], specimen[rows[:, None], columns + 1]
    return left + part * (right - left)


def record(
    path: Path,
    *,
    seconds: float = 16.0,
    period_s: float = 1.6,
    step: float = 0.14,
    noise: float = 18.0,
    start_phase: float = 0.35,
    rates: tuple[float, ...] = (0.1,),
    repeat_every: int = 0,
    gap: tuple[float, float] | None = None,
    marker_s: tuple[float, float] | None = None,
    bar: int = 32,
    tools: int = 24,
    crf: int = 20,
    rolling: bool = True,
    gop: int = 250,
    black_s: tuple[float, float] | None = None,
    dark_start: bool = False,
) -> Truth:
    """Write a recording; ``step`` is the stage's motion in one scan as a share of the width."""
    rng = np.random.default_rng(7)
    specimen = make_specimen()
    speed = step * WIDTH / period_s
    picture = np.zeros((HEIGHT, WIDTH), np.float32)
    screen = np.full((HEIGHT + bar, WIDTH + tools), 30, np.uint8)
    screen[HEIGHT + 8 : HEIGHT + 12, 20:120] = 230
    screen[HEIGHT + 18 : HEIGHT + 20, 10::7] = 200
    screen[10:180:12, 4 : max(tools - 4, 4)] = 180
    times, fronts, repeats = [], [], []
    drawn, time_s, count = int((start_phase - (0 if dark_start else 1)) * HEIGHT), 0.0, 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = screen.shape[1], screen.shape[0], "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        stream.options = {"crf": str(crf), "g": str(gop), "preset": "veryfast", "threads": "1"}
        while time_s < seconds:
            repeat = bool(repeat_every) and count % repeat_every == repeat_every - 1
            front = int((time_s / period_s + start_phase) * HEIGHT)
            if not repeat:
                if not rolling:
                    drawn, front = 0, HEIGHT
                lines = np.arange(max(drawn, front - HEIGHT), front)
                when = np.full(len(lines), time_s) if not rolling else (lines / HEIGHT - start_phase) * period_s
                fresh = draw_rows(specimen, lines % HEIGHT, speed * when)
                picture[lines % HEIGHT] = fresh + noise * rng.standard_normal(fresh.shape)
                drawn = front
                screen[:HEIGHT, tools:] = np.clip(np.rint(picture), 0, 255)
            planes = np.full((screen.shape[0] * 3 // 2, screen.shape[1]), 128, np.uint8)
            planes[: len(screen)] = np.rint(16 + screen * (219 / 255))
            if black_s is not None and black_s[0] <= time_s < black_s[1]:
                planes[:HEIGHT, tools:] = 16
            if marker_s is not None and marker_s[0] <= time_s < marker_s[1]:
                put_marker(planes, len(screen))
            if gap is None or not gap[0] <= time_s < gap[1]:
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
                for packet in stream.encode(frame):
                    container.mux(packet)
                times.append(time_s)
                fronts.append(drawn)
                repeats.append(repeat)
            time_s += rates[count % len(rates)]
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    area = (0, HEIGHT, tools, tools + WIDTH)
    return Truth(np.array(times), np.array(fronts), np.array(repeats), period_s, start_phase, speed, area, specimen)


def put_marker(planes: np.ndarray, height: int) -> None:
    """Draw a green box over rows 60 to 100."""
    width = planes.shape[1]
    planes[60:62, 90:130], planes[100:102, 90:130] = 150, 150
    for number, value in enumerate((92, 51)):
        start = height + number * (height // 4)
        plane = planes[start : start + height // 4].reshape(height // 2, width // 2)
        plane[30:31, 45:65], plane[50:51, 45:65] = value, value


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Truth]]:
    """Return a function that makes a recording once per set of options."""
    folder = tmp_path_factory.mktemp("recordings")
    made: dict[str, tuple[Path, Truth]] = {}

    def make(**options: object) -> tuple[Path, Truth]:
        key = repr(sorted(options.items()))
        if key not in made:
            path = folder / f"pass{len(made):02d}.mp4"
            made[key] = path, record(path, **options)
        return made[key]

    return make
