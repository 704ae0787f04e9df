"""What checks of a run have found, on the page."""

from dataclasses import replace

import numpy as np

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.result import Result, Table
from cemi_report.check_section import check_doubts, checks
from cemi_report.page import render_report

HEADS = (
    "quantity", "unit", "run", "twin_found", "twin_true", "bias", "bias_low", "bias_high", "scatter", "cells_held",
    "cells_held_low", "cells_held_high", "columns_held", "columns_held_low", "columns_held_high", "cells", "columns",
    "sentence",
)  # fmt: skip


def twin(held=0.95, high=0.98):
    row = ("Share <b>", "1", 0.3, 0.32, 0.3, 0.02, 0.01, 0.03, 0.04, held, held - 0.05, high, 0.9, 0.8, 1.0, 50, 10)
    cells = tuple(("Share <b>", "1", t, t + 0.02, t - 0.1, t + 0.1) for t in np.linspace(0.2, 0.4, 9).tolist())
    tables = (
        Table("quantities", HEADS, ((*row, "it errs by <i>+0.02</i>"),)),
        Table("cautions", ("caution",), (("unlike & odd",),)),
        Table("cells", ("quantity", "unit", "true", "found", "low", "high"), cells),
    )
    return Result("twin", (), tables, {"pair": np.zeros((8, 16), np.uint8)}, ("a note",))


def a_run(*trust):
    return FinishedRun(title="t", created="", frames=[], dropped=[], trust=trust)


def test_the_page_shows_sentences_numbers_and_cautions_and_escapes_them():
    page = render_report(a_run(twin()))
    assert "How far to trust these numbers" in page
    assert "it errs by &lt;i&gt;+0.02&lt;/i&gt;" in page and "<i>" not in page
    assert "+0.020 (+0.010 to +0.030)" in page
    assert "unlike &amp; odd" in page


def test_intervals_that_hold_too_seldom_stand_at_the_top():
    assert check_doubts(a_run(twin())) == []
    (doubt,) = check_doubts(a_run(twin(0.4, 0.5)))
    assert "40" in doubt


def test_a_check_of_an_unknown_kind_is_shown_with_its_tables():
    odd = replace(twin(), analyzer="else")
    (shown,) = checks(a_run(odd))
    assert shown.title == "else" and len(shown.tables) == 3 and shown.notes == ("a note",)
