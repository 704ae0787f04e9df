"""What the page says of relations: chance, scatter, and several quantities together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cemi_core.model.result import Relation
from cemi_report.page import render_report
from cemi_report.relation_figures import prediction_figure
from cemi_report.relation_section import relations
from cemi_report.summary import doubts, facts, strongest

EXPLAINS = "bcc_fraction and lamella_width explain hardness (HV): 40 % of its variance is predicted."


@pytest.fixture(scope="module")
def data(make_report_data):
    made = make_report_data(rows=2, columns=3, cells=(3, 5))
    first, second = made.relations
    first = replace(
        first, p_holm=0.016, ceiling=0.9, disattenuated=0.79, disattenuated_low=0.27, disattenuated_high=1.0,
        property_half=np.full(15, 8.0), verdict="bcc_fraction goes with hardness (HV).",
    )  # fmt: skip
    return replace(made, relations=[first, replace(second, p_holm=0.21), together()])


def together(**changes) -> Relation:
    measured = np.linspace(450, 550, 15)
    names = ("bcc_fraction", "lamella_width")
    made = Relation(
        " + ".join(names), "hardness (HV)", 0.52, np.nan, np.nan, 0.01, 15, 9.0, np.arange(15.0),
        measured + np.resize([9.0, -9.0], 15), measured, measure="R2", quantities=names, q2=0.4, p_holm=0.01,
        verdict=EXPLAINS, quantity_half=np.full(15, 20.0),
    )  # fmt: skip
    return replace(made, **changes)


def columns(table):
    return dict(zip(table.heads, zip(*table.rows, strict=True), strict=True))


def test_the_table_shows_p_that_allows_for_all_quantities_and_r_without_scatter(data):
    shown = columns(relations(data).table)
    assert shown["p of all"] == ("0.016", "0.210")
    assert shown["ceiling"] == ("0.90", "–")
    assert shown["without scatter"] == ("+0.79 (+0.27 to +1.00)", "–")
    assert shown["r (95 % interval)"][0] == "+0.71 (+0.24 to +0.91)"


def test_columns_of_which_nothing_is_known_are_left_out(data):
    plain = [replace(relation, p_holm=np.nan, ceiling=np.nan, disattenuated=np.nan) for relation in data.relations[:2]]
    found = relations(replace(data, relations=plain))
    assert not {"p of all", "ceiling", "without scatter"} & set(found.table.heads)
    assert found.together is None
    assert "Holm" not in found.reading


def test_several_quantities_have_a_table_of_their_own_and_are_never_the_strongest(data):
    found = relations(data)
    assert len(found.table.rows) == 2
    assert found.together.rows[0][2:] == ("0.52", "0.40", "0.010", "15")
    huge = together(r=0.99)
    assert strongest((data.relations[1], huge)) is data.relations[1]
    assert strongest((huge,)) is huge


def test_the_page_says_in_plain_words_what_is_shown(data):
    page = render_report(data)
    assert EXPLAINS in page
    assert "bcc_fraction goes with hardness (HV)." in page


def test_a_page_with_predictions_alone_has_no_table_of_single_quantities(data):
    found = relations(replace(data, relations=[together()]))
    assert found.table is None
    assert len(found.plates) == 1
    assert (
        "R2 = 0.52"
        in {fact.label: fact for fact in facts(replace(data, relations=[together()]))}["Strongest relation"].value
    )
    assert EXPLAINS in render_report(replace(data, relations=[together()]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"low": -0.1}, "includes zero"),
        ({"p_holm": 0.08}, "is 0.080 where all 2 quantities that were tried are allowed for"),
        ({}, "does not allow for that choice; its p does so, 0.016"),
    ],
)
def test_a_relation_that_chance_may_have_made_is_doubted(data, changes, says):
    first, *others = data.relations
    assert says in " ".join(doubts(replace(data, relations=[replace(first, **changes), *others])))


def test_predictions_that_fail_far_from_the_fit_are_doubted_and_others_are_not(data):
    fails = together(q2=-0.2, verdict="They do not explain hardness (HV).")
    assert "is established: They do not explain" in " ".join(doubts(replace(data, relations=[fails])))
    assert "is established" not in " ".join(doubts(replace(data, relations=[together()])))


def test_predictions_that_are_unknown_have_no_figure(data):
    assert prediction_figure(together(quantity_values=np.full(15, np.nan))) is None
    assert prediction_figure(together(quantity_half=None)).startswith(b"\x89PNG")
