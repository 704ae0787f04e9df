"""A phase that runs from none to all along a planted gradient."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import SrPhase
from cemi_analyze.phases.gradient import SrPhaseSettings
from cemi_analyze.phases.trend import trend_along_x
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


@pytest.mark.parametrize("noise", [0.02, 0.08])
@pytest.mark.parametrize("shade", [0.0, 0.1])
def test_fine_phases_are_unbiased_without_smoothing_and_with_drifting_brightness(noise, shade, planted):
    rng = np.random.default_rng(1)
    shape = (160, 2400)
    share = np.broadcast_to(np.linspace(0.02, 0.7, shape[1]), shape)
    dark = planted.worms(share, shape, rng, sigma_px=3)
    image = planted.imaged(dark, noise, rng, denoise_px=0)
    drifting = (image * (1 + shade * np.sin(np.linspace(0, 5, shape[1])))).astype(np.float32)
    found = cell_map(SrPhase(), drifting).maps[0]
    truth = truth_of(dark)
    assert abs(np.mean(found.value[0] - truth)) < 0.012
    assert np.abs(found.value[0] - truth).max() < (0.05 if shade else 0.02)
    assert np.mean((found.low[0] <= truth) & (truth <= found.high[0])) > 0.9


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.3])
def test_a_single_image_with_a_rare_phase_is_measured(share, planted):
    rng = np.random.default_rng(2)
    dark = planted.worms(share, (320, 320), rng, sigma_px=5)
    image = planted.imaged(dark, 0.03, rng, denoise_px=0)
    found = SrPhase().measure(image)
    assert found.value == pytest.approx(dark.mean(), abs=0.005)
    assert found.low <= dark.mean() <= found.high


@pytest.mark.parametrize("scale", [1.0, 1 / 16, 1e-4])
def test_the_share_does_not_depend_on_how_much_of_the_range_is_used(scale, planted):
    rng = np.random.default_rng(3)
    dark = planted.worms(0.3, (240, 240), rng, sigma_px=5)
    image = planted.imaged(dark, 0.03, rng, denoise_px=0)
    assert SrPhase().measure(image * np.float32(scale)).value == pytest.approx(
        SrPhase().measure(image).value, abs=0.003
    )


def test_a_planted_gradient_is_a_trend_and_noise_is_none():
    rng = np.random.default_rng(4)
    rising = np.linspace(0.1, 0.5, 30) + rng.normal(0, 0.03, (2, 30))
    trend = trend_along_x(rising)
    assert trend is not None
    assert trend.low <= 0.4 <= trend.high
    assert trend.p_value < 1e-6
    level = [trend_along_x(rng.normal(0.3, 0.03, (1, 40))) for _ in range(120)]
    assert np.mean([each.p_value < 0.05 for each in level if each]) < 0.2
    assert trend_along_x(rising[:, :7]) is None


def test_the_gradient_is_told_with_its_table(gradient):
    result = cell_map(SrPhase(), gradient[0])
    assert any("from the first to the last column" in note for note in result.notes)
    assert result.tables[0].rows[0][2] == pytest.approx(0.97, abs=0.08)
