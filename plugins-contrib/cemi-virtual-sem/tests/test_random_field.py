from __future__ import annotations

import numpy as np
import pytest

from cemi_core.model.mosaic import Box
from cemi_virtual_sem.random_field import Trend, lattice_normal, lattice_uniform, smooth_noise


def test_lattice_numbers_are_uniform_and_uncorrelated_between_neighbours() -> None:
    values = lattice_uniform(5, np.arange(-200, 200), np.arange(-300, 300)).astype(float)
    assert values.min() >= 0 and values.max() < 1
    assert np.histogram(values, 10, (0, 1))[0] / values.size == pytest.approx(np.full(10, 0.1), abs=0.005)
    for a, b in ((values[1:], values[:-1]), (values[:, 1:], values[:, :-1]), (values[1:, 1:], values[:-1, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


def test_lattice_normal_has_mean_zero_and_variance_one() -> None:
    values = lattice_normal(9, np.arange(500), np.arange(500))
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("sigma_px", [1.0, 2.2, 5.0, 17.0])
def test_smooth_noise_has_the_stated_variance_and_autocorrelation(sigma_px: float) -> None:
    size = 512 if sigma_px < 10 else 2048
    field = smooth_noise(3, Box(-100, 40, size, size), sigma_px).astype(float)
    lag = round(2 * sigma_px)
    found = np.mean(field[:, lag:] * field[:, :-lag]) / np.mean(field**2)
    assert np.mean(field**2) == pytest.approx(1, abs=0.08)
    assert found == pytest.approx(np.exp(-(lag**2) / (4 * sigma_px**2)), abs=0.06)


def test_trend_stays_between_its_bounds_and_comes_near_both() -> None:
    trend = Trend(0.28, 0.42, (1000, 6000), seed=2)
    values = trend(np.arange(0, 1000, 50)[:, None], np.arange(0, 6000, 20)[None, :])
    assert values.min() >= 0.28 and values.max() <= 0.42
    assert np.ptp(values) > 0.9 * 0.14
    assert np.abs(np.diff(values, axis=1)).max() < 0.01 * 0.14 * 3
