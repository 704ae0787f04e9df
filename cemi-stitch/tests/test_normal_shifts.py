"""Straight lamellae tell a shift across them and none along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cemi_stitch.matching.normal_shifts import straight_pairs
from cemi_stitch.solve.covariance import position_sigma
from cemi_stitch.solve.least_squares import NormalShiftEquations, solve_positions, solve_with_normal_shifts
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., object]


def lamellae(normal: tuple[float, float], period_px: float = 40.0) -> Callable[..., NDArray[np.float32]]:
    def draw(shape: tuple[int, int], _: np.random.Generator) -> NDArray[np.float32]:
        y, x = np.mgrid[: shape[0], : shape[1]]
        phase = (normal[0] * y + normal[1] * x) * (2 * np.pi / period_px)
        return ndimage.gaussian_filter(0.35 + 0.3 * (np.sin(phase) > 0.2), 1.2).astype(np.float32)

    return draw


def spread_px(error: NDArray[np.float64]) -> float:
    return float(np.std(error))


@pytest.mark.parametrize("normal", [(1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_frames_of_straight_lamellae_fit_across_them_and_stand_at_the_stage_along_them(
    record: Record, normal: tuple[float, float], noise: float
) -> None:
    recording = record(lamellae(normal), noise=noise, position_tolerance_px=14)
    layout = KorniaStitcher().place(recording.source)
    nominal = np.array([frame.position_px for frame in recording.source.frames])
    along = np.array([-normal[1], normal[0]])
    off, stage = layout.positions_px - recording.truth_px, nominal - recording.truth_px
    assert spread_px(stage @ normal) >= 2
    assert spread_px(off @ normal) <= 0.05 + noise
    assert spread_px(off @ along) <= 1.2 * spread_px(stage @ along)
    assert any("tell their shift across them only" in note for note in layout.notes)


def test_the_standard_error_says_which_direction_is_known(record: Record) -> None:
    layout = KorniaStitcher().place(record(lamellae((1.0, 0.0)), noise=0.05, position_tolerance_px=14).source)
    assert layout.sigma_px[:, 0].max() <= 0.3
    assert layout.sigma_px[:, 1].min() >= 2


def test_lamellae_that_fit_at_several_shifts_leave_frames_at_the_stage(record: Record) -> None:
    recording = record(lamellae((1.0, 0.0), 16.0), noise=0.05, position_tolerance_px=20)
    layout = KorniaStitcher().place(recording.source)
    nominal = np.array([frame.position_px for frame in recording.source.frames])
    assert not any(pair.kept for pair in layout.pairs)
    np.testing.assert_allclose(layout.positions_px, nominal - nominal.min(axis=0), atol=0.01)


@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_other_specimens_tell_their_whole_shift(record: Record, specimen: str) -> None:
    recording = record(specimen, noise=0.05)
    layout = KorniaStitcher().place(recording.source)
    unsure = replace(layout, pairs=tuple(replace(pair, sigma_px=float("nan")) for pair in layout.pairs))
    assert straight_pairs(recording.source, unsure, 1.5) == []


def test_two_directions_are_as_good_as_a_shift() -> None:
    rng = np.random.default_rng(0)
    edges = np.array([(0, 1), (1, 2), (0, 2), (2, 3)])
    shifts, sigma = rng.normal(0, 5, (4, 2)), np.array([0.1, 0.2, 0.1, 0.3])
    shifts[2] = shifts[0] + shifts[1] + 0.05
    none = np.zeros((0, 2))
    prior = (np.zeros((0, 2), np.int64), none)
    whole = solve_positions(4, edges, shifts, sigma, *prior, np.zeros(0))
    turned = np.array([[0.8, 0.6], [-0.6, 0.8]])
    parts = NormalShiftEquations(np.repeat(edges[1:2], 2, axis=0), turned, turned @ shifts[1], np.full(2, sigma[1]))
    others = np.array([0, 2, 3])
    split = solve_with_normal_shifts(4, edges[others], shifts[others], sigma[others], parts)
    np.testing.assert_allclose(split - split[0], whole - whole[0], atol=2e-3)
    # Residuals of the loop as large as stated errors make them, and none without it: both believe what is stated.
    wrong = np.ones((4, 2)) * sigma[:, None] * 0.5
    stated = position_sigma(4, edges, sigma, wrong, *prior)
    told = position_sigma(4, edges[others], sigma[others], 0 * wrong[others], *prior, parts)
    np.testing.assert_allclose(told, stated, rtol=0.02)
