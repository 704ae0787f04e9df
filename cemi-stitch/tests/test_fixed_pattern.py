"""Noise that is fixed in the pixels does not vote for "no shift"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cemi_core.model.frame import Frame
from cemi_run.sources.images import ImagesSettings, ImagesSource
from cemi_stitch.frames.fixed_pattern import explained, shared_picture, summed
from cemi_stitch.graph.candidate_pairs import may_stand_still
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., object]
DRIFT_PX = np.array([[0, 0], [3.4, -2.1], [5.2, 4.7], [8.1, 7.3], [9.6, 2.2], [12.4, 9.9], [6.3, 12.6], [2.2, 7.7]])


def detector_pattern(shape: tuple[int, int], strength: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    dots = ndimage.gaussian_filter(rng.standard_normal(shape), 2.0)
    return (strength * dots / dots.std()).astype(np.float32)


@pytest.mark.parametrize("smooth_px", [0.0, 2.0])
def test_drift_under_a_pattern_as_strong_as_the_texture_is_found_to_a_fifth_of_a_pixel(
    record: Record, smooth_px: float
) -> None:
    shape = (240, 300)
    rng = np.random.default_rng(7)
    pattern = ndimage.gaussian_filter(rng.standard_normal(shape), smooth_px)
    pattern = (0.14 / pattern.std() * pattern).astype(np.float32)
    recording = record(
        shape=shape, truth_px=DRIFT_PX, rows=1, columns=8, nominal=False, noise=0.03, change=lambda n, f: f + pattern
    )
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.2
    assert not layout.placed_by_prior.any()


def test_pattern_is_told_from_a_specimen_that_hardly_moves(record: Record) -> None:
    shape, pattern = (240, 300), detector_pattern((240, 300), 0.1)
    recording = record(
        shape=shape, truth_px=DRIFT_PX, rows=1, columns=8, nominal=False, change=lambda n, f: f + pattern
    )
    source = recording.source
    shared = shared_picture(summed(range(8), [source.read(n) for n in range(8)]), 1.5)
    assert shared is not None
    right = explained(source, recording.truth_px, shared, 1.5)
    wrong = explained(source, 0 * recording.truth_px, shared, 1.5)
    assert right.unexplained < 0.1 * wrong.unexplained
    assert wrong.pattern is None
    found = right.pattern
    assert found is not None
    assert np.corrcoef(found.ravel(), pattern.ravel())[0, 1] >= 0.9


def test_lamellae_without_a_pattern_lie_where_they_did(record: Record) -> None:
    recording = record("lamellar", shape=(300, 400), noise=0.1, rows=2, columns=3, nominal=False)
    frames = [recording.source.read(n) for n in range(6)]
    assert shared_picture(summed(range(6), frames), 1.5) is None
    moving = record("lamellar", shape=(240, 300), truth_px=DRIFT_PX, rows=1, columns=8, nominal=False, noise=0.05)
    layout = KorniaStitcher().place(moving.source)
    assert moving.errors_px(layout.positions_px).max() <= 0.1


@pytest.mark.parametrize("count", [2, 3, 8])
def test_identical_frames_with_noise_of_their_own_do_not_move(record: Record, count: int) -> None:
    still = np.tile(DRIFT_PX[:1], (count, 1))
    recording = record(shape=(200, 260), truth_px=still, rows=1, columns=count, nominal=False, noise=0.05)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.1


def test_frames_that_take_whole_steps_are_not_searched_for_a_pattern() -> None:
    steps = [Frame(n, "", (100, 200), position_px=(0.0, 120.0 * n)) for n in range(5)]
    assert not may_stand_still(steps, 0.03, 0.1)
    assert may_stand_still([Frame(n, "", (100, 200)) for n in range(5)], 0.03, 0.1)
    assert not may_stand_still([Frame(n, "", (100, 200 + n)) for n in range(5)], 0.03, 0.1)


def test_drift_of_a_tem_video_closes_its_loops(real_data: Path) -> None:
    source = ImagesSource(ImagesSettings(path=str(real_data / "insitu_ti_tem_video" / "*.png")))
    layout = KorniaStitcher().place(source)
    places = layout.positions_px
    assert not layout.placed_by_prior.any()
    assert 8 <= np.linalg.norm(places[1] - places[0]) <= 16
    assert np.ptp(places, axis=0).max() <= 16
    misfit = [np.linalg.norm(places[p.second] - places[p.first] - p.shift_px) for p in layout.pairs if p.kept]
    assert len(misfit) >= 15
    assert np.median(misfit) <= 0.15
    assert max(misfit) <= 0.5
