"""The noise around each pixel is measured well enough for a network, and the same in every tile."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from cemi_core.model.mosaic import Box
from cemi_denoise.noise.local import LOCAL_NOISE_REACH_PX, local_noise_map
from cemi_virtual_sem.detector import line_kernel
from cemi_virtual_sem.specimens import make_specimen


def noise(shape, correlation=(), seed=0):
    kernel = line_kernel(correlation)
    white = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return convolve1d(white, kernel / np.sqrt((kernel**2).sum()), axis=1, mode="wrap")


@pytest.mark.parametrize("correlation", [(), (0.4, -0.1)], ids=["white", "correlated"])
@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.3])
def test_the_noise_on_lamellae_is_measured_to_a_fifth_everywhere(sigma, correlation):
    clean = make_specimen("ehea", seed=1).render(Box(0, 0, 400, 500))
    measured = local_noise_map(clean + sigma * noise(clean.shape, correlation))
    assert np.abs(measured / sigma - 1).max() < 0.2
    assert measured.mean() == pytest.approx(sigma, rel=0.1)


def test_stronger_noise_on_one_side_is_seen_there():
    sigma = np.where(np.arange(600) < 300, 0.03, 0.12)
    measured = local_noise_map((0.5 + sigma * noise((300, 600))).astype(np.float32))
    assert measured[:, :100].mean() == pytest.approx(0.03, rel=0.1)
    assert measured[:, -100:].mean() == pytest.approx(0.12, rel=0.1)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (170, 211), (101, 7), (333, 500)])
def test_a_tile_with_its_reach_gives_what_the_whole_gives(y, x):
    image = (0.5 + 0.1 * noise((700, 800))).astype(np.float32)
    imaged = np.ones(image.shape, bool)
    imaged[300:330, 100:600] = False
    box = Box(y, x, 90, 120)
    outer = box.grown(LOCAL_NOISE_REACH_PX).clipped(image.shape)
    part = local_noise_map(image[outer.slices], imaged[outer.slices], (outer.y, outer.x))
    inner = Box(y - outer.y, x - outer.x, 90, 120)
    np.testing.assert_allclose(part[inner.slices], local_noise_map(image, imaged)[box.slices], rtol=1e-4)


def test_missing_and_saturated_places_do_not_count_and_say_nothing():
    image = np.clip(0.5 + 0.05 * noise((600, 900)), 0, 1).astype(np.float32)
    image[:, :400] = 1
    imaged = np.ones(image.shape, bool)
    image[200:230, 500:600] = 0.9
    imaged[200:230, 500:600] = False
    measured = local_noise_map(image, imaged)
    assert np.isnan(measured[300, 100])
    np.testing.assert_allclose(measured[:, 450:], 0.05, rtol=0.2)


@pytest.mark.parametrize("shape", [(1, 1), (20, 300), (31, 31)])
def test_pictures_too_small_to_tell_say_nothing(shape):
    assert np.isnan(local_noise_map(np.full(shape, 0.5, np.float32))).all()


def test_a_picture_without_noise_has_none():
    assert (local_noise_map(np.full((100, 100), 0.5, np.float32)) == 0).all()
