"""A phase that runs from none to all along a planted gradient."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import SrPhase
from cemi_analyze.phases.gradient import SrPhaseSettings, two_levels
from cemi_core.model.stages import BlockInfo


@pytest.fixture(scope="module")
def gradient(planted):
    rng = np.random.default_rng(0)
    shape = (160, 2400)
    share = np.broadcast_to(np.linspace(0.002, 0.998, shape[1]), shape)
    dark = planted.worms(share, shape, rng, sigma_px=5)
    return planted.imaged(dark, 0.06, rng), dark


def cell_map(analyzer, image, columns=15):
    width = image.shape[1] // columns
    partials = []
    for column in range(columns):
        part = image[:, column * width : (column + 1) * width]
        info = BlockInfo(core=(slice(0, part.shape[0]), slice(0, width)), column=column)
        partials.append((0, column, analyzer.process(part, info)))
    return analyzer.merge(partials, (1, columns))


def truth_of(dark, columns=15):
    return dark.reshape(dark.shape[0], columns, -1).mean(axis=(0, 2))


def test_share_along_a_gradient_from_none_to_all_is_within_3_percent_points(gradient):
    image, dark = gradient
    found = cell_map(SrPhase(), image).maps[0]
    assert np.abs(found.value[0] - truth_of(dark)).max() < 0.03
    assert np.mean((found.low[0] <= truth_of(dark)) & (truth_of(dark) <= found.high[0])) > 0.9


def test_the_bright_phase_is_the_rest(gradient):
    image, _ = gradient
    dark, bright = (cell_map(SrPhase(SrPhaseSettings(phase=p)), image).maps[0].value for p in ("dark", "bright"))
    np.testing.assert_allclose(dark + bright, 1)


def test_the_notes_say_that_the_papers_rule_is_not_published(gradient):
    assert "not published" in cell_map(SrPhase(), gradient[0]).notes[0]


def test_one_phase_alone_has_no_share():
    noise = np.random.default_rng(0).normal(0.5, 0.05, (200, 200)).astype(np.float32)
    assert np.isnan(SrPhase().measure(noise).value)


def test_a_given_threshold_is_used(gradient):
    image, _ = gradient
    low, high = (np.nanmean(cell_map(SrPhase(SrPhaseSettings(threshold=t)), image).maps[0].value) for t in (0.4, 0.56))
    assert high > low + 0.1


def test_a_larger_level_uncertainty_widens_the_interval(gradient):
    image, _ = gradient
    narrow, wide = (cell_map(SrPhase(SrPhaseSettings(level_uncertainty=u)), image).maps[0] for u in (0.0, 0.3))
    assert np.nanmean(wide.high - wide.low) > np.nanmean(narrow.high - narrow.low)


@pytest.mark.parametrize("share", [0.03, 0.2, 0.5, 0.9])
def test_two_levels_are_found_however_rare_one_of_them_is(share):
    rng = np.random.default_rng(1)
    grey = np.where(rng.uniform(size=100_000) < share, 0.35, 0.65) + 0.04 * rng.standard_normal(100_000)
    levels = two_levels(np.histogram(grey, 256, (0, 1))[0])
    assert levels is not None
    assert levels.dark == pytest.approx(0.35, abs=0.01)
    assert levels.bright == pytest.approx(0.65, abs=0.01)
