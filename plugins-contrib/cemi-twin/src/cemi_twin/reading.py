"""What a twin is made from: a finished run, its frames, and what these tell of the microscope."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.finished_run import RunFrames
from cemi_core.model.frame import Frame
from cemi_core.model.grid import Grid
from cemi_core.model.layout import Layout
from cemi_core.model.result import GridMap
from cemi_core.plugins.manager import make_named
from cemi_twin.likeness import SPECTRUM_PX
from cemi_twin.noise import PATCH_PX, FrameNoise, Overlap, noise_of_frames, noise_of_overlaps

_FRAMES_LOOKED_AT, _FRAMES_AVERAGED, _PAIRS = 12, 24, 40
_MAX_EDGE_PX = 512


@dataclass(frozen=True)
class RunView:
    """A finished run as its twin needs it.

    Attributes
    ----------
    path : Path
        Run folder.
    source : RunFrames
        The kept frames, raw.
    frames : sequence of Frame
    layout : Layout
    pixel_um : float
    recipe : mapping
        The resolved recipe.
    maps : tuple of GridMap
        Every map of the run.
    grid : Grid
    digest : str
        What tells this state of the run from others.
    seconds : mapping of str to float
        How long each step took.
    channels : bool
        True if the frames have more than one channel.
    """

    path: Path
    source: RunFrames
    frames: Sequence[Frame]
    layout: Layout
    pixel_um: float
    recipe: Mapping[str, Any]
    maps: tuple[GridMap, ...]
    grid: Grid
    digest: str
    seconds: Mapping[str, float]
    channels: bool

    @property
    def is_video(self) -> bool:
        """True if the frames came from recordings of a moving stage."""
        return bool(self.recipe["source"]["use"] == "video")

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width) of the smallest frame, px."""
        height, width = np.min(self.layout.shapes, axis=0)
        return int(height), int(width)


@dataclass(frozen=True)
class Microscope:
    """What the frames of a run tell of the microscope.

    Attributes
    ----------
    noise : FrameNoise
    shading : float
        Loss of brightness from the middle to the corners, as `cemi_virtual_sem.detector.DetectorSettings` has it.
    drift : float
        Amplitude of the brightness' wandering from frame to frame, share.
    step_px : tuple of float
        Usual way (y, x) from one frame to the next, px; y is NaN if there is one pass only.
    placing_px : float
        Deviation of a frame from where the source said that it lies, px in each axis; NaN where it said nothing.
    """

    noise: FrameNoise
    shading: float
    drift: float
    step_px: tuple[float, float]
    placing_px: float


def read_run(path: Path) -> RunView:
    """Return a finished run as its twin needs it.

    Raises
    ------
    InputError
        The run is not finished, its frames were discarded, its images stand alone or are too small, its pixel size is
        unknown, or it measures nothing.
    """
    source = make_named("source", "run", path=str(path))
    with source.opened() as run:
        if run.separate:
            raise InputError(f"the images of {path} stand alone; a twin is made of runs whose frames were joined")
        if run.pixel_size_um is None:
            raise InputError(
                f"the pixel size of {path} is unknown, so no specimen like it can be made; give 'pixel_size' in the "
                "source's settings and run the recipe again"
            )
        maps = tuple(grid_map for result in run.results for grid_map in result.maps)
        if not maps or run.grid is None or run.layout is None:
            raise InputError(
                f"{path} has no map, so there is no number to be trusted or not; add 'analyze' to its recipe"
            )
        view = RunView(
            path=path,
            source=source,
            frames=run.frames,
            layout=run.layout,
            pixel_um=run.pixel_size_um,
            recipe=yaml.safe_load(run.settings_yaml),
            maps=maps,
            grid=run.grid,
            digest=run.digest,
            seconds={time.step: time.seconds for time in run.timings},
            channels=bool(run.channels),
        )
    if min(view.frame_shape) < SPECTRUM_PX:
        height, width = view.frame_shape
        raise InputError(
            f"the frames of {path} are {width} x {height} px; a twin needs {SPECTRUM_PX} px or more in each direction"
        )
    return view


