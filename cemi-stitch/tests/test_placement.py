"""Planted frames come back to their places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from cemi_core.errors import InputError
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., object]


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_frames_without_noise_lie_within_five_hundredths_of_a_pixel(record: Record, specimen: str) -> None:
    recording = record(specimen)
    layout = KorniaStitcher().place(recording.source)
    errors = recording.errors_px(layout.positions_px)
    assert np.median(errors) <= 0.03
    assert errors.max() <= 0.05
    assert not layout.placed_by_prior.any()
    assert layout.positions_px.min() == 0
    assert layout.notes == ()


def test_noisy_lamellae_lie_within_a_tenth_of_a_pixel(record: Record) -> None:
    recording = record("lamellar", shape=(300, 400), noise=0.1, jitter_px=10)
    layout = KorniaStitcher().place(recording.source)
    errors = recording.errors_px(layout.positions_px)
    assert np.median(errors) <= 0.1
    assert errors.max() <= 0.4
    assert not layout.placed_by_prior.any()


def test_overlaps_of_six_percent_are_enough(record: Record) -> None:
    recording = record("dendritic", shape=(400, 500), overlap=(0.06, 0.06), jitter_px=4, rows=2, columns=3)
    layout = KorniaStitcher().place(recording.source)
    assert not layout.placed_by_prior.any()
    assert recording.errors_px(layout.positions_px).max() <= 0.2


def test_steps_that_add_up_to_half_a_frame_along_a_serpentine_pass_are_found(record: Record) -> None:
    """Each step is 6 % off, down and up alike, so that side neighbours are not where the grid says."""
    shape, rows, columns = (200, 200), 2, 8
    step = 0.9 * 200
    down = np.stack([np.zeros(columns), np.arange(columns) * step * 0.95], 1)
    up = np.stack([np.full(columns, 0.88 * 200), down[-1, 1] - np.arange(columns) * step * 0.91], 1)
    truth = np.concatenate([down, up]) + np.random.default_rng(3).uniform(-1, 1, (16, 2))
    recording = record(shape=shape, rows=rows, columns=columns, overlap=(0.12, 0.1), serpentine=True, truth_px=truth)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.3
    sides = [p for p in layout.pairs if p.kept and p.first < columns <= p.second]
    assert len(sides) >= columns - 1


def test_passes_that_start_a_tenth_of_a_frame_off_are_found(record: Record) -> None:
    shape, columns = (160, 300), 6
    place = np.mgrid[:3, :columns].reshape(2, -1).T * [0.7 * 160, 0.55 * 300]
    place[columns : 2 * columns, 1] += 29
    place[2 * columns :, 1] -= 27
    recording = record(shape=shape, rows=3, columns=columns, overlap=(0.3, 0.45), truth_px=place)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.1
    assert not layout.placed_by_prior.any()


def test_a_last_step_far_shorter_than_the_others_is_found(record: Record) -> None:
    truth = np.stack([np.zeros(6), np.array([0, 270, 540, 810, 1080, 1260])], 1).astype(float)
    recording = record(shape=(200, 300), rows=1, columns=6, overlap=(0, 0.1), truth_px=truth)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.3


@pytest.mark.parametrize("direction", [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_ordered_frames_without_positions_are_chained_in_any_direction(
    record: Record, direction: tuple[int, int]
) -> None:
    truth = np.outer(np.arange(4), np.array(direction) * [150.0, 190.0])
    recording = record(rows=1, columns=4, truth_px=truth, nominal=False)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.1


def test_a_grid_without_positions_is_found_from_all_pairs(record: Record) -> None:
    recording = record(rows=2, columns=3, nominal=False)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.1


def test_an_empty_frame_is_placed_by_the_stage_model_and_flagged(record: Record) -> None:
    rng = np.random.default_rng(0)
    empty = rng.normal(0.3, 0.02, (200, 260)).astype(np.float32)
    recording = record(change=lambda n, frame: empty if n == 5 else frame)
    layout = KorniaStitcher().place(recording.source)
    errors = recording.errors_px(layout.positions_px)
    assert np.delete(errors, 5).max() <= 0.1
    assert errors[5] <= 20
    assert layout.placed_by_prior.tolist() == [n == 5 for n in range(12)]
    assert any("array 5" in note for note in layout.notes)
    reasons = {pair.reason for pair in layout.pairs if 5 in (pair.first, pair.second)}
    assert "" not in reasons
    assert any("threshold" in reason or "no peak" in reason for reason in reasons)


def test_a_mirrored_frame_matches_nothing_and_is_not_flung(record: Record) -> None:
    recording = record("lamellar", noise=0.05, change=lambda n, frame: frame[::-1, ::-1] if n == 6 else frame)
    layout = KorniaStitcher().place(recording.source)
    errors = recording.errors_px(layout.positions_px)
    assert np.delete(errors, 6).max() <= 0.3
    assert errors[6] <= 20
    assert layout.placed_by_prior[6]


def test_sparse_grains_are_never_placed_worse_than_the_stage(record: Record) -> None:
    recording = record("sparse", noise=0.03, jitter_px=5)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 15


def test_a_shared_vignette_does_not_pull_frames_together(record: Record) -> None:
    y, x = np.mgrid[-1:1:200j, -1:1:260j]
    vignette = (1 - 0.35 * (y**2 + x**2)).astype(np.float32)
    recording = record("sparse", noise=0.02, change=lambda n, frame: frame * vignette)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 15


def test_one_frame_is_a_layout_of_one() -> None:
    layout = KorniaStitcher().place([np.random.default_rng(0).random((40, 50), dtype=np.float32)])
    assert layout.positions_px.tolist() == [[0.0, 0.0]]
    assert layout.mosaic_shape == (40, 50)
    assert layout.pairs == () and layout.notes == ()
    assert not layout.placed_by_prior.any()


def test_no_frames_are_an_error() -> None:
    with pytest.raises(InputError):
        KorniaStitcher().place([])


def test_two_identical_frames_lie_on_each_other(record: Record) -> None:
    frame = record(rows=1, columns=1).source.read(0)
    layout = KorniaStitcher().place([frame, frame])
    assert np.abs(layout.positions_px).max() <= 0.01
    assert layout.pairs[0].quality == pytest.approx(1.0, abs=1e-3)


def test_black_frames_go_where_the_stage_says_and_are_flagged(record: Record) -> None:
    recording = record(change=lambda n, frame: 0 * frame, jitter_px=0)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 1e-3
    assert layout.placed_by_prior.sum() == 11
    assert {pair.reason for pair in layout.pairs} == {"overlap has no contrast"}
    assert "No overlap" in layout.notes[0]


def test_frames_that_do_not_overlap_and_have_no_position_are_laid_side_by_side() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.random((60, 80), dtype=np.float32) for _ in range(3)]
    layout = KorniaStitcher().place(frames)
    assert layout.positions_px.tolist() == [[0, 0], [0, 80], [0, 160]]
    assert layout.placed_by_prior.tolist() == [False, True, True]
    assert "side by side" in layout.notes[0]


def test_pixels_that_are_nan_do_not_disturb(record: Record) -> None:
    def with_hole(number: int, frame: np.ndarray) -> np.ndarray:
        frame = frame.copy()
        if number in (1, 6):
            frame[60:110, 90:150] = np.nan
            frame[:20] = np.nan
        return frame

    recording = record(change=with_hole)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.2
    assert np.isfinite(layout.gain).all() and np.isfinite(layout.offset).all()


def test_a_frame_that_is_all_nan_is_flagged(record: Record) -> None:
    recording = record(change=lambda n, frame: frame * np.nan if n == 4 else frame)
    layout = KorniaStitcher().place(recording.source)
    assert layout.placed_by_prior[4]
    assert np.delete(recording.errors_px(layout.positions_px), 4).max() <= 0.1


def test_frames_of_several_sizes_are_placed(record: Record) -> None:
    sizes = {1: (170, 260), 4: (200, 230), 6: (150, 220)}
    recording = record(
        change=lambda n, frame: frame[: sizes[n][0], : sizes[n][1]] if n in sizes else frame, jitter_px=4
    )
    layout = KorniaStitcher().place(recording.source)
    assert layout.shapes[6].tolist() == [150, 220]
    assert recording.errors_px(layout.positions_px).max() <= 0.15


def test_an_overlap_of_one_percent_is_left_to_the_stage(record: Record) -> None:
    recording = record(overlap=(0.01, 0.01), jitter_px=1, rows=2, columns=2)
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 6
    assert layout.notes


def test_16_bit_arrays_are_placed_like_floats(record: Record) -> None:
    recording = record(rows=2, columns=2)
    arrays = [np.rint(recording.source.read(n) * 65535).astype(np.uint16) for n in range(4)]
    layout = KorniaStitcher().place(arrays)
    assert recording.errors_px(layout.positions_px).max() <= 0.1


def test_two_frames_a_third_of_a_frame_off_are_found(record: Record) -> None:
    recording = record(rows=1, columns=3, overlap=(0.0, 0.25), truth_px=np.outer(np.arange(3), [0.0, 150.0]))
    layout = KorniaStitcher().place(recording.source)
    assert recording.errors_px(layout.positions_px).max() <= 0.1


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_almost_periodic_lamellae_are_misplaced_by_a_period_at_most(record: Record, noise: float) -> None:
    """Straight lamellae 40 px apart: a shift along the normal by one period looks nearly the same."""

    def straight(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        wave = ndimage.gaussian_filter(rng.standard_normal(shape), 25)
        y, x = np.mgrid[: shape[0], : shape[1]]
        phase = (0.8 * y + 0.6 * x) * (2 * np.pi / 40) + wave * (0.4 / wave.std())
        return ndimage.gaussian_filter(0.35 + 0.3 * (np.sin(phase) > 0), 1.0).astype(np.float32)

    recording = record(straight, shape=(400, 600), jitter_px=20, noise=noise)
    layout = KorniaStitcher().place(recording.source)
    errors = recording.errors_px(layout.positions_px)
    assert np.median(errors) <= 5
    assert errors.max() <= 60


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_overlaps_of_26_px_place_frames_to_a_tenth_of_a_pixel(record: Record, specimen: str) -> None:
    recording = record(specimen, rows=4, columns=4, shape=(512, 512), overlap=(0.05, 0.05), noise=0.03)
    layout = KorniaStitcher().place(recording.source)
    error = layout.positions_px - recording.truth_px
    error -= error.mean(axis=0)
    assert np.sqrt((error**2).sum(axis=1).mean()) <= 0.1
