"""Quantities tried one after another and together: chance, scatter and smoothness are allowed for."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import PearsonRelation
from cemi_analyze.relation.attenuation import ceiling_of, reliability
from cemi_analyze.relation.correlation import Correlation, curves_p_value, of_ranks, without
from cemi_analyze.relation.covariance import drawn_curves, fitted_covariances
from cemi_analyze.relation.pearson import PearsonSettings
from cemi_analyze.relation.together import judge_together
from cemi_core.errors import InputError
from cemi_core.model.result import Profile, PropertyTable
from cemi_core.numeric.significance import fisher_interval

X = np.linspace(0, 6000, 61)


def profile(value, name: str = "q0", error: float = 0.1) -> Profile:
    return Profile(name, name, "1", X, value, value - 1.96 * error, value + 1.96 * error, np.ones(61, np.int64))


def smooth(rng, reach_um: float, many: int):
    """Curves of variance 1 that are alike over a length."""
    likeness = np.exp(-(((X[:, None] - X) / reach_um) ** 2)) + 1e-9 * np.eye(61)
    return rng.standard_normal((many, 61)) @ np.linalg.cholesky(likeness).T


def relate(values, other, **settings):
    profiles = [profile(value, f"q{n}") for n, value in enumerate(values)]
    return PearsonRelation(PearsonSettings(surrogates=199, **settings)).relate(profiles, PropertyTable("hv", X, other))


def test_the_covariance_of_a_curve_has_its_length_and_noise_has_none():
    rng = np.random.default_rng(0)
    lengths = [fitted_covariances(X, curve).length for curve in smooth(rng, 600.0, 20)]
    assert np.median(lengths) == pytest.approx(600, rel=0.35)
    assert np.median([fitted_covariances(X, rng.standard_normal(61)).length for _ in range(20)]) < 150


def test_drawn_curves_are_as_smooth_as_the_one_they_follow():
    rng = np.random.default_rng(1)
    (curve,) = smooth(rng, 600.0, 1)
    curves = drawn_curves(fitted_covariances(X, curve), 200, rng)
    steps = np.diff(curves, axis=1).std() / curves.std()
    assert steps == pytest.approx(np.diff(curve).std() / curve.std(), rel=0.5)


def test_smooth_noise_explains_smooth_noise_in_few_cases_and_never_without_both_tests():
    rng = np.random.default_rng(2)
    found = [judge_together(x.T, y, fitted_covariances(X, y), rng, 199) for *q, y in
             (smooth(rng, 600.0, 4) for _ in range(60)) for x in [np.array(q)]]  # fmt: skip
    assert np.mean([each.explains for each in found]) <= 0.1
    assert np.mean([each.r2 > 0.3 for each in found]) > 0.3
    assert all(each.q2 > 0 and each.p_value < 0.05 for each in found if each.explains)


def test_what_two_quantities_explain_is_said_with_their_names():
    rng = np.random.default_rng(3)
    first, second, noise = smooth(rng, 120.0, 3)
    *singles, both = relate([first, second], first - second + 0.4 * noise)
    assert both.quantities == ("q0", "q1")
    assert both.verdict.startswith("q0 and q1 explain hv: ")
    assert both.q2 > 0.7
    assert all(single.p_holm >= single.p_value for single in singles)


def test_a_property_too_smooth_to_leave_neighbours_out_is_not_explained():
    rng = np.random.default_rng(4)
    *_, both = relate(smooth(rng, 3000.0, 2), X**2)
    assert "not explain" in both.verdict
    assert np.isnan(both.q2)


def test_a_quantity_in_another_size_counts_once_and_unknown_names_are_refused():
    rng = np.random.default_rng(5)
    first, other = smooth(rng, 100.0, 2)
    *_, both = relate([first, 3 * first + 1], other)
    assert both.quantities == ("q0",)
    assert any("q1 is q0 in another size" in note for note in both.notes)
    with pytest.raises(InputError, match="'together' names 'nowhere', which was not measured; known are q0"):
        relate([first], other, together=[["q0", "nowhere"]])
    with pytest.raises(InputError, match="without quantities"):
        relate([first], other, together=[[]])


def test_holm_and_false_discovery_are_those_of_four_p_values_by_hand():
    rng = np.random.default_rng(6)
    singles = [each for each in relate(smooth(rng, 50.0, 4), rng.standard_normal(61)) if not each.quantities]
    p = np.sort([each.p_value for each in singles])
    by_holm = np.minimum(np.maximum.accumulate(p * [4, 3, 2, 1]), 1)
    by_fdr = np.minimum(np.minimum.accumulate((p * 4 / np.arange(1, 5))[::-1])[::-1], 1)
    np.testing.assert_allclose(np.sort([each.p_holm for each in singles]), by_holm)
    np.testing.assert_allclose(np.sort([each.p_fdr for each in singles]), by_fdr)


def test_scatter_of_both_sides_is_corrected_for():
    rng = np.random.default_rng(7)
    found = []
    for _ in range(30):
        true, noise = smooth(rng, 100.0, 2)
        other = 0.63 * true + np.sqrt(1 - 0.63**2) * noise
        repeated = PropertyTable("hv", np.repeat(X, 3), np.repeat(other, 3) + rng.normal(0, 1.0, 183))
        seen = profile(true + rng.normal(0, 0.5, 61), error=0.5)
        (one,) = PearsonRelation().relate([seen], repeated)
        found.append((one.r, one.ceiling, one.disattenuated, one.disattenuated_low <= 0.63 <= one.disattenuated_high))
    r, ceiling, corrected, held = np.mean(found, axis=0)
    assert r < 0.55
    assert ceiling == pytest.approx(1 / np.sqrt(1.25 * (1 + 1 / 3)), abs=0.03)
    assert corrected == pytest.approx(0.63, abs=0.06)
    assert held > 0.85


def test_reliability_is_unknown_without_errors_and_zero_of_pure_scatter():
    values = np.random.default_rng(8).standard_normal(200)
    assert np.isnan(reliability(values, np.full(200, np.nan)))
    assert reliability(values, np.full(200, 3.0)) == 0
    assert np.isnan(ceiling_of(0.5, 0.1, 0.7, (np.nan, np.nan)).value)
    mostly_scatter = ceiling_of(0.1, -0.2, 0.4, (0.05, 1.0))
    assert np.isnan(mostly_scatter.r)
    assert mostly_scatter.value == pytest.approx(np.sqrt(0.05))


def test_ranks_see_a_bent_relation_as_perfect_and_have_a_wider_interval():
    value = np.random.default_rng(9).standard_normal(61)
    (rho,), (r,) = (relate([value], np.exp(3 * value), measure=measure) for measure in ("spearman", "pearson"))
    assert (rho.measure, rho.r) == ("rho", pytest.approx(1))
    assert r.r < 0.9
    found = Correlation(0.6, *fisher_interval(0.6, 20.0), 0.005, 20.0)
    assert of_ranks(found).low < found.low
    assert of_ranks(found).high > found.high


def test_a_relation_that_is_only_a_common_trend_vanishes_when_x_is_held_fixed():
    rng = np.random.default_rng(10)
    plain, partial = [], []
    for one, other in rng.standard_normal((12, 2, 61)) + 4 * X / 6000:
        plain += relate([one], other)
        partial += relate([one], other, given="x")
    assert min(relation.r for relation in plain) > 0.4
    assert abs(np.mean([relation.r for relation in partial])) < 0.12
    assert partial[0].measure == "partial r"
    with pytest.raises(InputError, match="'given: nowhere' was not measured; known are x, q0"):
        relate([one], other, given="nowhere")
    np.testing.assert_array_equal(without(X, 2 * X + 1), np.zeros(61))


def test_curves_of_the_covariance_judge_smooth_noise_and_a_planted_relation():
    rng = np.random.default_rng(11)
    p = []
    for _ in range(60):
        x, y = smooth(rng, 600.0, 2)
        p.append(curves_p_value(fitted_covariances(X, y), x, y, draws=199))
    assert np.mean(np.array(p) < 0.05) <= 0.12
    x, y = smooth(rng, 120.0, 2)
    (planted,) = relate([x], x + 0.3 * y, test="curves")
    assert planted.p_value == pytest.approx(1 / 200)
    assert any("199 curves drawn" in note for note in planted.notes)
