"""Claims about the report's section on what denoisers may have invented."""

import numpy as np

from cemi_core.model.result import Result, Table
from cemi_report.denoising_section import denoising, denoising_doubts
from cemi_report.page import FinishedRun, render_report
from cemi_report.summary import doubts

HEADS = ("quantity", "value", "limit", "verdict")


def judged(*rows, **more):
    return Result("nlm on frames", (), (Table("summary", HEADS, rows),), **more)


GOOD = ("pattern", 0.05, 0.15, "good")
BAD = ("share of overlaps", 0.031, 0.01, "doubtful: detail was invented")


def test_a_doubtful_check_stands_at_the_top_of_the_report_and_a_good_one_does_not():
    assert denoising_doubts(judged(GOOD)) == []
    (said,) = denoising_doubts(judged(GOOD, BAD))
    assert said == (
        "Denoising with nlm on frames: detail was invented (share of overlaps: 0.0310, good is at most 0.0100; "
        "see Denoising)."
    )
    assert said in doubts(FinishedRun("r", denoising=[judged(GOOD, BAD)]))


def test_the_verdict_counts_the_doubtful_checks():
    assert denoising(judged(GOOD)).verdict == "None of 1 checks is doubtful."
    assert denoising(judged(GOOD, BAD)).verdict == "1 of 2 checks are doubtful."
    assert denoising(judged()).verdict == "The denoising could not be judged."


def test_the_limit_says_which_side_is_good_and_the_table_what_its_columns_are():
    sides = [
        ("a", -0.1, -0.2, "good"),
        ("b", -0.3, -0.2, "doubtful: x"),
        GOOD,
        BAD,
        ("c", 0.15, 0.15, "good"),
        ("d", 1, 0.5, ""),
    ]
    table = denoising(judged(*sides)).summary
    assert [row[2] for row in table.rows] == [
        "at least \u22120.20",
        "at least \u22120.20",
        "at most 0.15",
        "at most 0.0100",
        "at most 0.15",
        "0.50",
    ]
    page = render_report(FinishedRun("r", denoising=[judged(GOOD)]))
    for column in table.heads:
        assert f"{column.capitalize()}:" in page


def test_numbers_limits_notes_pictures_and_lists_are_on_the_page():
    frames = Table("frames", ("frame", "at_edges"), (("a<b>.tif", 1.25),))
    result = judged(GOOD, BAD, notes=("A note.",), overlays={"Worst place": np.zeros((9, 30, 3), np.uint8)})
    result = Result(result.analyzer, (), (*result.tables, frames), result.overlays, result.notes)
    page = render_report(FinishedRun("r", denoising=[result]))
    for text in ("nlm on frames", "0.0310", "A note.", "Worst place", "Frames (1)", "at edges", "a&lt;b&gt;.tif"):
        assert text in page


def test_without_a_judgement_there_is_no_section():
    assert 'id="denoising"' not in render_report(FinishedRun("r"))
