"""Claims about lengths: a unit is needed, and writing and reading agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.errors import UsageError
from cemi_core.model.units import format_length, parse_length_um


@pytest.mark.parametrize(
    ("text", "um"),
    [("222 nm", 0.222), ("2.75cm", 27500), ("1e-3 mm", 1), ("0.1 µm", 0.1), ("0.1 μm", 0.1), (" .5 um ", 0.5)],
)
def test_lengths_with_units_are_read(text, um):
    assert parse_length_um(text) == pytest.approx(um)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (222, "needs a unit"),
        (0.1, "needs a unit"),
        ("222", "not a length"),
        ("222 furlong", "unknown unit 'furlong'"),
        ("nm", "not a length"),
        (None, "not a length"),
        (True, "not a length"),
        ("1e999 nm", "not a finite"),
        ("1 2 nm", "not a length"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(text, said):
    with pytest.raises(UsageError, match=said):
        parse_length_um(text)


@given(st.floats(min_value=1e-4, max_value=1e6))
def test_a_formatted_length_reads_back_to_four_digits(um):
    assert parse_length_um(format_length(um)) == pytest.approx(um, rel=2e-3)
