"""Shares of phases where pictures are noisy, blurred, shaded, drawn on, or hold more than two grey levels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cemi_analyze import PhaseFraction
from cemi_analyze.phases.drawn import drawn_on
from cemi_analyze.phases.histogram import histogram_of
from cemi_analyze.phases.mixture_fit import fit_mixture
from cemi_analyze.phases.settings import PhaseFractionSettings
from cemi_analyze.phases.stereology import fields_table
from cemi_core.model.stages import BlockInfo

BRIGHT, DARK = 0.60, 0.36
HD, LD = 0.02, 0.08


def field(share: float, size: int, seed: int, sigma_px: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.standard_normal((2 * size, 2 * size)).astype(np.float32), (0, 0), 2 * sigma_px)
    return (smooth > np.quantile(smooth, 1 - share)).astype(np.float32)


def seen(grey: np.ndarray, blur_px: float, noise: float, seed: int) -> np.ndarray:
    """A picture drawn twice as fine, through a beam, with noise of counting."""
    size = grey.shape[0] // 2
    clean = cv2.resize(cv2.GaussianBlur(grey, (0, 0), 2 * blur_px), (size, size), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng([seed, 9])
    return (clean + noise * np.sqrt(np.maximum(clean, 0) / 0.5) * rng.standard_normal(clean.shape)).astype(np.float32)


def irregular(share: float, blur_px: float, noise: float, seed: int, size: int = 320) -> tuple[np.ndarray, float]:
    dark = field(share, size, seed, 4.0)
    return seen(BRIGHT + (DARK - BRIGHT) * dark, blur_px, noise, seed), float(dark.mean())


def lamellae(share: float, period_px: float, blur_px: float, noise: float, seed: int) -> tuple[np.ndarray, float]:
    fine, size = 4, 320
    y, x = np.mgrid[: size * fine, : size * fine].astype(np.float32) / fine
    turn = np.random.default_rng(seed).uniform(0, np.pi)
    dark = (np.mod((x * np.cos(turn) + y * np.sin(turn)) / period_px, 1) < share).astype(np.float32)
    grey = cv2.GaussianBlur(BRIGHT + (DARK - BRIGHT) * dark, (0, 0), fine * blur_px)
    clean = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng([seed, 9])
    return (clean + noise * np.sqrt(clean / 0.5) * rng.standard_normal(clean.shape)).astype(np.float32), float(
        dark.mean()
    )


def with_third(share: float, grey: float, noise: float, seed: int, blur_px: float = 0.7) -> tuple[np.ndarray, float]:
    """Two phases of which a third level covers a share: pores, a bright or a middle phase."""
    size = 384
    dark, third = field(0.35, size, seed, 4.0), field(share, size, seed + 50, 5.0)
    picture = np.where(third > 0, np.float32(grey), BRIGHT + (DARK - BRIGHT) * dark)
    return seen(picture, blur_px, noise, seed), float((dark * (third == 0)).mean())


@pytest.mark.parametrize(("blur_px", "noise", "most"), [(0.7, HD, 0.5), (0.7, LD, 1.6), (1.4, HD, 1.0), (1.4, LD, 2.1)])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.35, 0.6])
def test_irregular_phases_are_measured_to_the_wanted_bias(share, blur_px, noise, most):
    errors, held = [], []
    for seed in (1, 2):
        image, true = irregular(share, blur_px, noise, seed)
        found = PhaseFraction().measure(image)
        errors.append(100 * (found.value - true))
        held.append(found.low <= true <= found.high)
    assert abs(np.mean(errors)) < most
    assert all(held)


@pytest.mark.parametrize(("noise", "most"), [(HD, 0.5), (LD, 2.0)])
def test_lamellae_of_eight_pixels_are_measured_though_their_level_is_never_reached(noise, most):
    errors = []
    for seed in (1, 2):
        image, true = lamellae(0.35, 8.0, 0.7, noise, seed)
        found = PhaseFraction().measure(image)
        errors.append(100 * (found.value - true))
        assert found.low <= true <= found.high
    assert abs(np.mean(errors)) < most


@pytest.mark.parametrize("share", [0.2, 0.35])
def test_lamellae_under_a_beam_as_wide_as_they_are_refuse_or_hold_the_truth(share):
    image, true = lamellae(share, 8.0, 1.4, HD, 3)
    found = PhaseFraction().measure(image)
    assert np.isnan(found.value) or found.low <= true <= found.high


@pytest.mark.parametrize("noise", [HD, LD])
@pytest.mark.parametrize(("share", "grey"), [(0.02, 0.08), (0.05, 0.85), (0.10, 0.48)])
def test_a_third_level_is_left_out_refused_or_held(share, grey, noise):
    image, true = with_third(share, grey, noise, seed=2)
    found = PhaseFraction().measure(image)
    if np.isfinite(found.value):
        assert found.low <= true <= found.high
        assert abs(found.value - true) < (0.015 if grey != 0.48 else 0.05)


def reason_of(image: np.ndarray, **settings) -> str:
    analyzer = PhaseFraction(PhaseFractionSettings(**settings))
    core = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    return analyzer.merge([(0, 0, analyzer.process(image, BlockInfo(core=core)))], (1, 1)).maps[0].reason(0, 0)


def test_a_third_level_is_named_and_three_phases_measure_it():
    image, _ = with_third(0.15, 0.85, HD, seed=3)
    assert "not one of 2 phases" in reason_of(image)
    three = PhaseFraction(PhaseFractionSettings(phases=3, phase="bright")).measure(image)
    assert three.value == pytest.approx(0.15, abs=0.015)
    assert three.extra["dark_fraction"] == pytest.approx(0.35 * 0.85, abs=0.02)


@pytest.mark.parametrize("pores", [1, 4])
@pytest.mark.parametrize("noise", [0.005, 0.03])
def test_pores_in_one_phase_are_counted_and_their_share_is_that_of_their_area(pores, noise):
    y, x = np.mgrid[:640, :640]
    mask = np.zeros((640, 640), bool)
    for at in range(pores):
        mask |= np.hypot(y - 150 - 130 * at, x - 320) < 12
    image = seen(np.where(mask, np.float32(0.2), np.float32(0.6)), 0.7, noise, pores)
    image = (image * np.linspace(0.98, 1.02, 320)[None, :]).astype(np.float32)
    found = PhaseFraction().measure(image)
    assert found.value == pytest.approx(mask.mean(), abs=2e-4)
    assert found.low <= mask.mean() <= found.high


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
def test_noise_alone_has_no_share(noise):
    image = (0.5 + noise * np.random.default_rng(0).standard_normal((256, 256))).astype(np.float32)
    assert np.isnan(PhaseFraction().measure(image).value)
    assert reason_of(image)


@pytest.mark.parametrize("drawn", ["black bar", "white bar", "border", "scale bar"])
def test_what_was_drawn_is_left_out_and_said(drawn):
    image, true = irregular(0.35, 0.7, 0.03, 4)
    grey = np.clip(np.rint(255 * image), 1, 254).astype(np.uint8)
    if drawn == "border":
        grey = np.pad(grey, 40)
    elif drawn == "scale bar":
        grey[290:300, 200:300] = 255
    else:
        level = 0 if drawn == "black bar" else 255
        bar = np.full((40, grey.shape[1]), level, np.uint8)
        bar[15:19, 30:180] = 255 - level
        grey = np.concatenate([grey, bar])
    found = PhaseFraction().measure(grey)
    assert found.value == pytest.approx(true, abs=0.012)
    analyzer = PhaseFraction()
    core = (slice(0, grey.shape[0]), slice(0, grey.shape[1]))
    cell = analyzer.process((grey / np.float32(255)).astype(np.float32), BlockInfo(core=core))
    assert any("drawn" in note for note in analyzer.merge([(0, 0, cell)], (1, 1)).notes)


def test_pictures_without_noise_have_no_bars():
    stripes = np.where(np.arange(256)[:, None] % 64 < 20, np.float32(0.3), np.float32(0.6)) * np.ones(
        (1, 256), np.float32
    )
    assert not drawn_on(stripes.astype(np.float32), np.ones(stripes.shape, bool)).mask.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("part", [1.0, 1 / 16])
def test_the_share_does_not_depend_on_the_depth_of_the_container(dtype, part):
    image, _ = irregular(0.3, 0.7, 0.03, 5)
    whole = PhaseFraction().measure(image).value
    peak = np.iinfo(dtype).max
    if dtype == np.uint8 and part < 1:
        part = 0.5
    stored = np.clip(np.rint(image * part * peak), 0, peak).astype(dtype)
    assert PhaseFraction().measure(stored).value == pytest.approx(whole, abs=0.004)


@pytest.mark.parametrize("method", ["mixture", "midpoint", "otsu", "kmeans", "watershed", "slic"])
def test_every_method_measures_wide_phases(method):
    image, true = irregular(0.35, 0.7, HD, 6)
    found = PhaseFraction(PhaseFractionSettings(method=method)).measure(image)
    assert found.value == pytest.approx(true, abs=0.05 if method == "slic" else 0.015)
    assert found.low <= true <= found.high


def test_bradley_roth_is_darker_than_fifteen_percent_below_the_mean():
    image, true = irregular(0.2, 0.7, HD, 7)
    found = PhaseFraction(PhaseFractionSettings(method="bradley-roth")).measure(image)
    assert found.value == pytest.approx(true, abs=0.03)


@pytest.mark.parametrize("method", ["auto", "mixture", "otsu", "kmeans", "watershed", "slic"])
def test_three_phases_have_their_names_and_add_up(method):
    image, _ = with_third(0.2, 0.85, HD, seed=8)
    names = ("pores", "matrix", "carbide")
    found = PhaseFraction(PhaseFractionSettings(method=method, phases=3, names=names, phase="carbide")).measure(image)
    assert found.name == "carbide_fraction"
    assert found.value == pytest.approx(0.2, abs=0.04)
    total = found.value + found.extra["pores_fraction"] + found.extra["matrix_fraction"]
    assert total == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"phases": 3, "method": "midpoint"}, "tells two phases apart"),
        ({"names": ("a", "b", "c")}, "one for each"),
        ({"names": ("a", "a")}, "twice"),
        ({"phase": "sigma"}, "no phase is named"),
        ({"method": "segment"}, "weights"),
        ({"weights": "mine.safetensors"}, "weights"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(given, word):
    with pytest.raises(ValueError, match=word):
        PhaseFractionSettings(**given)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_constant_and_saturated_pictures_have_a_reason(level):
    image = np.full((200, 200), level, np.float32)
    assert np.isnan(PhaseFraction().measure(image).value)
    assert reason_of(image)


def test_a_mixture_of_known_levels_is_found_again():
    rng = np.random.default_rng(0)
    grey = np.where(rng.uniform(size=200_000) < 0.2, 0.3, 0.6) + rng.normal(0, 0.05, 200_000)
    found = fit_mixture(histogram_of(grey.astype(np.float32)))
    assert found is not None
    np.testing.assert_allclose(found.levels, [0.3, 0.6], atol=0.003)
    np.testing.assert_allclose(found.deviations, 0.05, atol=0.003)
    assert found.shares[0] == pytest.approx(0.2, abs=0.004)
    assert found.coverage_at(np.array([0.2, 0.7])) == pytest.approx(np.eye(2), abs=0.01)


def test_one_method_answers_for_all_cells_and_the_others_are_said():
    image = np.concatenate([irregular(0.3, 0.7, HD, seed)[0][:256, :256] for seed in (1, 2, 3)], axis=1)
    analyzer = PhaseFraction()
    cells = []
    for column in range(3):
        part = np.ascontiguousarray(image[:, 256 * column : 256 * (column + 1)])
        cells.append((0, column, analyzer.process(part, BlockInfo(pixel_size_um=0.1, core=(slice(0, 256),) * 2))))
    result = analyzer.merge(cells, (1, 3))
    assert "fitted together" in result.notes[0]
    names = [table.name for table in result.tables]
    assert names == ["ASTM E562, cells as fields", "ASTM E1245 quantities"]
    area, met, chord, free = result.tables[1].rows[0][1:]
    assert chord == pytest.approx(area / met, rel=0.01)
    assert free == pytest.approx((1 - area) / met, rel=0.01)


def test_the_number_of_fields_is_that_of_astm_e562():
    table = fields_table("dark", [0.2, 0.3, 0.25, 0.35, 0.3], 0.1)
    assert table is not None
    _, n, mean, deviation, interval, relative, needed = table.rows[0]
    assert n == 5
    assert mean == pytest.approx(0.28)
    assert interval == pytest.approx(2.776 * deviation / np.sqrt(5), rel=1e-3)
    assert relative == pytest.approx(100 * interval / mean, abs=0.1)
    assert needed == np.ceil((2.776 * deviation / (0.1 * mean)) ** 2)
