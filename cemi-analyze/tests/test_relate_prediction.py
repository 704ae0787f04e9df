"""Intervals of predictions hold what the model has not seen, and predictions of noise are called so."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze.relation.conformal import blocks_along, jackknife_plus, split_conformal
from cemi_analyze.relation.prediction import ForestSettings, LinearSettings, PredictionRelation
from cemi_analyze.relation.together import least_squares
from cemi_core.errors import InputError
from cemi_core.model.result import Profile, PropertyTable

X = np.linspace(0, 6000, 61)
FEW_TREES = ForestSettings(trees=10, surrogates=39, blocks=4, interval="split")


def profile(value, name: str) -> Profile:
    return Profile(name, name, "1", X, value, value - 0.1, value + 0.1, np.ones(61, np.int64))


def relate(settings, quantities, values, points: int = 61):
    profiles = [profile(value, f"q{n}") for n, value in enumerate(quantities)]
    at = np.linspace(0, 60, points).round().astype(int)
    return PredictionRelation(settings).relate(profiles, PropertyTable("hv", X[at], values[at]))


def test_blocks_are_runs_of_neighbours_of_equal_number():
    block = blocks_along(np.array([5.0, 1.0, 3.0, 2.0, 4.0, 0.0]), 3)
    assert block.tolist() == [2, 0, 1, 1, 2, 0]


@pytest.mark.parametrize("make_interval", [jackknife_plus, split_conformal])
def test_intervals_hold_the_share_of_unseen_values_that_was_asked_for(make_interval):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(40):
        x = rng.standard_normal((40, 2))
        y = x @ [1.0, -0.5] + rng.standard_t(3, 40)
        found = make_interval(x, y, blocks_along(np.arange(40.0), 10), 0.8, least_squares)
        held.append(np.mean((found.low <= y) & (y <= found.high)))
    assert 0.75 <= np.mean(held) <= 0.9


def test_too_few_values_for_the_coverage_have_an_infinite_interval():
    x, y = np.random.default_rng(1).standard_normal((2, 8))
    found = jackknife_plus(x[:, None], y, blocks_along(np.arange(8.0), 8), 0.95, least_squares)
    assert np.isinf(found.high).all()


def test_a_line_predicts_new_places_within_its_stated_interval_and_says_its_slopes():
    rng = np.random.default_rng(2)
    first, second, noise = rng.standard_normal((3, 61))
    (found,) = relate(LinearSettings(), [first, second], 500 + 20 * first + 5 * noise)
    assert "explain hv" in found.verdict
    assert 5 < np.median(found.quantity_half) < 14
    assert np.mean(np.abs(found.property_values - found.quantity_values) <= found.quantity_half) >= 0.85
    assert any("+20" in note or "+19" in note or "+21" in note for note in found.notes if "by q0" in note)


def test_a_forest_predicts_what_no_line_can_and_does_not_explain_noise():
    rng = np.random.default_rng(3)
    bent, other, noise = rng.standard_normal((3, 61))
    settings = FEW_TREES.model_copy(update={"together": [["q0"]]})
    (by_line,) = relate(LinearSettings(together=[["q0"]]), [bent, other], np.abs(bent))
    (by_trees,) = relate(settings, [bent, other], np.abs(bent))
    assert "not explain" in by_line.verdict
    assert by_trees.verdict.startswith("q0 explains hv")
    (of_noise,) = relate(FEW_TREES, [bent, other], noise)
    assert "not explain" in of_noise.verdict


def test_fewer_than_six_places_are_refused_and_so_is_a_quantity_that_never_varies():
    value = np.random.default_rng(4).standard_normal(61)
    with pytest.raises(InputError, match="at least 6 places where all quantities were measured, and has 5"):
        relate(LinearSettings(), [value], value, points=5)
    with pytest.raises(InputError, match="no quantity varies"):
        relate(LinearSettings(), [np.full(61, 0.3)], value)


def test_few_places_for_the_coverage_have_no_interval_and_say_so():
    first, noise = np.random.default_rng(5).standard_normal((2, 61))
    (found,) = relate(LinearSettings(coverage=0.95), [first], first + noise, points=8)
    assert found.quantity_half is None
    assert any("too few for an interval that holds 95 %" in note for note in found.notes)


def test_a_property_that_is_the_same_everywhere_is_not_explained():
    (found,) = relate(LinearSettings(), [np.random.default_rng(6).standard_normal(61)], np.full(61, 480.0))
    assert np.isnan(found.r)
    assert "the same everywhere" in found.verdict
