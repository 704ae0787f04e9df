"""Blending: consistent frames give back the picture that they were cut from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.blending.feather import feather
from cemi_stitch.stitcher import KorniaStitcher


def smooth_scene(shape: tuple[int, int]) -> np.ndarray:
    scene = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 3.5)
    return (0.5 + 0.1 * scene / scene.std()).astype(np.float64)


SCENE = smooth_scene((160, 220))


def frame_at(y: float, x: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ndimage.map_coordinates(SCENE, [rows + y, columns + x], order=5, mode="nearest").astype(np.float32)


def test_whole_pixel_places_give_the_scene_back_exactly() -> None:
    patches = [
        Patch(n, SCENE[y : y + 80, x : x + 90].astype(np.float32), y, x)
        for n, (y, x) in enumerate([(0, 0), (0, 60), (50, 5), (60, 70)])
    ]
    mosaic = feather(patches, Box(10, 10, 100, 100))
    assert np.abs(mosaic - SCENE[10:110, 10:110]).max() <= 1e-6


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(2, 60), st.floats(2, 100)), min_size=1, max_size=5))
def test_any_sub_pixel_places_give_the_scene_back_to_a_thousandth(places: list[tuple[float, float]]) -> None:
    patches = [Patch(n, frame_at(y, x, (70, 80)), y, x) for n, (y, x) in enumerate(places)]
    box = Box(5, 9, 120, 150)
    mosaic = feather(patches, box)
    covered = np.isfinite(mosaic)
    assert np.abs(mosaic - SCENE[box.slices])[covered].max() <= 1e-3
    rows, columns = np.mgrid[box.y : box.y + box.height, box.x : box.x + box.width]
    inside = np.zeros(covered.shape, bool)
    for y, x in places:
        inside |= (rows >= y) & (rows <= y + 69) & (columns >= x) & (columns <= x + 79)
    near_edge = np.zeros(covered.shape, bool)  # within rounding of a frame's edge either answer is right
    for y, x in places:
        for edge in (y, y + 69):
            near_edge |= np.abs(rows - edge) < 1e-5
        for edge in (x, x + 79):
            near_edge |= np.abs(columns - edge) < 1e-5
    assert np.array_equal(covered[~near_edge], inside[~near_edge])


def test_a_box_is_the_same_whether_blended_at_once_or_in_parts() -> None:
    patches = [Patch(n, frame_at(y, x, (70, 80)), y, x) for n, (y, x) in enumerate([(3.3, 4.6), (20.8, 50.1)])]
    whole = feather(patches, Box(0, 0, 100, 140))
    parts = np.block([[feather(patches, Box(y, x, 50, 70)) for x in (0, 70)] for y in (0, 50)])
    assert np.array_equal(np.isnan(whole), np.isnan(parts))
    assert np.nanmax(np.abs(whole - parts)) <= 1e-5


def test_where_nothing_reaches_is_nan() -> None:
    patch = Patch(0, np.ones((10, 10), np.float32), 5.0, 5.0)
    mosaic = feather([patch], Box(0, 0, 20, 20))
    assert np.isfinite(mosaic).sum() == 100 and np.isfinite(mosaic[5:15, 5:15]).all()
    assert np.isnan(feather([patch], Box(40, 40, 8, 8))).all()
    assert np.isnan(feather([], Box(0, 0, 8, 8))).all()


def test_nan_pixels_of_one_frame_are_filled_by_another() -> None:
    first, second = frame_at(10.4, 10.7, (60, 60)), frame_at(20.2, 15.9, (60, 60))
    first[25:40, 20:35] = np.nan
    mosaic = feather([Patch(0, first, 10.4, 10.7), Patch(1, second, 20.2, 15.9)], Box(0, 0, 90, 90))
    hole = mosaic[36:50, 31:45]
    assert np.isfinite(hole).all()
    assert np.abs(hole - SCENE[36:50, 31:45]).max() <= 1e-3
    alone = feather([Patch(0, first, 10.4, 10.7)], Box(0, 0, 90, 90))
    assert np.isnan(alone[37:48, 32:44]).all()


def test_gain_and_offset_are_applied() -> None:
    patch = Patch(0, np.full((10, 10), 0.4, np.float32), 0.0, 0.0, gain=1.5, offset=-0.1)
    assert feather([patch], Box(0, 0, 10, 10)) == pytest.approx(np.full((10, 10), 0.5), abs=1e-6)


def test_a_brightness_step_between_frames_becomes_a_ramp() -> None:
    dark, bright = (np.full((40, 100), level, np.float32) for level in (0.2, 0.8))
    row = KorniaStitcher().blend([Patch(0, dark, 0, 0), Patch(1, bright, 0, 50)], Box(0, 0, 40, 150))[20]
    assert np.abs(np.diff(row)).max() <= 0.03
    assert row[0] == pytest.approx(0.2) and row[-1] == pytest.approx(0.8)
