"""The noise of an image against planted noise and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter
from scipy.stats import median_abs_deviation

from cemi_core.numeric.noise import IMMERKAER_MASK, noise_std


@pytest.mark.parametrize(("lines", "every"), [(128, 1), (None, 1), (None, 2)])
@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_white_noise_on_smooth_grains_is_measured_to_5_percent(sigma: float, lines: int | None, every: int) -> None:
    rng = np.random.default_rng(0)
    grains = 0.5 + 5 * gaussian_filter(rng.standard_normal((300, 320)), 10)
    noisy = (grains + sigma * rng.standard_normal(grains.shape)).astype(np.float32)
    assert noise_std(noisy, lines, every) == pytest.approx(sigma, rel=0.05)


def test_the_noise_is_the_median_absolute_deviation_of_what_the_mask_leaves() -> None:
    image = np.random.default_rng(1).standard_normal((60, 71))
    left = convolve(image, IMMERKAER_MASK.astype(np.float64))[1:-1, 1:-1]
    expected = median_abs_deviation(left, axis=None, center=lambda values, axis: 0.0, scale="normal") / 6
    assert noise_std(image, lines=None) == pytest.approx(expected, rel=1e-5)


def test_anything_linear_along_y_or_x_is_no_noise() -> None:
    y, x = np.mgrid[:40, :50].astype(np.float32)
    assert noise_std(y * y + 3 * x) == pytest.approx(0.0, abs=1e-5)


def test_missing_pixels_do_not_count() -> None:
    image = np.random.default_rng(0).standard_normal((120, 90)).astype(np.float32)
    holed = image.copy()
    holed[20:70, 30:60] = np.nan
    assert noise_std(holed) == pytest.approx(noise_std(image), rel=0.05)


def test_images_without_room_for_the_mask_have_no_noise() -> None:
    assert noise_std(np.full((2, 9), 0.5, np.float32)) == 0.0


def test_the_mask_answers_to_white_noise_with_six_times_its_deviation() -> None:
    assert float(np.sqrt((IMMERKAER_MASK**2).sum())) == 6.0
