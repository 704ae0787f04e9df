"""Single pairs at full resolution, windows, and preparation on both devices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from cemi_core.model.frame import Frame
from cemi_core.numeric.peak import quadratic_peak
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.frames.filters import smoothed, smoothed_by_kornia, without_shading, without_shading_by_torch
from cemi_stitch.graph.candidate_pairs import Window, consecutive_windows, overlap_px, overlapping_pairs
from cemi_stitch.matching.evaluation import Evaluation, evaluated
from cemi_stitch.matching.matcher import match_windows

Record = Callable[..., object]


@pytest.mark.parametrize(("noise", "limit_px"), [(0.0, 0.08), (0.1, 0.15)])
def test_a_pair_is_found_from_thirty_pixels_off(record: Record, noise: float, limit_px: float) -> None:
    recording = record("lamellar", rows=1, columns=2, shape=(300, 400), noise=noise)
    true = recording.truth_px[1] - recording.truth_px[0]
    for off in ([0, 0], [17, -22], [-25, 28]):
        window = Window(0, 1, tuple(true + off), (32.0, 32.0))
        (pair,) = match_windows(recording.source, [window], MatchOptions())
        error = np.linalg.norm(np.array(pair.shift_px) - true)
        assert error <= limit_px
        assert pair.kept and pair.quality > 0.7
        assert 0 < pair.sigma_px < 0.2


def test_a_wide_window_is_searched_as_a_whole(record: Record) -> None:
    recording = record("lamellar", rows=1, columns=2, shape=(300, 400), noise=0.1)
    true = recording.truth_px[1] - recording.truth_px[0]
    window = Window(0, 1, tuple(true + np.array([70, -90])), (100.0, 100.0), wide=True)
    (pair,) = match_windows(recording.source, [window], MatchOptions())
    assert np.linalg.norm(np.array(pair.shift_px) - true) <= 0.15


def test_a_pair_whose_window_misses_is_dropped(record: Record) -> None:
    recording = record("dendritic", rows=1, columns=2)
    true = recording.truth_px[1] - recording.truth_px[0]
    window = Window(0, 1, tuple(true + np.array([0, 1000])), (5.0, 5.0))
    (pair,) = match_windows(recording.source, [window], MatchOptions())
    assert not pair.kept and pair.reason == "overlap is too small"


def test_every_second_row_and_column_of_smoothed_frames_tells_their_shift(record: Record) -> None:
    recording = record("lamellar", rows=1, columns=2, shape=(300, 400), noise=0.1)
    shift = recording.truth_px[1] - recording.truth_px[0]
    look = Evaluation(1, (round(shift[0]), round(shift[1])), 2)
    first, second = (smoothed(recording.source.read(n), 1.5, "cpu") for n in (0, 1))
    places = []
    for every in (1, 2):
        surface = evaluated(first, second, look, every).surface
        row, column = divmod(int(surface.argmax()), 5)
        places.append(quadratic_peak(surface[None, row - 1 : row + 2, column - 1 : column + 2])[0][0] + [row, column])
    assert 0 < np.abs(places[0] - places[1]).max() <= 0.02


def test_less_smoothing_lets_more_noise_through(record: Record) -> None:
    recording = record("dendritic", rows=1, columns=2, noise=0.1)
    window = Window(0, 1, tuple(recording.truth_px[1] - recording.truth_px[0]), (8.0, 8.0))
    rough, fine = (
        match_windows(recording.source, [window], MatchOptions(smoothing_px=sigma))[0].quality for sigma in (0.0, 1.5)
    )
    assert rough < fine - 0.1


@pytest.mark.parametrize("shape", [(64, 96), (157, 253), (40, 300), (20, 20)])
def test_kornia_smooths_frames_as_opencv_does(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert torch.allclose(smoothed(image, 1.5, "cpu"), smoothed_by_kornia(torch.from_numpy(image), 1.5), atol=1e-4)


@pytest.mark.parametrize("sigma", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("size", [(64, 96), (157, 253), (40, 300), (20, 20)])
def test_torch_takes_shading_out_of_a_batch_as_opencv_does_out_of_one(size: tuple[int, int], sigma: float) -> None:
    sizes = [size, (size[0] + 7, size[1] + 3)] if min(size) > 40 else [size]
    batch = torch.from_numpy(np.random.default_rng(0).random((len(sizes), 170, 310), dtype=np.float32))
    together = without_shading_by_torch(batch, sizes, sigma)
    for picture, rest, (height, width) in zip(batch, together, sizes, strict=True):
        alone = without_shading(picture[:height, :width].contiguous(), sigma)
        assert torch.allclose(alone, rest[:height, :width], atol=1e-4)


def test_shading_is_taken_out_and_detail_is_left() -> None:
    y, x = np.mgrid[-1:1:200j, -1:1:300j]
    shading = (0.5 - 0.2 * (y**2 + x**2)).astype(np.float32)
    detail = 0.1 * np.sin(np.arange(300) * 2 * np.pi / 6, dtype=np.float32)[None].repeat(200, 0)
    rest = without_shading(torch.from_numpy(shading + detail), 12.5).numpy()
    inner = (slice(30, -30), slice(30, -30))
    assert np.abs(rest - detail)[inner].max() <= 0.01


@given(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), st.tuples(st.integers(1, 20), st.integers(1, 20)))
@example((0.0, 1.959964), (1, 1))
def test_the_overlap_is_the_same_seen_from_either_frame(shift: tuple[float, float], second: tuple[int, int]) -> None:
    there = overlap_px(shift, (15, 12), second)
    back = overlap_px((-shift[0], -shift[1]), second, (15, 12))
    assert there == pytest.approx(back, abs=1e-9)
    assert 0 <= there <= min(15, second[0]) * min(12, second[1])


def test_windows_follow_the_tolerance_of_the_source_or_the_setting() -> None:
    known = [Frame(n, "", (100, 200), position_px=(0.0, 150.0 * n), position_tolerance_px=7.0) for n in range(2)]
    rough = [Frame(n, "", (100, 200), position_px=(0.0, 150.0 * n)) for n in range(2)]
    nothing = [Frame(n, "", (100, 200)) for n in range(2)]
    assert consecutive_windows(known, 0.05, 0.1)[0].reach_px == (7.0, 7.0)
    assert consecutive_windows(rough, 0.05, 0.1)[0].reach_px == (10.0, 20.0)
    assert consecutive_windows(nothing, 0.05, 0.1)[0].reach_px == (95.0, 190.0)


def test_frames_two_steps_apart_are_not_compared() -> None:
    frames = [Frame(n, "", (100, 200), position_px=(0.0, x)) for n, x in enumerate((0.0, 360.0, 540.0))]
    assert [(w.first, w.second) for w in consecutive_windows(frames, 0.03, 0.1)] == [(1, 2)]


def test_overlapping_pairs_are_those_that_share_enough_area() -> None:
    positions = np.array([[0.0, 0.0], [0.0, 90.0], [0.0, 180.0], [60.0, 0.0], [98.0, 98.0]])
    shapes = np.full((5, 2), 100)
    assert overlapping_pairs(positions, shapes, 0.05) == [(0, 1), (0, 3), (1, 2)]
