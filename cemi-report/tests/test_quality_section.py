"""Claims about the report's section on stitching quality."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cemi_core.model.result import GridMap, Result, Table
from cemi_report.page import FinishedRun, render_report
from cemi_report.quality_section import histogram_figure, quality, quality_doubts, score_text
from cemi_report.summary import doubts, facts


def judged(score, **more):
    return Result("stitch-quality", (), (Table("summary", ("quantity", "value"), (("score", score),)),), **more)


def test_a_low_score_is_a_doubt_and_a_high_or_unknown_one_is_none():
    assert "61.2 of 100" in quality_doubts(judged(61.2))[0]
    assert not quality_doubts(judged(99.0))
    assert not quality_doubts(judged(math.nan))
    assert quality_doubts(judged(61.2))[0] in doubts(FinishedRun("r", quality=judged(61.2)))


def test_the_summary_names_the_score():
    assert any(fact.value == "97.0 of 100" for fact in facts(FinishedRun("r", quality=judged(97.0))))
    assert score_text(judged(math.nan)) == "cannot be told"


def test_bare_judgements_are_shown_without_error():
    page = render_report(FinishedRun("r", quality=judged(math.nan)))
    assert "cannot be told" in page
    assert "Weakest places" not in page


def test_every_map_and_weak_place_is_a_figure():
    value = np.array([[0.5, np.nan]])
    result = replace(
        judged(50.0, overlays={"Weak place 1": np.zeros((9, 30), np.uint8), "empty": np.zeros((0, 0), np.uint8)}),
        maps=(
            GridMap("misfit", "misfit of overlaps", "px", value, value, value),
            GridMap("agreement", "agreement", "1", value * np.nan, value, value),
        ),
    )
    shown = quality(result, None, None)
    assert [plate.title for plate in shown.plates] == ["Map of misfit of overlaps"]
    assert [plate.title for plate in shown.places] == ["Weak place 1"]


@pytest.mark.parametrize(("counts", "drawn"), [([0, 0], False), ([3, 0], True)])
def test_the_histogram_is_drawn_only_of_something(counts, drawn):
    heads = ("from_px", "to_px", "kept_pairs", "overlaps")
    table = Table("residuals", heads, ((0.0, 1.0, 0, counts[0]), (1.0, None, 0, counts[1])))
    assert (histogram_figure(table) is not None) == drawn
