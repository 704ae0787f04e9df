from __future__ import annotations

import numpy as np
import pytest

from cemi_core.model.mosaic import Box
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.random_field import lattice_normal, lattice_uniform, number_uniform, smooth_noise


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


def test_numbers_drawn_for_whole_numbers_are_uniform_and_uncorrelated_between_neighbours() -> None:
    numbers = object_numbers(np.arange(-200, 200)[:, None], np.arange(-300, 300)[None, :], 5)
    values = number_uniform(3, numbers).astype(float)
    assert np.histogram(values, 10, (0, 1))[0] / values.size == pytest.approx(np.full(10, 0.1), abs=0.005)
    for a, b in ((values[1:], values[:-1]), (values[:, 1:], values[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


def test_object_numbers_are_different_positive_and_exact_in_float64() -> None:
    node = np.array([-30000, -1, 0, 1, 30000])
    numbers = object_numbers(node[:, None, None], node[None, :, None], np.arange(3) * 400000, 20)
    assert len(np.unique(numbers)) == numbers.size
    assert numbers.min() > 0
    np.testing.assert_array_equal(numbers.astype(np.float64).astype(np.int64), numbers)
