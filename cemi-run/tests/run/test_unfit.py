"""Claims about `mask: true`: cells that one analyzer finds unfit are left out by the others, and the maps say why."""

import csv

import numpy as np
import pytest

from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.classes import class_labels
from cemi_core.model.result import ClassMap, GridMap, Result
from cemi_core.plugins import AnalyzerPlugin
from cemi_core.plugins.manager import Registered
from cemi_run.engine.folder import RunFolder
from cemi_run.recipe.check import RecipeError
from cemi_run.steps.finish import opened_run
from cemi_run.steps.unfit import unfit_cells, with_reasons


class Picky:
    """Finds the second column out of focus, and cannot tell the cell in the first row and the last column."""

    halo = 0

    def process(self, block, info):
        return 1

    def merge(self, partials, grid_shape):
        seen = [(row, column) for row, column, partial in partials if partial is not None]
        assert len(seen) == grid_shape[0] * grid_shape[1], "an analyzer that masks cells sees all of them"
        value = np.zeros(grid_shape, np.int64)
        value[:, 1], value[0, -1] = 1, -1
        focus = ClassMap("focus", "Focus", class_labels(["sharp", "out of focus"]), value, np.full(grid_shape, np.nan))
        return Result("picky", classes=(focus,))

    def measure(self, image, pixel_size_um=None):
        raise NotImplementedError


def make(settings, runtime):
    return Picky()


@pytest.fixture
def picky(tiny_registry):
    description = AnalyzerPlugin("picky", "Picks.", make, abilities=AnalyzerAbilities(unfit=("out of focus",)))
    tiny_registry.plugins.append(Registered(description, "tiny", "1.0"))


MASKED = 'analyze=[{"use": "grey"}, {"use": "picky", "mask": true}]'


def test_cells_that_are_out_of_focus_are_left_out_whatever_the_order_in_the_recipe(run, picky):
    run(MASKED)
    with opened_run(RunFolder(run.out)) as finished:
        grey, focus = finished.results
        assert [result.analyzer for result in finished.results] == ["grey", "picky"]
        (grey_map, *_) = grey.maps
        assert np.isnan(grey_map.value[:, 1]).all()
        assert np.isfinite(np.delete(grey_map.value, 1, axis=1)).all(), "a cell that cannot be told is not left out"
        assert grey_map.reason(1, 1) == "out of focus" and grey_map.reason(0, 0) == ""
        assert (focus.classes[0].value[:, 1] == 1).all()
    with (run.out / "maps" / f"{grey_map.name}.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert {line["reason"] for line in lines if line["column"] == "1"} == {"out of focus"}


def test_masking_is_part_of_what_a_measurement_builds_on(run, picky):
    assert {"analyze-0-grey", "analyze-1-picky"} <= run(MASKED)
    assert run(MASKED) == set()
    done = run('analyze=[{"use": "grey"}, {"use": "picky"}]')
    assert "analyze-0-grey" in done and "analyze-1-picky" not in done
    with opened_run(RunFolder(run.out)) as finished:
        assert np.isfinite(finished.results[0].maps[0].value).all()


def test_an_analyzer_that_finds_nothing_unfit_cannot_mask(run, picky):
    with pytest.raises(RecipeError, match="'grey' finds no cells unfit; leave 'mask' out"):
        run('analyze=[{"use": "grey", "mask": true}]')


def test_a_reason_that_the_analyzer_gave_itself_stays_and_the_first_of_two_masks_counts():
    labels = class_labels(["fine", "torn", "burnt"])
    value = np.array([[1, 2, 0]])
    both = Result("a", classes=(ClassMap("state", "State", labels, value, np.full(value.shape, np.nan)),))
    torn_only = Result("b", classes=(ClassMap("state", "State", labels, value[:, ::-1], np.full(value.shape, np.nan)),))
    unfit = unfit_cells([(both, ("torn",)), (torn_only, ("torn", "burnt"))])
    assert unfit == {(0, 0): "torn", (0, 1): "burnt", (0, 2): "torn"}
    one = np.array([[np.nan, np.nan, 0.5]])
    grid_map = GridMap("q", "Q", "1", one, one, one, reasons=("no phases",), reason_of=np.array([[0, 0, -1]]))
    (told,) = with_reasons(Result("c", (grid_map,)), {(0, 0): "torn"}).maps
    assert told.reason(0, 0) == "torn" and told.reason(0, 1) == "no phases" and told.reason(0, 2) == ""
