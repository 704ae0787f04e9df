"""Claims about the step that judges the stitching."""

import json
import math

import h5py
import numpy as np
import pytest

from cemi_core.errors import PluginError
from cemi_core.model.abilities import StitcherAbilities
from cemi_core.model.result import GridMap, Result, Table
from cemi_run.steps.quality import quality_record


def judgement(score=88.5):
    value = np.array([[0.9, 0.4]])
    return Result(
        "stitch-quality",
        maps=(GridMap("agreement", "agreement of overlaps", "1", value, value, value),),
        tables=(
            Table("summary", ("quantity", "value"), (("score", score), ("overlaps", 7.0))),
            Table("residuals", ("from_px", "to_px", "kept_pairs", "overlaps"), ((0.0, 1.0, 5, 4), (1.0, None, 0, 3))),
            Table("weak places", ("first", "second", "what_is_wrong"), ((0, 1, "<off> by 5 px"),)),
        ),
        overlays={"Weak place 1: frames 0 and 1": np.full((20, 60), 99, np.uint8)},
        notes=("What the score means.",),
    )


@pytest.fixture
def judging(tiny_plugins, declare, monkeypatch):
    """Let the tiny stitcher judge; the list tells how often it did, and of how many frames."""
    import cemi_trusting.stitcher

    asked = []

    def judge(self, frames, layout, context):
        asked.append((len(frames.frames), frames.read(0).shape, len(layout)))
        return judgement()

    monkeypatch.setattr(cemi_trusting.stitcher.Trusting, "judge", judge, raising=False)
    declare("trusting", StitcherAbilities(judges=True))
    return asked


def test_a_run_holds_the_judgement_of_its_stitcher(run, judging):
    run()
    assert judging == [(6, (96, 128), 6)]
    record = json.loads((run.out / "stitch-quality.json").read_text())
    assert record["score"] == 88.5
    assert record["summary"] == {"overlaps": 7.0}
    assert record["weak_places"] == [{"first": 0, "second": 1, "what_is_wrong": "<off> by 5 px"}]
    assert record["residuals"][1]["to_px"] is None
    with h5py.File(run.out / "run.h5") as file:
        assert file["quality"].attrs["analyzer"] == "stitch-quality"
    page = (run.out / "report.html").read_text()
    assert "Stitching quality" in page
    assert "88.5 of 100" in page
    assert "&lt;off&gt; by 5 px" in page
    assert "What the score means." in page


def test_it_is_redone_when_the_layout_changes_and_not_when_only_a_measurement_does(run, judging):
    run()
    assert run() == set()
    assert run("grid.columns=5") == {"analyze-0-grey", "relate", "report"}
    assert "quality" in run("stitch.round_to_px=true")
    assert len(judging) == 2


def test_a_table_that_was_deleted_is_made_again(run, judging):
    run()
    (run.out / "stitch-quality.json").unlink()
    assert run() == {"quality", "report"}


def test_a_stitcher_that_does_not_judge_leaves_nothing(run):
    run()
    assert not (run.out / "stitch-quality.json").exists()
    assert not (run.out / ".cemi" / "quality.h5").exists()
    assert 'id="quality"' not in (run.out / "report.html").read_text()
    assert run() == set()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(None, "judged with NoneType"), (Result("x", ()), "without a score")],
)
def test_a_judgement_of_another_kind_is_the_fault_of_the_stitcher(run, judging, monkeypatch, wrong, said):
    import cemi_trusting.stitcher

    monkeypatch.setattr(cemi_trusting.stitcher.Trusting, "judge", lambda self, f, layout, e: wrong)
    with pytest.raises(PluginError, match=said):
        run()


def test_an_unknown_score_is_null_in_json():
    assert quality_record("kornia", judgement(math.nan))["score"] is None