def read_microscope(view: RunView) -> tuple[Microscope, list[NDArray[np.float32]]]:
    """Return what the frames tell of the microscope, and a few of them, cut square and without shading.

    Returns
    -------
    Microscope
    list of ndarray of float32, shape (edge, edge)
        At most 12 images of at most 512 px, grey levels 0 to 1.
    """
    count, (height, width) = len(view.frames), view.frame_shape
    mean = np.mean([_read(view, i) for i in _spread(count, _FRAMES_AVERAGED)], axis=0)
    shading, even = _shading(mean)
    edge = min(height, width, _MAX_EDGE_PX)
    top, left = (height - edge) // 2, (width - edge) // 2
    images = []
    for index in _spread(count, _FRAMES_LOOKED_AT):
        frame = _read(view, index) / even
        images.append(np.asarray(frame[top : top + edge, left : left + edge], np.float32))
    noise = noise_of_overlaps(_overlaps(view), float(mean.mean())) or noise_of_frames(images)
    brightness = 1 / np.clip(view.layout.gain, 0.2, 5.0)
    drift = math.sqrt(2) * float(np.std(brightness / brightness.mean()))
    return Microscope(noise, shading, min(drift, 0.3), _steps(view.layout), _placing_px(view)), images


def _spread(count: int, wanted: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(wanted, count))})


def _read(view: RunView, index: int) -> NDArray[np.float32]:
    height, width = view.frame_shape
    return view.source.read(index)[:height, :width]


def _shading(mean: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    """Return the shading as the virtual detector has it, and the brightness over the frame (a quadratic, mean 1)."""
    y = np.linspace(-1, 1, mean.shape[0])[:, None] * np.ones(mean.shape)
    x = np.linspace(-1, 1, mean.shape[1])[None, :] * np.ones(mean.shape)
    some = slice(None, None, max(1, mean.size // 20_000))
    columns = np.stack([np.ones_like(y), y, x, y * y, x * x, x * y], axis=-1).reshape(-1, 6)
    found, *_ = np.linalg.lstsq(columns[some], mean.ravel()[some].astype(np.float64), rcond=None)
    even = np.clip((columns @ found).reshape(mean.shape), 0.05, None)
    radius = ((y - 0.15) ** 2 + (x - 0.25) ** 2).ravel()[some]
    (level, loss), *_ = np.linalg.lstsq(
        np.column_stack([np.ones_like(radius), -radius / 2]), even.ravel()[some], rcond=None
    )
    return float(np.clip(loss / max(level, 1e-3), 0.0, 0.6)), (even / even.mean()).astype(np.float32)


def _overlaps(view: RunView) -> list[Overlap]:
    """Return places that two frames show, spread over the kept pairs; none where frames are turned or stretched."""
    if view.layout.affine is not None:
        return []
    kept = [pair for pair in view.layout.pairs if pair.kept]
    found = []
    for number in _spread(len(kept), _PAIRS) if kept else []:
        pair = kept[number]
        first, second = (_read(view, index) for index in (pair.first, pair.second))
        whole = [round(shift) for shift in pair.shift_px]
        top, left = (max(0, shift) for shift in whole)
        bottom, right = (
            min(size, other + shift) for size, other, shift in zip(first.shape, second.shape, whole, strict=True)
        )
        if bottom - top < PATCH_PX or right - left < PATCH_PX:
            continue
        rest = tuple(shift - near for shift, near in zip(pair.shift_px, whole, strict=True))
        moved = second[top - whole[0] : bottom - whole[0], left - whole[1] : right - whole[1]]
        found.append(Overlap(first[top:bottom, left:right], moved, (rest[0], rest[1])))
    return found


def _steps(layout: Layout) -> tuple[float, float]:
    """Return the usual way (y, x) to the next frame below and to the next frame to the right, px; NaN without any."""
    height, width = (float(size) for size in np.median(layout.shapes, axis=0))
    ways: tuple[list[float], list[float]] = ([], [])
    for position in layout.positions_px:
        away = layout.positions_px - position
        beside = away[(np.abs(away[:, 0]) < height / 4) & (away[:, 1] > width / 50) & (away[:, 1] < width), 1]
        below = away[(np.abs(away[:, 1]) < width / 2) & (away[:, 0] > height / 4) & (away[:, 0] < height), 0]
        for found, nearest in zip(ways, (below, beside), strict=True):
            found.extend(nearest.min(keepdims=True) if nearest.size else [])
    return (float(np.median(ways[0])) if ways[0] else math.nan, float(np.median(ways[1])) if ways[1] else math.nan)


def _placing_px(view: RunView) -> float:
    """Return how far frames lie from where the source put them, px, robustly and in each axis."""
    told = [frame.position_px for frame in view.frames]
    if any(position is None for position in told):
        return math.nan
    away = view.layout.positions_px - np.array(told, np.float64)
    away -= np.median(away, axis=0)
    return float(1.4826 * np.median(np.abs(away)))
