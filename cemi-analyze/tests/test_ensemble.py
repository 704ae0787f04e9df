"""Claims about ensembles: the median, how far methods disagree, and that they are made only for work."""

from __future__ import annotations

import pickle
from unittest import mock

import numpy as np
import pytest
from pydantic import ValidationError

from cemi_analyze.ensemble import Ensemble, EnsembleSettings, agreement
from cemi_analyze.phases.fraction import BccFraction
from cemi_analyze.phases.settings import BccFractionSettings
from cemi_core.errors import InputError
from cemi_core.model.result import GridMap
from cemi_core.model.stages import BlockInfo

METHODS = ("midpoint", "otsu", "paper")
OF = [{"use": "bcc-fraction", "with": {"method": method}} for method in METHODS]


def grid_map(value, half=0.01):
    value = np.asarray(value, float)[None, :]
    return GridMap("share", "Share", "1", value, value - half, value + half)


def test_median_spread_and_bounds_are_those_of_the_methods():
    maps = [grid_map([0.2, 0.3, 0.5, np.nan]), grid_map([0.2, 0.34, np.nan, np.nan]), grid_map([0.2, 0.4, 0.6, 0.7])]
    found = agreement(maps)
    np.testing.assert_allclose(found.median[0], [0.2, 0.34, 0.55, np.nan])
    np.testing.assert_allclose(found.spread[0], [0, 0.1, 0.1, np.nan], atol=1e-12)
    np.testing.assert_allclose(found.low[0], [0.19, 0.34 - np.hypot(0.04, 0.01), 0.55 - np.hypot(0.05, 0.01), np.nan])
    np.testing.assert_allclose(found.high[0], [0.21, 0.34 + np.hypot(0.06, 0.01), 0.55 + np.hypot(0.05, 0.01), np.nan])
    assert found.choice[0, 0] == 0 and found.choice[0, 1] > 0.98 and np.isnan(found.choice[0, 3])


def test_the_choice_of_a_method_matters_half_where_methods_scatter_as_they_say_themselves():
    rng = np.random.default_rng(0)
    maps = [grid_map(0.5 + 0.01 * rng.standard_normal(2000), half=1.96 * 0.01) for _ in range(8)]
    assert np.mean(agreement(maps).choice) == pytest.approx(0.5, abs=0.05)


def test_methods_without_intervals_disagree_by_the_method_alone():
    maps = [grid_map([0.1, 0.1], half=np.nan), grid_map([0.3, 0.1], half=np.nan)]
    found = agreement(maps)
    np.testing.assert_allclose(found.choice[0], [1, 0])
    np.testing.assert_allclose(found.low[0], [0.1, 0.1])


def test_an_ensemble_gives_what_its_methods_give_alone(eutectic, mapped):
    single = [mapped(BccFraction(BccFractionSettings(method=method)), eutectic).maps[0].value for method in METHODS]
    result = mapped(Ensemble(EnsembleSettings(of=OF)), eutectic)
    median, spread, choice = result.maps
    np.testing.assert_allclose(median.value, np.median(single, axis=0), atol=1e-9)
    np.testing.assert_allclose(spread.value, np.ptp(single, axis=0), atol=1e-9)
    assert median.name == "bcc_fraction_median" and median.unit == "1"
    assert (median.low <= np.min(single, axis=0)).all() and (np.max(single, axis=0) <= median.high).all()
    assert ((choice.value >= 0) & (choice.value <= 1)).all()
    methods, pairs = result.tables
    assert [row[0] for row in methods.rows] == [f"bcc-fraction (method={method})" for method in METHODS]
    assert len(pairs.rows) == 3
    one, other, cells, mean = pairs.rows[2][:4]
    assert (one, other, cells) == ("bcc-fraction (method=otsu)", "bcc-fraction (method=paper)", 28)
    assert mean == pytest.approx(np.mean(single[2] - single[1]), rel=1e-3)


def test_cells_that_no_method_can_measure_say_why():
    plain = (0.5 + 0.02 * np.random.default_rng(0).standard_normal((200, 200))).astype(np.float32)
    ensemble = Ensemble(EnsembleSettings(of=[{"use": "two-point"}, {"use": "two-point", "quantity": "dark_chord"}]))
    partial = ensemble.process(plain, BlockInfo(0.1, (slice(0, 200), slice(0, 200))))
    median = ensemble.merge([(0, 0, partial), (0, 1, None)], (1, 2)).maps[0]
    assert np.isnan(median.value).all()
    assert median.reason(0, 0) == "two-point: no two phases" and median.reason(0, 1) == ""


def test_methods_are_made_when_there_is_work_and_travel_unmade():
    with mock.patch("cemi_analyze.ensemble.make_plugin", side_effect=AssertionError("made")):
        ensemble = Ensemble(EnsembleSettings(of=OF))
        travelled = pickle.loads(pickle.dumps(ensemble))
        with pytest.raises(AssertionError, match="made"):
            travelled.halo  # noqa: B018
    assert travelled.halo == 48


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ([{"use": "bcc-fraction"}], "at least 2"),
        ([{"use": "bcc-fraction"}, {"use": "bcc-fractoin"}], "did you mean 'bcc-fraction'"),
        ([{"use": "bcc-fraction"}, {"use": "ensemble", "with": {"of": OF}}], "cannot hold an ensemble"),
        ([{"use": "bcc-fraction"}, {"use": "bcc-fraction", "with": {"method": "guess"}}], "settings of 'bcc-fraction'"),
        ([{"use": "bcc-fraction"}, {"use": "bcc-fraction"}], "two methods are the same"),
    ],
)
def test_a_recipe_with_methods_that_do_not_fit_is_refused_before_the_work(of, says):
    with pytest.raises(ValidationError, match=says):
        EnsembleSettings(of=of)


def test_methods_of_different_quantities_are_not_compared(eutectic, mapped):
    for of, says in (
        ([{"use": "bcc-fraction"}, {"use": "lamella-width"}], "measure different things"),
        (
            [{"use": "bcc-fraction"}, {"use": "two-point", "quantity": "nothing"}],
            "makes no map 'nothing'; its maps are",
        ),
    ):
        with pytest.raises(InputError, match=says):
            mapped(Ensemble(EnsembleSettings(of=of)), eutectic)
