"""The ways of joining frames: consistent frames give the scene back, boxes join, averaging lowers noise as it says."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_core.model.mosaic import Box, Patch
from cemi_core.numeric.noise import noise_std
from cemi_stitch.blending.average import TAPER_PX, average
from cemi_stitch.blending.multiband import MARGIN_PX
from cemi_stitch.settings import KorniaSettings, abilities
from cemi_stitch.stitcher import KorniaStitcher

BLENDS = ["feather", "none", "average", "multiband"]
each_blend = pytest.mark.parametrize("blend", BLENDS)


def smooth_scene(shape: tuple[int, int]) -> np.ndarray:
    """Waves of 12 to 60 px that cubic interpolation keeps to a ten-thousandth."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = np.sin(x / 3.0 + 0.3 * y / 3.0) + np.sin(y / 4.0 - 1) + np.cos((x + y) / 9.0)
    return (0.5 + 0.1 * waves).astype(np.float32)


def scene_at(y: float, x: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    rows, columns = rows + y, columns + x
    waves = np.sin(columns / 3.0 + 0.3 * rows / 3.0) + np.sin(rows / 4.0 - 1) + np.cos((columns + rows) / 9.0)
    return (0.5 + 0.1 * waves).astype(np.float32)


def stitcher(blend: str) -> KorniaStitcher:
    return KorniaStitcher(KorniaSettings(blend=blend))  # type: ignore[arg-type]


def grid_of_patches(change=lambda n, image: image, fraction: float = 0.0) -> list[Patch]:
    places = [(y + fraction * (n % 3), x) for n, (y, x) in enumerate((y, x) for y in (0, 90) for x in (0, 110, 230))]
    return [Patch(n, change(n, scene_at(y, x, (140, 170))), y, x) for n, (y, x) in enumerate(places)]


@each_blend
def test_frames_that_agree_give_the_scene_back(blend: str) -> None:
    mosaic = stitcher(blend).blend(grid_of_patches(), Box(0, 0, 230, 400))
    assert np.isfinite(mosaic).all()
    assert np.abs(mosaic - smooth_scene((230, 400))).max() <= 1e-5


@each_blend
def test_frames_at_sub_pixel_places_give_the_scene_back_to_half_a_percent(blend: str) -> None:
    mosaic = stitcher(blend).blend(grid_of_patches(fraction=0.37), Box(3, 3, 220, 390))
    assert np.nanmax(np.abs(mosaic - smooth_scene((230, 400))[3:223, 3:393])) <= 5e-3


@each_blend
def test_pixels_that_no_frame_sees_are_nan_and_holes_are_filled_by_others(blend: str) -> None:
    def with_hole(n: int, image: np.ndarray) -> np.ndarray:
        if n == 0:
            image[20:40, 20:40] = np.nan  # seen by this frame alone
            image[20:40, 130:150] = np.nan  # seen by the next frame too
        return image

    mosaic = stitcher(blend).blend(grid_of_patches(with_hole), Box(-10, -10, 260, 430))
    expected = np.zeros((260, 430), bool)
    expected[10:240, 10:410] = True
    expected[30:50, 30:50] = False
    assert np.array_equal(np.isfinite(mosaic), expected)
    assert np.abs(mosaic[10:240, 10:410] - smooth_scene((230, 400)))[expected[10:240, 10:410]].max() <= 1e-5


@each_blend
@pytest.mark.parametrize("tile", [(64, 64), (37, 211), (230, 100)])
def test_boxes_join_without_a_seam_however_the_mosaic_is_cut(blend: str, tile: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    patches = grid_of_patches(
        lambda n, image: (image * (0.8 + 0.07 * n) + rng.normal(0, 0.02, image.shape)).astype(np.float32), 0.3
    )
    join = stitcher(blend)
    whole = join.blend(patches, Box(0, 0, 230, 400))
    for box in Box(0, 0, 230, 400).tiles(*tile):
        wide = box.grown(abilities(join.settings).blend_margin_px + 1)
        reach = [(wide.y - 140, wide.y + wide.height), (wide.x - 170, wide.x + wide.width)]
        some = [p for p in patches if reach[0][0] < p.y_px < reach[0][1] and reach[1][0] < p.x_px < reach[1][1]]
        part = join.blend(some, box)
        assert np.array_equal(np.isnan(part), np.isnan(whole[box.slices]))
        assert np.abs(np.nan_to_num(part - whole[box.slices])).max() <= 0.5 / 255


def test_without_blending_every_pixel_is_that_of_the_frame_whose_edge_is_farthest() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.random((50, 100), dtype=np.float32), rng.random((50, 100), dtype=np.float32)
    mosaic = stitcher("none").blend([Patch(1, right, 0, 60), Patch(0, left, 0, 0)], Box(0, 0, 50, 160))
    assert np.array_equal(mosaic[:, :80], left[:, :80])
    assert np.array_equal(mosaic[25, 80:], right[25, 20:])


def test_multiband_keeps_the_detail_of_one_frame_and_spreads_a_brightness_step() -> None:
    """Feathering two noisy frames halves the noise in between, where the image looks blurred; bands keep it."""
    rng = np.random.default_rng(2)
    frames = [(level + rng.normal(0, 0.05, (300, 400))).astype(np.float32) for level in (0.4, 0.6)]
    patches = [Patch(0, frames[0], 0, 0), Patch(1, frames[1], 0, 240)]
    mosaic = stitcher("multiband").blend(patches, Box(0, 0, 300, 640))
    profile = mosaic.mean(axis=0)
    assert profile[100] == pytest.approx(0.4, abs=0.01) and profile[540] == pytest.approx(0.6, abs=0.01)
    assert abs(profile[312:320].mean() - profile[320:328].mean()) <= 0.05  # a seam would be a step of 0.2
    noise = [noise_std(mosaic[:, a : a + 80]) for a in (40, 280, 520)]
    assert noise == pytest.approx([0.05] * 3, rel=0.1)
    assert noise_std(stitcher("feather").blend(patches, Box(0, 280, 300, 80))) <= 0.04
    assert abilities(stitcher("multiband").settings).blend_margin_px == MARGIN_PX


def test_noise_of_an_average_falls_by_the_root_of_the_frame_count() -> None:
    rng, sigma = np.random.default_rng(3), 0.05
    patches = [
        Patch(n, (scene_at(y, x, (160, 200)) + rng.normal(0, sigma, (160, 200))).astype(np.float32), y, x)
        for n, (y, x) in enumerate((y, x) for y in range(0, 120, 40) for x in range(0, 250, 50))
    ]
    mosaic, count = stitcher("average").blend_and_count(patches, Box(0, 0, 240, 400))
    assert np.array_equal(mosaic, stitcher("average").blend(patches, Box(0, 0, 240, 400)))
    assert np.nanmin(count) >= 1 - 1e-5 and np.nanmax(count) > 10
    error = mosaic - smooth_scene((240, 400))
    for low, high in ((1, 3), (3, 6), (6, 9), (9, 16)):
        here = (count >= low) & (count < high)
        assert here.sum() > 2000
        assert np.sqrt(np.mean(error[here] ** 2 * count[here])) == pytest.approx(sigma, rel=0.05)


def test_an_average_trusts_quiet_frames_more() -> None:
    rng = np.random.default_rng(4)
    noise = [0.02, 0.08]
    patches = [Patch(n, (0.5 + rng.normal(0, s, (120, 150))).astype(np.float32), 0, 0) for n, s in enumerate(noise)]
    inner = Box(TAPER_PX, TAPER_PX, 80, 110)
    mosaic, count = average(patches, inner)
    best = 1 / np.sqrt(sum(s**-2 for s in noise))
    assert mosaic.std() == pytest.approx(best, rel=0.05)
    share = 0.02**-2 / (0.02**-2 + 0.08**-2)
    assert float(count.mean()) == pytest.approx(1 / (share**2 + (1 - share) ** 2), rel=0.02)


def test_noise_of_a_picture_with_edges_is_found_within_five_percent() -> None:
    rng = np.random.default_rng(5)
    stripes = np.tile(np.where(np.arange(300) // 15 % 2, 0.7, 0.3), (200, 1))
    noisy = (stripes + rng.normal(0, 0.03, stripes.shape)).astype(np.float32)
    noisy[:20, :50] = np.nan
    assert noise_std(noisy) == pytest.approx(0.03, rel=0.05)
    assert noise_std(np.full((2, 9), 0.5, np.float32)) == 0.0
