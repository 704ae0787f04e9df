"""A number shows the digits that its uncertainty supports, and no more."""

import pytest

from cemi_core.numeric.digits import decimals_for, interval_decimals


@pytest.mark.parametrize(
    ("half_width", "decimals"), [(0.0123, 3), (0.39, 2), (0.4, 1), (0.041, 2), (25.0, 0), (640.0, 0), (1e-9, 6)]
)
def test_an_interval_shows_two_digits_of_its_half_width_if_they_start_with_1_to_3_else_one(half_width, decimals):
    assert interval_decimals(half_width) == decimals


@pytest.mark.parametrize("unknown", [0.0, -1.0, float("nan"), float("inf")])
def test_without_an_uncertainty_there_are_three_decimals(unknown):
    assert decimals_for(unknown) == interval_decimals(unknown) == 3
