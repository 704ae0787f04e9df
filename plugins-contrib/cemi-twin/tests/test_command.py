"""The command from end to end on a tiny recording, and what it says of folders that it cannot judge."""

import json
import shutil

import pytest
import yaml
from click.testing import CliRunner

from cemi_core.errors import CemiError, InputError
from cemi_core.plugins.manager import registry
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Machine
from cemi_run.flow import run_recipe
from cemi_run.recipe.check import check_recipe
from cemi_run.steps.finish import opened_run
from cemi_twin.command import twin
from cemi_twin.reading import read_run
from cemi_virtual_sem import write_recording

MACHINE = Machine(kind="serial", workers=1)


def recipe_on(folder, **more):
    write_recording(folder / "recording", "gaussian-field", "tiny", seed=3, mode="stills")
    recipe = {
        "recipe": 1,
        "source": {
            "use": "images",
            "with": {
                "path": str(folder / "recording" / "frames" / "*.tif"),
                "positions": str(folder / "recording" / "positions.csv"),
                "pixel_size": "100 nm",
            },
        },
        "stitch": {"use": "kornia", "with": {"matcher": "zncc"}},
        "grid": {"rows": 2, "columns": 6},
        "analyze": [{"use": "bcc-fraction"}],
        **more,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in recipe.items() if value is not None}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    run_recipe(check_recipe(recipe_on(folder), registry()), folder / "run", MACHINE, lambda *done: None)
    return folder / "run"


def called(*words):
    return CliRunner().invoke(twin, [*map(str, words), "--quiet", "--executor", "serial"], catch_exceptions=True)


def test_a_run_is_judged_and_its_report_shows_it(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    answer = called(run, "--repeats", 1, "--size", "tiny", "--specimen", "gaussian-field")
    assert answer.exit_code == 0, answer.output
    assert "on a specimen like yours, this recipe errs by" in answer.output
    told = json.loads((run / "twin.json").read_text())
    (quantity,) = (one for one in told["quantities"] if one["name"] == "bcc_fraction")
    assert 0 <= quantity["cells_held"][0] <= 1 and quantity["cells"] > 0
    assert "On virtual specimens like yours" in (run / "report.html").read_text()
    with opened_run(RunFolder(run)) as data:
        assert [result.analyzer for result in data.trust] == ["twin"]


def test_a_folder_that_is_no_run_is_named(tmp_path):
    answer = called(tmp_path)
    assert isinstance(answer.exception, InputError) and "no finished run" in str(answer.exception)


def test_a_run_without_maps_is_refused(tmp_path):
    path = recipe_on(tmp_path, analyze=None, grid=None)
    run_recipe(check_recipe(path, registry()), tmp_path / "run", MACHINE, lambda *done: None)
    with pytest.raises(InputError, match="no map"):
        read_run(tmp_path / "run")


def test_an_unknown_kind_of_specimen_is_refused(finished, tmp_path):
    answer = called(finished, "--specimen", "cheese", "--out", tmp_path / "else")
    assert isinstance(answer.exception, CemiError) and "no twin of the kind 'cheese'" in str(answer.exception)
