"""Planted gains and offsets come back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cemi_stitch.frames.thumbnails import make_thumbnail
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., object]


def relative(values: np.ndarray) -> np.ndarray:
    return values / np.exp(np.log(values).mean())


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_gains_within_ten_percent_come_back_within_one_percent(record: Record, specimen: str) -> None:
    rng = np.random.default_rng(5)
    gains, offsets = rng.uniform(0.9, 1.1, 12), rng.uniform(-0.03, 0.03, 12)
    recording = record(
        specimen, change=lambda n, frame: (gains[n] * (0.2 + 0.6 * frame) + offsets[n]).astype(np.float32)
    )
    layout = KorniaStitcher().place(recording.source)
    assert np.abs(relative(layout.gain * gains) - 1).max() <= 0.01
    level = layout.gain * (gains * 0.5 + offsets) + layout.offset
    steps = [abs(level[pair.second] - level[pair.first]) for pair in layout.pairs if pair.kept]
    assert max(steps) <= 0.01 * level.mean()


def test_brightness_steps_of_thirty_percent_come_back(record: Record) -> None:
    gains = np.where(np.arange(12) % 2, 1.0, 0.7)
    recording = record(noise=0.02, change=lambda n, frame: (gains[n] * 0.9 * frame).astype(np.float32))
    layout = KorniaStitcher().place(recording.source)
    assert np.abs(relative(layout.gain * gains) - 1).max() <= 0.02


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar", "sparse"])
def test_steps_of_thirty_percent_between_neighbours_are_one_percent_afterwards(record: Record, specimen: str) -> None:
    gains = np.where((np.arange(20) // 5 + np.arange(20) % 5) % 2, 1.0, 0.7)
    recording = record(
        specimen,
        rows=4,
        columns=5,
        overlap=(0.3, 0.3),
        noise=0.02,
        change=lambda n, frame: (gains[n] * 0.9 * frame).astype(np.float32),
    )
    layout = KorniaStitcher().place(recording.source)
    level = layout.gain * gains * 0.9 * float(recording.source.read(1).mean() / 0.9) + layout.offset
    steps = [abs(level[pair.second] - level[pair.first]) for pair in layout.pairs if pair.kept]
    assert len(steps) >= 20 and max(steps) <= 0.01 * level.mean()


def test_frames_of_equal_brightness_are_left_alone(record: Record) -> None:
    layout = KorniaStitcher().place(record().source)
    assert np.abs(layout.gain - 1).max() <= 0.01
    assert np.abs(layout.offset).max() <= 0.005


def test_a_lean_that_all_frames_share_does_not_add_up_along_a_pass(record: Record) -> None:
    """Side by side, each frame looks 4 % darker than the one before: 60 % over the pass, were it believed."""
    lean = np.linspace(0.97, 1.03, 260, dtype=np.float32)
    recording = record(rows=1, columns=14, overlap=(0, 0.35), change=lambda n, frame: frame * lean)
    layout = KorniaStitcher().place(recording.source)
    assert np.abs(layout.gain - 1).max() <= 0.1


def test_equalise_can_be_left_out(record: Record) -> None:
    recording = record(rows=1, columns=2, change=lambda n, frame: frame * (0.8 if n else 1.0))
    layout = KorniaStitcher(KorniaSettings(equalise=False)).place(recording.source)
    assert layout.gain.tolist() == [1, 1] and layout.offset.tolist() == [0, 0]


def test_a_frame_alone_keeps_its_brightness(record: Record) -> None:
    recording = record(change=lambda n, frame: 0.3 + 0 * frame if n == 5 else frame)
    layout = KorniaStitcher().place(recording.source)
    assert layout.gain[5] == pytest.approx(1.0) and layout.offset[5] == pytest.approx(0.0)


def test_a_thumbnail_holds_block_means_to_half_a_percent_of_their_range_and_marks_nan() -> None:
    image = np.random.default_rng(0).random((31, 45), dtype=np.float32)
    image[:8, :9] = np.nan
    small = make_thumbnail(image, 4).image
    means = image[:28, :44].reshape(7, 4, 11, 4).swapaxes(1, 2).reshape(7, 11, 16)
    known = np.isfinite(means).mean(axis=2) >= 0.5
    assert np.array_equal(np.isfinite(small), known)
    expected = np.nanmean(means[known], axis=1)
    assert np.abs(small[known] - expected).max() <= 0.005 * np.ptp(expected)
