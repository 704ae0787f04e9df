from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cemi_run.sources.video.deskew import deskew, first_column_px, shear_span_px
from cemi_run.sources.video.motion import measure_shift, overlap_share, overlap_zncc, prepare, zncc_surface
from cemi_run.sources.video.pick import OverlapPicker, PlacedScan

SHAPE = (200, 280)


def lamellae(seed: int = 0, width: int = 700) -> np.ndarray:
    """Return lamellae with a period of 8 px in colonies, 0 to 255."""
    rng = np.random.default_rng(seed)
    bends = 50 * ndimage.gaussian_filter(rng.standard_normal((SHAPE[0] + 20, width)), 25)
    yy, xx = np.mgrid[: SHAPE[0] + 20, :width]
    blobs = ndimage.gaussian_filter(rng.standard_normal(xx.shape), 7)
    return 120 + 40 * np.sin(2 * np.pi * (xx + 0.6 * yy + 30 * bends) / 8) + 20 * blobs / blobs.std()


def pair(dy: int, dx: int, noise: float = 15.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scene, (h, w) = lamellae(), SHAPE
    first, second = scene[10 : 10 + h, 200 : 200 + w], scene[10 + dy : 10 + dy + h, 200 + dx : 200 + dx + w]
    noisy = [np.clip(p + noise * rng.standard_normal(p.shape), 0, 255).astype(np.uint8) for p in (first, second)]
    return noisy[0], noisy[1]


@pytest.mark.parametrize("dx", [-190, -60, -9, 0, 9, 84, 140, 196])
@pytest.mark.parametrize("noise", [5.0, 50.0])
def test_stage_motion_over_periodic_lamellae_is_measured_to_a_tenth_of_a_pixel(dx: int, noise: float) -> None:
    first, second = pair(3, dx, noise)
    shift = measure_shift(prepare(first), prepare(second))
    assert shift is not None
    assert (shift.dy, shift.dx) == pytest.approx((3, dx), abs=0.1 if noise < 20 else 0.3)


def test_shading_that_stands_still_does_not_hide_the_motion() -> None:
    first, second = (p * np.linspace(0.4, 1, SHAPE[1]) for p in pair(0, 70))
    shift = measure_shift(prepare(first.astype(np.uint8)), prepare(second.astype(np.uint8)))
    assert shift is not None
    assert shift.dx == pytest.approx(70, abs=0.2)


def test_unrelated_pictures_have_no_shift() -> None:
    rng = np.random.default_rng(3)
    first, second = (prepare(rng.integers(0, 255, SHAPE, dtype=np.uint8)) for _ in range(2))
    assert measure_shift(first, second) is None


def test_expected_motion_decides_between_equal_periods() -> None:
    rng = np.random.default_rng(0)
    rows = np.sin(2 * np.pi * np.arange(600) / 40) * 60 + 120
    scene = np.tile(rows, (SHAPE[0], 1))
    first, second = (
        prepare(np.clip(scene[:, x : x + SHAPE[1]] + 5 * rng.standard_normal(SHAPE), 0, 255).astype(np.uint8))
        for x in (0, 90)
    )
    shift = measure_shift(first, second, expected=(0.0, 88.0))
    assert shift is not None
    assert shift.dx == pytest.approx(90, abs=0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(-15, 15), st.integers(-20, 20), st.integers(0, 999))
def test_fft_and_direct_correlation_agree(dy: int, dx: int, seed: int) -> None:
    first, second = np.random.default_rng(seed).random((2, 24, 32), dtype=np.float32)
    zncc, overlap, rows, columns = zncc_surface(first, second)
    at = int(np.flatnonzero(rows == dy)[0]), int(np.flatnonzero(columns == dx)[0])
    assert overlap[at] == (24 - abs(dy)) * (32 - abs(dx))
    assert zncc[at] == pytest.approx(overlap_zncc(first, second, dy, dx), abs=1e-4)


def test_overlap_share_counts_area() -> None:
    assert overlap_share((0, 55), (60, 100)) == pytest.approx(0.45)
    assert overlap_share((30, -50), (60, 100)) == pytest.approx(0.25)
    assert overlap_share((0, 130), (60, 100)) == 0


def placed(number: int, x: float) -> PlacedScan:
    return PlacedScan(number, np.zeros((1, 1), np.uint8), 0.0, (0.0, x), (60, 100), 0.0, 1.0)


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 29), min_size=3, max_size=60))
def test_neighbours_overlap_as_wanted_while_the_stage_moves_less_than_30_percent_per_scan(steps: list[float]) -> None:
    picker, kept = OverlapPicker(0.45, 0.30, 0.60), []
    for number, x in enumerate(np.cumsum(steps)):
        kept += picker.offer(placed(number, float(x)))
    kept += picker.finish()
    overlaps = 1 - np.diff([scan.position_px[1] for scan in kept]) / 100
    assert ((overlaps >= 0.30 - 1e-9) & (overlaps <= 0.60 + 1e-9)).all()
    assert np.cumsum(steps)[-1] - kept[-1].position_px[1] < 40 + 1e-9


def test_fast_stage_keeps_every_scan_rather_than_open_a_gap() -> None:
    picker, kept = OverlapPicker(0.45, 0.30, 0.60), []
    for number in range(6):
        kept += picker.offer(placed(number, 38.0 * number))
    assert [scan.number for scan in kept] == [0, 1, 2, 3, 4]
    wide = OverlapPicker(0.45, 0.30, 0.60)
    assert sum(len(wide.offer(placed(n, 80.0 * n))) for n in range(5)) == 5


@pytest.mark.parametrize("shear", [0.13, -0.13, 0.5, -0.31, 0.0])
def test_deskew_makes_upright_what_the_moving_stage_sheared(shear: float) -> None:
    scene = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((80, 400)), (0, 2.0))
    scene = (128 + 80 * scene / np.abs(scene).max()).astype(np.float32)
    rows, origin = np.arange(80), 100.0
    sheared = np.stack([np.interp(origin + shear * y + np.arange(200), np.arange(400), scene[y]) for y in rows])
    straight = deskew(sheared.astype(np.float32), shear)
    assert straight.shape == (80, 200 - shear_span_px(shear, 80))
    x = origin + first_column_px(shear, 80, shear_span_px(shear, 80)) + np.arange(straight.shape[1])
    expected = np.stack([np.interp(x, np.arange(400), scene[y]) for y in rows])
    assert np.abs(straight - expected).max() < 2.0


def test_deskew_keeps_the_type_and_can_lose_more_columns_but_not_fewer() -> None:
    scan = np.random.default_rng(0).integers(0, 256, (30, 60), dtype=np.uint8)
    assert deskew(scan, 0.2, lost_columns=10).shape == (30, 50)
    assert deskew(scan, 0.2).dtype == np.uint8
    np.testing.assert_array_equal(deskew(scan, 0.0), scan)
    with pytest.raises(ValueError, match="cannot lose"):
        deskew(scan, 0.2, lost_columns=3)
