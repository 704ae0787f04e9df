"""How sure a correlation is, against scipy.stats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cemi_core.numeric.significance import (
    NORMAL_975,
    correlation_at,
    fisher_interval,
    fisher_z,
    p_value,
    pearson_r,
    significance,
)


@given(st.integers(0, 10_000), st.integers(4, 40))
def test_r_p_and_interval_of_independent_points_are_those_of_scipy(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(count)
    y = x + rng.uniform(0.2, 3) * rng.standard_normal(count)
    oracle = stats.pearsonr(x, y)
    r = pearson_r(x, y)
    assert r == pytest.approx(oracle.statistic, abs=1e-12)
    assert p_value(r, count) == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-12)
    assert fisher_interval(r, count) == pytest.approx(tuple(oracle.confidence_interval(0.95)), abs=1e-6)


@given(st.floats(-0.99, 0.99), st.floats(3.5, 300))
def test_p_with_a_broken_number_of_points_is_that_of_students_t(r: float, n_effective: float) -> None:
    freedom = n_effective - 2
    t = abs(r) * math.sqrt(freedom / (1 - r * r))
    assert p_value(r, n_effective) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-6, abs=1e-12)


@given(st.floats(-0.99, 0.99), st.floats(3.5, 500))
def test_intervals_hold_r_and_shrink_with_the_number_of_points(r: float, n_effective: float) -> None:
    low, high = fisher_interval(r, n_effective)
    wider = fisher_interval(r, 0.5 * (n_effective + 3))
    assert -1 <= low <= r <= high <= 1
    assert high - low <= wider[1] - wider[0] + 1e-9


def test_the_quantile_of_the_normal_distribution_is_scipys() -> None:
    assert pytest.approx(stats.norm.ppf(0.975), abs=1e-6) == NORMAL_975


def test_points_that_always_lie_on_a_line_say_nothing() -> None:
    assert p_value(0.9, 2) == 1.0
    assert fisher_interval(0.9, 3) == (-1.0, 1.0)
    assert math.isnan(p_value(math.nan, 9)) and math.isnan(pearson_r(np.ones(4), np.arange(4.0)))


@given(st.floats(-0.999, 0.999), st.floats(10, 1e6))
def test_correlation_at_undoes_significance(r: float, pixels: float) -> None:
    assert correlation_at(float(significance(r, pixels)), pixels) == pytest.approx(r, abs=1e-6)


def test_significance_of_independent_pixels_has_unit_variance_whatever_their_number() -> None:
    rng = np.random.default_rng(0)
    for pixels in (100, 1600):
        a, b = rng.standard_normal((2, 2000, pixels))
        found = significance(np.array([pearson_r(x, y) for x, y in zip(a, b, strict=True)]), float(pixels))
        assert stats.kstest(found * math.sqrt((pixels - 3) / pixels), "norm").pvalue > 0.01


@pytest.mark.parametrize(("r", "limit"), [(1.0, 0.9999), (-1.0, 0.999), (0.4, 0.999)])
def test_fishers_z_is_limited(r: float, limit: float) -> None:
    assert fisher_z(r, limit) == pytest.approx(math.copysign(math.atanh(min(abs(r), limit)), r))
