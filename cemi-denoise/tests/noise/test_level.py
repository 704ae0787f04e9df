"""The noise level is found from the picture alone, where its docstring says so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_denoise.noise.level import noise_map


def white(shape, sigma, seed=0):
    return (sigma * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.3])
def test_white_noise_on_smooth_grains_is_measured_to_ten_percent(sigma):
    grains = gaussian_filter(np.random.default_rng(1).standard_normal((400, 400)), 8)
    image = (0.5 + 2 * grains).astype(np.float32) + white((400, 400), sigma)
    measured = noise_map(image)
    assert measured.shape == image.shape
    assert measured.mean() == pytest.approx(sigma, rel=0.02)
    assert (abs(measured / sigma - 1) < 0.1).mean() > 0.98


def test_counted_electrons_scatter_more_in_the_bright_phase_next_door():
    bright = gaussian_filter(np.random.default_rng(1).standard_normal((400, 400)), 5) > 0
    clean = gaussian_filter(np.where(bright, 0.8, 0.2), 1.0)
    image = (np.random.default_rng(2).poisson(clean * 50) / 50).astype(np.float32)
    measured = noise_map(image)
    assert np.median(measured[bright]) == pytest.approx(np.sqrt(0.8 / 50), rel=0.1)
    assert np.median(measured[~bright]) == pytest.approx(np.sqrt(0.2 / 50), rel=0.2)


def test_vertical_stripes_of_three_pixels_are_not_taken_for_noise():
    stripes = np.tile(np.where(np.arange(300) % 3 == 0, 0.2, 0.8), (300, 1)).astype(np.float32)
    assert noise_map(stripes + white(stripes.shape, 0.05)).mean() == pytest.approx(0.05, rel=0.05)


def test_noise_that_grows_with_brightness_is_followed():
    sigma = np.where(np.arange(400) < 200, 0.02, 0.08).astype(np.float32)
    measured = noise_map(0.5 + sigma * white((300, 400), 1.0))
    assert measured[:, :150].mean() == pytest.approx(0.02, rel=0.05)
    assert measured[:, 250:].mean() == pytest.approx(0.08, rel=0.05)


def test_noise_smeared_along_the_line_is_underestimated_by_about_a_third():
    noise = white((400, 400), 1.0)
    smeared = noise[:, 1:] + 0.52 * noise[:, :-1]  # correlation 0.41 at one pixel
    smeared *= 0.05 / smeared.std()
    assert 0.6 < noise_map(smeared).mean() / 0.05 < 0.75


def test_holes_do_not_change_the_estimate():
    image = 0.5 + white((300, 300), 0.05)
    imaged = np.ones(image.shape, bool)
    imaged[50:250, 140:160] = False
    image[~imaged] = 0.5
    measured = noise_map(image, imaged)
    np.testing.assert_allclose(measured[imaged], 0.05, rtol=0.12)
