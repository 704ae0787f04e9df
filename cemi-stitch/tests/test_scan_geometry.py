"""Shear, rotation, scale and distortion of the pictures against planted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import ndimage

from cemi_core.model.array_source import ArraySource
from cemi_core.model.frame import Frame
from cemi_core.model.layout import Layout, PairShift, ScanGeometry
from cemi_stitch.correlation.block_shifts import LocalShifts
from cemi_stitch.distortion.scan_geometry import against_stage, from_local_shifts, signed_speed, with_geometry

SHAPE = (220, 280)
Bend = Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def stage_frames(rows: int, columns: int, step: tuple[float, float]) -> list[Frame]:
    place = np.mgrid[:rows, :columns].reshape(2, -1).T
    return [
        Frame(n, f"frame {n}", SHAPE, int(p[0]), position_px=(float(p[0] * step[0]), float(p[1] * step[1])))
        for n, p in enumerate(place)
    ]


def pictured(nominal: np.ndarray, shear: float, rotation: float, scale: tuple[float, float]) -> np.ndarray:
    """Places at which pictures show stage steps: scaled, turned from x towards y, then every line shown further on."""
    y, x = nominal[:, 0] * scale[0], nominal[:, 1] * scale[1]
    turned_y = np.cos(rotation) * y + np.sin(rotation) * x
    return np.stack([turned_y, np.cos(rotation) * x - np.sin(rotation) * y - shear * turned_y], 1)


def test_shear_rotation_and_scale_against_the_stage_come_back_within_their_errors() -> None:
    frames = stage_frames(6, 9, (170.0, 150.0))
    nominal = np.array([frame.position_px for frame in frames])
    truth = np.array([0.19, 0.005, 1.01, 0.98])
    deviations = []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        places = pictured(nominal, 0.19, 0.005, (1.01, 0.98)) + rng.normal(0, 1.5, nominal.shape)
        places[:, 1] += rng.normal(0, 2.0, 6)[np.arange(54) // 9]  # every pass starts a little off
        g = against_stage(frames, places, np.ones(54, bool))
        value = np.array([g.shear_px_per_line, g.rotation_rad, g.scale_y, g.scale_x])
        error = np.array([g.shear_px_per_line_error, g.rotation_rad_error, g.scale_y_error, g.scale_x_error])
        assert np.abs(value - truth).max() <= 0.03
        deviations.append((value - truth) / error)
    assert 0.6 <= np.sqrt(np.mean(np.square(deviations))) <= 1.6


def test_one_pass_tells_nothing_of_the_axes() -> None:
    frames = stage_frames(1, 9, (170.0, 150.0))
    nominal = np.array([frame.position_px for frame in frames])
    assert np.isnan(against_stage(frames, nominal, np.ones(9, bool)).shear_px_per_line)


def photograph(truth: np.ndarray, bend: Bend, seed: int = 0) -> list[np.ndarray]:
    """Frames of a random specimen whose pixel (y, x) shows what lies at truth + (y, x) + bend."""
    rng = np.random.default_rng(seed)
    size = np.ceil(truth.max(axis=0) + SHAPE).astype(int) + 80
    layers = [ndimage.gaussian_filter(rng.standard_normal(size), s) * s for s in (1.5, 4.0)]
    coefficients = ndimage.spline_filter(0.5 + 0.1 * sum(layer / layer.std() for layer in layers))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    frames = []
    for n, place in enumerate(truth):
        dy, dx = bend(n, y, x)
        at = [y + dy + place[0] + 40, x + dx + place[1] + 40]
        frames.append(ndimage.map_coordinates(coefficients, at, prefilter=False).astype(np.float32))
    return frames


def recorded(bend: Bend, serpentine: bool = False) -> tuple[ArraySource, Layout]:
    """A source of 3 x 4 bent frames and the layout that their overlaps as a whole give."""
    place = np.mgrid[:3, :4].reshape(2, -1).T
    if serpentine:
        place[:, 1] = np.where(place[:, 0] % 2, 3 - place[:, 1], place[:, 1])
    truth = place * [130.0, 150.0] + np.random.default_rng(1).uniform(-3, 3, (12, 2))
    pairs = [
        PairShift(i, j, tuple(map(float, truth[j] - truth[i])), 0.9, 10_000, 0.05)
        for i in range(12)
        for j in range(i + 1, 12)
        if np.abs(place[i] - place[j]).sum() == 1
    ]
    source = ArraySource(photograph(truth, bend), rows=place[:, 0].tolist())
    return source, layout_of(truth, pairs)


def layout_of(positions: np.ndarray, pairs: Sequence[PairShift]) -> Layout:
    count = len(positions)
    return Layout(
        positions - positions.min(axis=0),
        np.tile(SHAPE, (count, 1)),
        np.zeros(count, np.int64),
        np.zeros(count),
        np.ones(count),
        np.zeros(count),
        np.zeros(count, bool),
        tuple(pairs),
    )


def test_the_shear_of_a_stage_that_moves_forth_and_back_shows_in_the_overlaps() -> None:
    def sheared(n: int, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 0 * y, (0.03 if (n // 4) % 2 == 0 else -0.03) * (y - (SHAPE[0] - 1) / 2)

    source, layout = recorded(sheared, serpentine=True)
    assert sorted(set(signed_speed(source.frames, layout))) == [-1.0, 1.0]
    found = with_geometry(source, layout, 1.5)
    assert found.geometry.shear_px_per_line == pytest.approx(0.03, abs=0.002)
    assert abs(found.geometry.shear_px_per_line - 0.03) <= 4 * found.geometry.shear_px_per_line_error
    assert any(note.startswith("The pictures are sheared by 0.0") for note in found.notes)


def moving(speeds: Sequence[float], scan_s: float) -> tuple[LocalShifts, np.ndarray]:
    """Local shifts between passes at the given speeds, each line of a scan drawn a little later than the one before."""
    rng = np.random.default_rng(0)
    pair, first, ends, deviation = [], [], [], []
    for n in range(3 * (len(speeds) - 1)):
        for _ in range(9):
            i, place = n // 3, rng.uniform([130, 0], SHAPE)
            here, there = place[0] - (SHAPE[0] - 1) / 2, place[0] - 130 - (SHAPE[0] - 1) / 2
            pair.append(n)
            first.append(place)
            ends.append((i, i + 1))
            bent = (speeds[i + 1] * there - speeds[i] * here) * scan_s / SHAPE[0]
            deviation.append(rng.normal([0.0, bent], 0.05))
    first_px = np.array(first)
    alike = np.tile(np.eye(2), (len(pair), 1, 1))
    return LocalShifts(np.array(pair), first_px, first_px - [130, 0], np.array(deviation), alike), np.array(ends)


def test_the_shear_of_recordings_shows_where_passes_differ_in_speed() -> None:
    """The specimen passes at 10 and 20 px/s; a scan of 220 lines takes 2.2 s."""
    speeds = np.array([10.0, 20.0, 10.0, 20.0, 20.0])
    local, ends = moving(speeds.tolist(), 2.2)
    found = from_local_shifts(ScanGeometry(), local, ends, np.tile(SHAPE, (5, 1)), speeds)
    assert found.shear_px_per_line == pytest.approx(0.2, abs=0.01)  # at the usual speed of 20 px/s
    assert 0 < found.shear_px_per_line_error <= 0.01


def test_passes_of_one_speed_do_not_tell_their_shear() -> None:
    local, ends = moving([20.0] * 5, 2.2)
    speed = 20.0 + np.random.default_rng(1).normal(0, 0.5, 5)
    found = from_local_shifts(ScanGeometry(), local, ends, np.tile(SHAPE, (5, 1)), speed)
    assert np.isnan(found.shear_px_per_line)


def test_a_distortion_that_all_frames_share_comes_back_with_its_size() -> None:
    def bent(_: int, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        across = (x - (SHAPE[1] - 1) / 2) / (SHAPE[1] / 2)
        return 3.0 * across**2, 2.0 * across**3

    source, layout = recorded(bent)
    found = with_geometry(source, layout, 1.5)
    grid = np.linspace(-1, 1, 401)
    cubic = 2.0 * grid**3 - np.polyval(np.polyfit(grid, 2.0 * grid**3, 1), grid)
    expected = np.hypot(np.std(3.0 * grid**2), np.std(cubic))
    assert found.geometry.distortion_px == pytest.approx(expected, rel=0.2)


def test_true_pictures_are_found_to_be_true() -> None:
    source, layout = recorded(lambda _, y, x: (0 * y, 0 * x))
    found = with_geometry(source, layout, 1.5)
    assert found.geometry.distortion_px <= 0.1
    assert np.isnan(found.geometry.shear_px_per_line)  # all passes alike: overlaps cannot tell
    assert found.notes == ()


def test_empty_frames_have_no_geometry() -> None:
    _, layout = recorded(lambda _, y, x: (0 * y, 0 * x))
    found = with_geometry(ArraySource([np.zeros(SHAPE, np.float32)] * 12), layout, 1.5)
    assert np.isnan(found.geometry.distortion_px) and found.notes == ()
