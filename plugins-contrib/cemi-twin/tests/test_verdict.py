"""Bias, scatter and coverage from cells whose truth is known."""

import math

import numpy as np
import pytest

from cemi_twin.repeat import Told
from cemi_twin.verdict import trust_of


def told(rng, bias=0.03, noise=0.02, half=0.1, shape=(4, 40)):
    truth = rng.uniform(0.2, 0.5, shape)
    value = truth + bias + rng.normal(0, noise, shape)
    nothing = np.full(shape, np.nan)
    return Told("share", "Share", "1", value, value - half, value + half, nothing, truth, truth.mean(0))


def test_a_planted_bias_and_scatter_are_found():
    rng = np.random.default_rng(1)
    trust = trust_of([told(rng) for _ in range(3)], rows=4)
    assert trust.bias.low < 0.03 < trust.bias.high
    assert trust.bias.high - trust.bias.low < 0.02
    assert trust.scatter == pytest.approx(0.02, rel=0.2)
    assert trust.cells == 480 and trust.measured == 1.0


def test_the_interval_of_the_bias_holds_the_planted_one():
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        bias = trust_of([told(rng, shape=(3, 12)) for _ in range(2)], rows=3).bias
        held += bias.low <= 0.03 <= bias.high
    assert 0.90 <= held / 200 <= 0.99


def test_intervals_that_are_too_narrow_hold_the_truth_too_seldom():
    rng = np.random.default_rng(2)
    narrow = trust_of([told(rng, bias=0.0, noise=0.02, half=0.01)], rows=4)
    assert narrow.held.value == pytest.approx(0.38, abs=0.1)  # P(|z| < 0.5)
    assert narrow.held.high < 0.6


def test_cells_without_a_value_are_left_out_and_without_an_interval_hold_nothing():
    rng = np.random.default_rng(3)
    one = told(rng, bias=0.0)
    one.value[:, :10] = np.nan
    one.low[:, 10:20] = one.high[:, 10:20] = np.nan
    trust = trust_of([one], rows=4)
    assert trust.cells == 120 and trust.measured == 0.75
    assert trust.held.value == pytest.approx(2 / 3, abs=0.02)


def test_nothing_measured_is_unknown_and_no_error():
    one = told(np.random.default_rng(4))
    one.value[:] = np.nan
    trust = trust_of([one], rows=4)
    assert trust.cells == 0 and math.isnan(trust.bias.value) and math.isnan(trust.held.value)
