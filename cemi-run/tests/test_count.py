"""A count by hand against the maps of a run."""

import csv
import io
import json

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.result import GridMap, Result
from cemi_run.jobs.count import bland_altman, compare_count, read_answers


def a_run(value):
    grid_map = GridMap("bcc_fraction", "BCC fraction", "1", value, value - 0.1, value + 0.1)
    return FinishedRun(title="t", created="", frames=[], dropped=[], results=[Result("bcc-fraction", (grid_map,))])


def answers_of(run, value, shift=0.0, points=100):
    """Answers that find the map's own value, less a shift, in each cell."""
    rows = []
    for (row, column), share in np.ndenumerate(value):
        inside = round((share - shift) * points)
        given = ["in"] * inside + ["out"] * (points - inside)
        rows += [{"row": row, "column": column, "point": n, "answer": what} for n, what in enumerate(given)]
    return {"cemi_count": 1, "digest": run.digest, "quantity": "bcc_fraction", "answers": rows}


def written(tmp_path, told):
    path = tmp_path / "count.json"
    path.write_text(json.dumps(told))
    return path


VALUE = np.random.default_rng(1).integers(20, 60, (3, 5)) / 100


def test_a_planted_difference_is_found(tmp_path):
    run = a_run(VALUE)
    result = compare_count(run, read_answers(written(tmp_path, answers_of(run, VALUE, 0.1))))
    (name, mean, low, high), *_ = result.tables[0].rows
    assert name == "mean difference" and mean == pytest.approx(0.1) and low <= mean <= high
    assert "the program differs from the count by hand: +0.100" in result.tables[2].rows[0][0]


def test_csv_and_json_say_the_same(tmp_path):
    told = answers_of(a_run(VALUE), VALUE)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["digest", "quantity", "row", "column", "point", "answer"])
    for one in told["answers"]:
        writer.writerow([told["digest"], told["quantity"], *one.values()])
    path = tmp_path / "count.csv"
    path.write_text(stream.getvalue())
    assert read_answers(path) == read_answers(written(tmp_path, told))


def test_a_boundary_counts_half_and_what_cannot_be_told_not_at_all(tmp_path):
    told = answers_of(a_run(VALUE), VALUE, points=100)
    told["answers"] = [
        {"row": 0, "column": 0, "point": n, "answer": what} for n, what in enumerate(["in", "edge", "unsure", "out"])
    ]
    assert read_answers(written(tmp_path, told)).points == {(0, 0): (1.0, 0.5, 0.0)}


def test_limits_of_agreement_hold_95_percent_and_their_intervals_the_true_limits():
    rng = np.random.default_rng(5)
    held = np.zeros(3)
    for _ in range(400):
        rows = bland_altman(rng.normal(0.02, 0.05, 20))
        truth = (0.02, 0.02 - 1.96 * 0.05, 0.02 + 1.96 * 0.05)
        held += [low <= true <= high for (_, _, low, high), true in zip(rows, truth, strict=True)]
    assert ((held / 400 > 0.91) & (held / 400 < 0.985)).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"digest": "other"}, "another run"),
        ({"quantity": "no_such"}, "no map 'no_such'"),
        ({"answers": []}, "no answer"),
        ({"answers": [{"row": 99, "column": 0, "point": 0, "answer": "in"}]}, "outside the grid"),
        ({"answers": [{"row": 0, "column": 0, "point": 0, "answer": "in"}]}, "1 cells were counted"),
        (
            {"answers": [{"row": 0, "column": 0, "point": 0, "answer": "maybe"}]},
            "does not hold the answers of a sheet",
        ),
        ({"answers": 3}, "does not hold the answers of a sheet"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tmp_path, change, said):
    run = a_run(VALUE)
    with pytest.raises(InputError, match=said):
        compare_count(run, read_answers(written(tmp_path, answers_of(run, VALUE) | change)))


@pytest.mark.parametrize("text", ["", "{", "a,b\n1,2\n", "\x00\x01"])
def test_files_that_are_no_answers_are_refused(tmp_path, text):
    path = tmp_path / "odd"
    path.write_text(text)
    with pytest.raises(InputError):
        read_answers(path)
    with pytest.raises(InputError):
        read_answers(tmp_path / "missing")
