"""Scale bars have round lengths of a tenth to a quarter of the picture."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.model.scale_bar import nice_scale_bar
from cemi_core.model.units import parse_length_um


@given(st.floats(1e-4, 1e7))
def test_any_picture_gets_a_bar_of_one_two_or_five_between_a_tenth_and_a_quarter_of_it(width_um):
    length_um, text = nice_scale_bar(width_um)
    assert width_um / 10 * (1 - 1e-6) <= length_um <= width_um / 4 * (1 + 1e-6)
    leading = length_um / 10 ** math.floor(math.log10(length_um) + 1e-9)
    assert any(leading == pytest.approx(step) for step in (1, 2, 5))
    assert parse_length_um(text) == pytest.approx(length_um, rel=1e-6)


@pytest.mark.parametrize(
    ("width_um", "text"), [(225.0, "50 µm"), (27_455.0, "5 mm"), (4.0, "1 µm"), (3.0, "500 nm"), (80_000.0, "2 cm")]
)
def test_the_text_is_in_the_unit_that_reads_best(width_um, text):
    assert nice_scale_bar(width_um)[1] == text


@pytest.mark.parametrize("width_um", [0.0, -1.0, float("nan"), float("inf")])
def test_a_picture_without_width_has_no_bar(width_um):
    with pytest.raises(ValueError, match="positive"):
        nice_scale_bar(width_um)
