"""Planted shading comes back; specimens without shading are left alone, bright ends and all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cemi_core.model.corrections import flattened, spread_over
from cemi_core.model.layout import PairShift
from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.frames.thumbnails import make_thumbnail, thumbnail_factor
from cemi_stitch.illumination.flat_field import MIN_FRAMES, POINTS, estimate_flat_field
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., Any]
SHAPE = (200, 260)


def vignette(shape: tuple[int, int], middle: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """Return a shading that falls by 20 % from its middle to the corners, mean 1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    shading = 1 - 0.2 * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / 2
    return shading / shading.mean()


def shaded(shading: NDArray[np.float64] | float, noise: float = 0.03) -> Callable[[int, Any], Any]:
    def change(n: int, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        noisy = 0.8 * frame * shading + np.random.default_rng(n).normal(0, noise, frame.shape)
        return np.clip(noisy, 0, 1).astype(np.float32)

    return change


def estimated(recording: Any) -> NDArray[np.float64] | None:
    """Return the flat field at the true places: all pairs that overlap by at least 3 % both ways."""
    places = recording.truth_px
    frames = [recording.source.read(n) for n in range(len(places))]
    factor = thumbnail_factor([SHAPE] * len(frames))
    overlap = np.array(SHAPE) - np.abs(places[None] - places[:, None])
    pairs = [
        PairShift(i, j, tuple(places[j] - places[i]), 1.0)
        for i, j in np.argwhere((overlap > 0.03 * np.array(SHAPE)).all(axis=2)).tolist()
        if i < j
    ]
    return estimate_flat_field([make_thumbnail(frame, factor) for frame in frames], factor, places, pairs)


def error(found: NDArray[np.float64], planted: NDArray[np.float64]) -> float:
    ratio = found / planted
    return float((ratio / ratio.mean() - 1).std())


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar", "sparse"])
@pytest.mark.parametrize("overlap", [(0.3, 0.4), (0.1, 0.1)])
def test_a_vignette_of_twenty_percent_comes_back_within_one_percent(
    record: Record, specimen: str, overlap: tuple[float, float]
) -> None:
    middle = (0.2, -0.3)
    recording = record(specimen, rows=6, columns=10, overlap=overlap, change=shaded(vignette(SHAPE, middle)))
    found = estimated(recording)
    assert found is not None and found.mean() == pytest.approx(1)
    assert error(found, vignette((POINTS, POINTS), middle)) <= 0.01


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar", "sparse"])
@pytest.mark.parametrize("grid", [(6, 10, (0.3, 0.4)), (1, 60, (0, 0.35)), (4, 15, (0.05, 0.05))])
def test_frames_without_shading_are_left_alone(record: Record, specimen: str, grid: tuple[int, int, Any]) -> None:
    found = estimated(record(specimen, rows=grid[0], columns=grid[1], overlap=grid[2], change=shaded(1.0)))
    assert found is None or np.abs(found - 1).max() < 0.005


def test_a_specimen_that_gets_brighter_along_its_length_is_no_shading(record: Record) -> None:
    def bright_end(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
        texture = ndimage.gaussian_filter(rng.standard_normal(shape), 3)
        return (np.linspace(0.3, 0.7, shape[1]) * (1 + 0.2 * texture / texture.std())).astype(np.float32)

    found = estimated(record(bright_end, rows=3, columns=12, overlap=(0.2, 0.2), change=shaded(1.0)))
    assert found is None or np.abs(found - 1).max() < 0.005


def test_a_layered_specimen_seen_in_one_pass_is_no_shading(record: Record) -> None:
    def layered(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
        texture = ndimage.gaussian_filter(rng.standard_normal(shape), 3)
        layer = 1 + 0.2 * np.cos(np.linspace(-3, 3, shape[0]))[:, None]
        return (0.5 * layer * (1 + 0.2 * texture / texture.std())).astype(np.float32)

    found = estimated(record(layered, rows=1, columns=30, overlap=(0, 0.4), jitter_px=2.0, change=shaded(1.0)))
    assert found is None or np.abs(found - 1).max() < 0.01


def test_few_frames_have_no_flat_field(record: Record) -> None:
    recording = record(rows=1, columns=MIN_FRAMES - 1, change=shaded(vignette(SHAPE)))
    assert estimated(recording) is None


def test_a_stitched_mosaic_is_evenly_lit_and_the_setting_leaves_it_out(record: Record) -> None:
    """The first frames are 30 % darker too: the gains are solved on frames without shading."""
    dim = [0.7 if n < 7 else 1.0 for n in range(20)]
    change = shaded(vignette(SHAPE), noise=0.01)
    recording = record(rows=4, columns=5, overlap=(0.3, 0.3), change=lambda n, f: dim[n] * change(n, f))
    layout = KorniaStitcher().place(recording.source)
    assert layout.flat_field is not None
    assert error(layout.flat_field, vignette(layout.flat_field.shape)) <= 0.01
    gains = layout.gain * dim
    assert np.abs(gains / np.exp(np.log(gains).mean()) - 1).max() <= 0.01
    plain = KorniaStitcher(KorniaSettings(flat_field="none")).place(recording.source)
    assert plain.flat_field is None
    frame = recording.source.read(9)
    box = Box(0, 0, *SHAPE)
    flat = KorniaStitcher().blend([Patch(9, flattened(frame, layout.flat_field), 0, 0)], box)
    assert np.abs(flat * spread_over(layout.flat_field, SHAPE) - frame).max() <= 1e-5
