"""Words and numbers of the summary: right, and no more certain than the data."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.model.result import GridMap
from cemi_report.numbers import column_text, fixed, p_value_text, value_text, with_unit
from cemi_report.reasons import group_by_reason, pair_residuals_px
from cemi_report.summary import doubts, map_mean, strongest


def as_map(value: np.ndarray) -> GridMap:
    return GridMap("a", "A", "1", value, value - 0.1, value + 0.1)


def test_the_interval_of_a_map_mean_covers_the_truth_of_correlated_cells():
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(300):
        smooth = np.repeat(rng.normal(0, 1, (1, 60)), 4, axis=1) + rng.normal(0, 0.2, (10, 240))
        mean = map_mean(as_map(smooth))
        covered += mean.low <= 0 <= mean.high
        half = 1.96 * smooth.std() / np.sqrt(smooth.size)
        naive += abs(smooth.mean()) <= half
    assert covered / 300 > 0.90
    assert naive / 300 < 0.6


def test_a_map_mean_leaves_out_cells_that_could_not_be_measured():
    value = np.array([[1.0, np.nan, 3.0], [1.0, np.nan, 3.0]])
    mean = map_mean(as_map(value))
    assert (mean.value, mean.measured, mean.cells) == (2.0, 4, 6)
    assert mean.low < 2 < mean.high


def test_a_single_cell_keeps_its_own_interval_and_none_is_nan():
    mean = map_mean(as_map(np.array([[0.4]])))
    assert (mean.low, mean.high) == pytest.approx((0.3, 0.5))
    assert np.isnan(map_mean(as_map(np.full((2, 2), np.nan))).value)


def test_a_mean_direction_does_not_depend_on_where_angles_start_to_count():
    rng = np.random.default_rng(0)
    scatter = rng.normal(0, 8, (4, 40))
    for planted in (0, 60, 90, 175):
        turned = (planted + scatter) % 180
        mean = map_mean(GridMap("a", "A", "deg", turned, turned, turned))
        assert abs((mean.value - planted + 90) % 180 - 90) < 2
        assert mean.high - mean.low < 8


def test_planted_shift_errors_come_out_as_residuals(make_report_data):
    layout = make_report_data(rows=2, columns=3, cells=(3, 5)).layout
    planted = tuple(
        replace(p, shift_px=tuple(layout.positions_px[p.second] - layout.positions_px[p.first] + (3.0, 4.0)))
        for p in layout.pairs
    )
    assert pair_residuals_px(replace(layout, pairs=planted)) == pytest.approx(np.full(len(planted), 5.0))


def test_the_strongest_relation_is_the_one_farthest_from_zero_and_nan_never_wins(make_report_data):
    weak, strong = make_report_data(rows=2, columns=3, cells=(3, 5)).relations[::-1]
    assert strongest((weak, strong)) is strong
    assert strongest((replace(strong, r=float("nan")), weak)) is weak
    assert strongest((replace(strong, r=float("nan")),)) is None


def test_doubts_name_what_the_data_gives_away(make_report_data):
    data = make_report_data(rows=2, columns=3, cells=(3, 5))
    far = tuple(replace(p, shift_px=(p.shift_px[0] + 3, p.shift_px[1]), kept=True) for p in data.layout.pairs)
    layout = replace(data.layout, pairs=far)
    weak = replace(data.relations[0], r=0.3, low=-0.2, high=0.7)
    text = " ".join(doubts(replace(data, layout=layout, relations=[weak], warnings=["own", "own"])))
    assert text.count("own ") == 1
    assert "placed by the stage motion alone" in text
    assert re.search(r"median residual of the pairs is (2\.[5-9]|3\.[0-5]) px", text)
    assert "No relation to hardness (HV) is established" in text


def test_a_sound_run_raises_no_doubt(make_report_data):
    data = make_report_data(rows=2, columns=3, cells=(3, 5), warnings=())
    layout = replace(data.layout, placed_by_prior=np.zeros(6, bool), component=np.zeros(6, int))
    layout = replace(layout, pairs=tuple(replace(p, kept=True, reason="") for p in layout.pairs))
    assert doubts(replace(data, layout=layout, relations=data.relations[:1])) == []


def test_reasons_that_differ_in_their_numbers_count_as_one():
    reasons = ["quality 0.12 below 0.30", "black", "quality 0.08 below 0.30", "quality 1e-3 below 0.30", ""]
    groups = group_by_reason((reason, n) for n, reason in enumerate(reasons))
    assert [(g.reason, g.items) for g in groups] == [
        ("quality … below …", (0, 2, 3)),
        ("black", (1,)),
        ("no reason given", (4,)),
    ]


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (0.34519, 0.3312, 0.3592, "1", "0.345 (0.331 to 0.359)"),
        (0.6049, 0.55, 0.65, "um", "0.60 µm (0.55 to 0.65 µm)"),
        (512.3, 480.0, 545.0, "HV", "512 HV (480 to 545 HV)"),
        (45.2, float("nan"), float("nan"), "deg", "45.2 ° (interval unknown)"),
        (float("nan"), 0.0, 1.0, "um", "not measured"),
        (2.0, 2.0, 2.0, "um", "2.000 µm (2.000 to 2.000 µm)"),
    ],
)
def test_a_value_has_as_many_digits_as_its_interval_supports(value, low, high, unit, text):
    assert value_text(value, low, high, unit).replace("\u202f", " ") == text


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_any_three_numbers_have_a_text(value, low, high):
    assert value_text(value, low, high, "um")
    assert fixed(value, 2)
    assert column_text([value, low, high, None])[1]


def test_numbers_of_one_column_share_their_decimals_and_words_stay_words():
    assert column_text([1.5, 22.25, float("nan"), None]) == (["1.50", "22.25", "–", "–"], True)
    assert column_text([np.int64(3), 12]) == (["3", "12"], True)
    assert column_text(["a", 2]) == (["a", "2"], False)
    assert p_value_text(0.00001) == "< 0.001" and p_value_text(0.0312) == "0.031"
    assert with_unit("3", "um2").endswith("µm2")
