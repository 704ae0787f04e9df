"""Profiles against a property table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cemi_analyze import PearsonRelation
from cemi_analyze.relation.pearson import PearsonSettings, profile_at
from cemi_core.errors import InputError
from cemi_core.model.result import Profile, PropertyTable

X = np.linspace(50, 4950, 50)


def profile(value, name="bcc_fraction") -> Profile:
    value = np.asarray(value, np.float64)
    return Profile(name, name, "1", X, value, value - 0.01, value + 0.01, np.full(len(X), 4))


def rough(seed):
    return np.random.default_rng(seed).standard_normal(50)


def test_the_strongest_relation_comes_first_and_holds_its_points():
    quantity = rough(0)
    table = PropertyTable("hardness", X[::2], 500 + 30 * quantity[::2])
    first, second, both = PearsonRelation().relate([profile(rough(1), "other"), profile(quantity)], table)
    assert (first.quantity, second.quantity) == ("bcc_fraction", "other")
    assert first.r == pytest.approx(1)
    assert first.n == 25
    np.testing.assert_allclose(first.quantity_values, quantity[::2])
    assert both.quantities == ("other", "bcc_fraction")
    assert both.r == pytest.approx(1)
    assert both.q2 == pytest.approx(1)


def test_the_property_may_lie_between_the_columns():
    line = profile(X * 2)
    np.testing.assert_allclose(profile_at(line, np.array([123.4, 4000.0])), [246.8, 8000])
    assert np.isnan(profile_at(line, np.array([-100.0, 6000.0]))).all()


def test_few_points_are_said_to_prove_nothing():
    table = PropertyTable("hardness", X[[5, 20, 40]], np.array([1.0, 2, 3]))
    (relation,) = PearsonRelation().relate([profile(rough(0))], table)
    assert any("only 3 points" in note for note in relation.notes)
    assert relation.low == -1
    assert relation.high == 1


def test_smooth_curves_with_few_independent_points_are_said_to_prove_nothing():
    table = PropertyTable("hardness", X, np.cos(X / 2500))
    (relation,) = PearsonRelation().relate([profile(np.sin(X / 2500))], table)
    assert relation.n_effective < 5
    assert any("independent" in note for note in relation.notes)


def test_positions_outside_are_left_out_and_counted():
    table = PropertyTable("hardness", np.append(X, [9000.0, 9100.0]), np.append(rough(3), [0, 0]))
    (relation,) = PearsonRelation().relate([profile(rough(0))], table)
    assert relation.n == 50
    assert any(note.startswith("2 position(s)") for note in relation.notes)


def test_millimetres_taken_for_micrometres_are_refused_with_a_hint():
    with pytest.raises(InputError, match="unit"):
        PearsonRelation().relate([profile(rough(0))], PropertyTable("hardness", X / 1000, rough(1)))


def test_positions_and_values_of_different_number_are_refused():
    with pytest.raises(InputError, match="one value per position"):
        PearsonRelation().relate([profile(rough(0))], PropertyTable("hardness", X, np.zeros(3)))


def test_a_direction_is_no_amount_and_is_not_correlated():
    direction = replace(profile(X / 30, "orientation"), unit="deg")
    relations = PearsonRelation().relate([direction, profile(rough(2))], PropertyTable("hardness", X, rough(1)))
    assert [relation.quantity for relation in relations] == ["bcc_fraction"]


def test_a_quantity_that_was_not_measured_does_not_stop_the_others():
    table = PropertyTable("hardness", X, rough(2))
    first, second = PearsonRelation().relate([profile(np.full(50, np.nan), "empty"), profile(rough(2))], table)
    assert first.quantity == "bcc_fraction"
    assert np.isnan(second.r)
    assert "no correlation" in second.notes[0]


def test_surrogates_give_a_p_and_need_equal_steps():
    relation = PearsonRelation(PearsonSettings(test="surrogates", surrogates=199), seed=1)
    quantity = rough(0)
    (found,) = relation.relate([profile(quantity)], PropertyTable("hardness", X, quantity + 0.2 * rough(1)))
    assert found.p_value == pytest.approx(1 / 200)
    with pytest.raises(InputError, match="equal steps"):
        relation.relate([profile(quantity)], PropertyTable("hardness", X**2 / 5000, quantity))


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_the_correlation_does_not_depend_on_the_unit_of_the_property(size: float):
    table = PropertyTable("hardness", X, (5 + rough(0)) * size)
    relation = PearsonRelation().relate([profile(rough(0))], table)[0]
    assert relation.r == pytest.approx(1)
    assert relation.property_values == pytest.approx(table.value)


def test_a_constant_property_is_said_to_have_no_correlation():
    (relation,) = PearsonRelation().relate([profile(rough(0))], PropertyTable("hardness", X, np.full(50, 480.0)))
    assert np.isnan(relation.r)
    assert any("the property is the same everywhere" in note for note in relation.notes)
