"""Intervals hold what they promise; smooth profiles do not look related when they are not."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze.relation.correlation import (
    correlate,
    effective_sample_size,
    shift_p_value,
)
from cemi_analyze.relation.covariance import distances
from cemi_analyze.relation.together import least_squares, left_out_predictions, r2_of_lines
from cemi_analyze.uncertainty.intervals import block_bootstrap, e562_interval, spatial_mean_interval
from cemi_core.numeric.significance import p_value, pearson_r


def covered(make, trials: int, truth: float, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    intervals = [make(rng) for _ in range(trials)]
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def test_e562_intervals_of_independent_fields_hold_the_mean_in_95_percent_of_cases():
    assert 0.93 < covered(lambda rng: e562_interval(rng.normal(3, 1, 12)), 1500, 3.0) < 0.97


def test_e562_intervals_of_weighted_fields_hold_the_mean_in_about_95_percent_of_cases():
    weights = np.array([1, 1, 2, 3, 1, 4, 1, 2, 1, 1.0])
    make = lambda rng: e562_interval(rng.normal(3, 1 / np.sqrt(weights)), weights)  # noqa: E731
    assert 0.92 < covered(make, 1000, 3.0) < 0.99


def alike(rng, reach: float):
    """Fields of 4 x 4 blocks of a field with neighbours alike."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(rng.standard_normal((40, 40)), reach)[18:22, 18:22] * 2 * np.sqrt(np.pi) * reach


def test_neighbours_that_are_alike_do_not_count_as_independent():
    plain = covered(lambda rng: e562_interval(alike(rng, 0.8)), 800, 0.0)
    spatial = covered(lambda rng: spatial_mean_interval(alike(rng, 0.8)), 800, 0.0)
    assert plain < 0.85
    assert spatial > plain + 0.05


def test_independent_blocks_keep_their_coverage():
    assert 0.92 < covered(lambda rng: spatial_mean_interval(rng.standard_normal((4, 4))), 1000, 0.0) <= 0.985


def test_block_bootstrap_holds_the_mean_somewhat_too_seldom_but_often():
    make = lambda rng: block_bootstrap(rng.normal(0, 1, 16), np.mean, draws=200)  # noqa: E731
    assert 0.86 < covered(make, 250, 0.0) < 0.97


def test_one_field_says_nothing_about_its_scatter():
    interval = e562_interval([0.4])
    assert interval.value == 0.4
    assert interval.low == -np.inf
    assert np.isnan(e562_interval([np.nan]).value)


def smooth(rng, n: int, reach: float):
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(rng.standard_normal(n + 400), reach)[200 : 200 + n]


@pytest.mark.parametrize(("n", "reach"), [(22, 1.0), (60, 3.0)])
def test_independent_smooth_profiles_come_out_related_in_about_5_percent_of_cases(n, reach):
    rng = np.random.default_rng(0)
    position = np.arange(n, dtype=float)
    pairs = [(smooth(rng, n, reach), smooth(rng, n, reach)) for _ in range(300)]
    naive = np.mean([p_value(pearson_r(x, y), n) < 0.05 for x, y in pairs])
    judged = np.mean([correlate(position, x, y).p_value < 0.05 for x, y in pairs])
    assert naive > 0.15
    assert 0.02 <= judged <= 0.09


def test_a_planted_relation_of_smooth_profiles_is_found_with_its_interval():
    rng = np.random.default_rng(1)
    position = np.arange(40, dtype=float)
    x = smooth(rng, 40, 1.2)
    found = correlate(position, x, x + 0.3 * x.std() * rng.standard_normal(40))
    assert found.p_value < 0.001
    assert found.low < found.r < found.high
    assert found.low > 0.7


def test_the_effective_number_falls_with_smoothness():
    rng = np.random.default_rng(2)
    position = np.arange(60, dtype=float)
    numbers = [
        np.median([effective_sample_size(position, smooth(rng, 60, r), smooth(rng, 60, r)) for _ in range(15)])
        for r in (0.3, 2, 6)
    ]
    assert numbers[0] > 45 > numbers[1] > numbers[2]


def test_surrogates_judge_independent_smooth_profiles_less_often_related_than_the_naive_test():
    rng = np.random.default_rng(3)
    pairs = [(smooth(rng, 64, 2.0), smooth(rng, 64, 2.0)) for _ in range(120)]
    naive = np.mean([p_value(pearson_r(x, y), 64) < 0.05 for x, y in pairs])
    assert np.mean([shift_p_value(x, y, draws=199) < 0.05 for x, y in pairs]) < 0.6 * naive


def test_four_features_fit_pure_noise_but_do_not_predict_it():
    rng = np.random.default_rng(4)
    apart, q2, r2 = distances(np.arange(15.0)), [], []
    for _ in range(200):
        x, y = rng.standard_normal((15, 4)), rng.standard_normal(15)
        predicted = left_out_predictions(x, y, apart, 0.0, least_squares)
        q2.append(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))
        r2.append(r2_of_lines(x, y[None])[0])
    assert np.quantile(r2, 0.95) > 0.5
    assert np.median(q2) < 0


def test_a_point_is_predicted_from_the_points_that_are_farther_away_than_is_left_out():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((12, 2)), rng.standard_normal(12)
    predicted = left_out_predictions(x, y, distances(np.arange(12.0)), 2.0, least_squares)
    far = np.abs(np.arange(12) - 6) > 2
    fit, *_ = np.linalg.lstsq(np.column_stack([np.ones(far.sum()), x[far]]), y[far], rcond=None)
    assert predicted[6] == pytest.approx(np.r_[1, x[6]] @ fit)
