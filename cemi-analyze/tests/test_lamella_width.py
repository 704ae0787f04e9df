"""Spacing of planted lamellae."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from cemi_analyze import LamellaWidth
from cemi_analyze.lamellae.profile import HARMONICS, dark_share
from cemi_analyze.lamellae.spacing import TileSpacing, first_peak, tile_starts
from cemi_analyze.lamellae.width import LamellaWidthSettings, tile_weights, true_spacing
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo

PAPER = LamellaWidth(LamellaWidthSettings(method="paper"))


@pytest.mark.parametrize("period_px", [5.5, 7.5, 12.0, 20.0])
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_lamella_spacing_of_wavy_noisy_stripes_is_within_2_percent(period_px, noise, planted):
    rng = np.random.default_rng(int(10 * period_px))
    image = planted.imaged(planted.stripes(period_px, angle_deg=50, wave_px=1.0, seed=1), noise, rng)
    measured = LamellaWidth().measure(image)
    assert measured.value == pytest.approx(period_px, rel=0.02)
    assert measured.low < period_px * 1.01
    assert measured.high > period_px * 0.99


def test_spacing_of_2_7_px_is_within_5_percent_in_a_clean_picture(planted):
    image = planted.imaged(planted.stripes(2.7, angle_deg=20), 0.01, np.random.default_rng(0), denoise_px=0)
    assert LamellaWidth().measure(image).value == pytest.approx(2.7, rel=0.05)


@pytest.mark.parametrize("period_px", [2.3, 2.7, 3.0, 3.6])
def test_lamellae_of_two_to_four_pixels_under_noise_are_measured_in_spectra(planted, period_px):
    image = planted.imaged(planted.stripes(period_px, angle_deg=20), 0.1, np.random.default_rng(0))
    found = LamellaWidth().measure(image)
    assert found.low <= period_px <= found.high
    assert abs(found.value - period_px) < 0.02 * period_px
    assert found.high - found.low < 0.08 * period_px


def test_lamellae_thinner_than_two_pixels_have_no_widths_and_say_why(planted):
    image = planted.imaged(planted.stripes(3.0, angle_deg=20), 0.1, np.random.default_rng(0))
    analyzer = LamellaWidth()
    whole = BlockInfo(None, (slice(None), slice(None)), box=Box(0, 0, *image.shape), image_shape=image.shape)
    result = analyzer.merge([(0, 0, analyzer.process(image, whole))], (1, 1))
    maps = {found.name: found for found in result.maps}
    assert np.isfinite(maps["lamella_spacing"].value[0, 0])
    assert np.isnan(maps["dark_width"].value[0, 0])
    assert maps["dark_width"].reason(0, 0) == "lamellae thinner than two pixels per phase"


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_has_no_spacing(seed):
    noise = np.random.default_rng(seed).normal(0.5, 0.1, (300, 300)).astype(np.float32)
    assert np.isnan(LamellaWidth().measure(noise).value)


@pytest.mark.parametrize("line", [0.0, 0.4])
def test_noise_correlated_along_the_scan_line_does_not_shift_the_spacing(line, planted):
    from scipy.ndimage import convolve1d

    clean = planted.imaged(planted.stripes(6.5, angle_deg=75, wave_px=1), 0.0, np.random.default_rng(0), denoise_px=0)
    noise = convolve1d(np.random.default_rng(1).standard_normal(clean.shape), [line, 1, line], axis=1)
    image = clean + 0.08 * (noise / noise.std()).astype(np.float32)
    assert LamellaWidth().measure(image).value == pytest.approx(6.5, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(
    angle=st.floats(0, 180),
    period=st.floats(5, 14),
    gain=st.floats(0.3, 1.5),
    offset=st.floats(-0.2, 0.2),
)
def test_spacing_and_direction_hold_at_every_angle_gain_and_offset(planted, angle, period, gain, offset):
    image = planted.imaged(planted.stripes(period, angle_deg=angle), 0.02, np.random.default_rng(0))
    measured = LamellaWidth().measure(image * np.float32(gain) + np.float32(offset))
    assert measured.value == pytest.approx(period, rel=0.015)
    off = (measured.extra["orientation_deg"] - (angle + 90) + 90) % 180 - 90
    assert abs(off) < 1.0


def test_widths_of_the_two_phases_add_up_to_the_spacing(planted):
    image = planted.imaged(planted.stripes(16, dark_share=0.3), 0.03, np.random.default_rng(0))
    measured = LamellaWidth().measure(image, 0.05)
    assert measured.unit == "um"
    assert measured.extra["dark_width_um"] == pytest.approx(0.3 * 16 * 0.05, rel=0.1)
    assert measured.extra["dark_width_um"] + measured.extra["bright_width_um"] == pytest.approx(
        measured.value, rel=1e-6
    )
    assert 0.8 < measured.extra["coherency"] <= 1


def test_without_a_pixel_size_lengths_are_in_pixels(planted):
    image = planted.imaged(planted.stripes(10), 0.03, np.random.default_rng(0))
    measured = LamellaWidth().measure(image)
    assert measured.unit == "px"
    assert measured.extra["dark_width_px"] > 0


@pytest.mark.parametrize("kind", ["noise", "worms"])
def test_texture_that_is_not_lamellar_has_no_spacing(kind, planted):
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        dark = planted.worms(0.35, (240, 240), rng) if kind == "worms" else np.zeros((240, 240))
        found.append(LamellaWidth().measure(planted.imaged(dark, 0.08, rng)).value)
    assert np.isnan(found).mean() >= 5 / 6


def test_map_of_a_noisy_eutectic_goes_with_the_truth(eutectic, mapped):
    found = mapped(LamellaWidth(), eutectic).maps[0]
    truth = eutectic.truth("spacing") * 0.1
    assert found.unit == "um"
    known = np.isfinite(found.value) & np.isfinite(truth)
    assert known[eutectic.truth("lamellar") > 0.1].all()
    assert np.corrcoef(found.value[known], truth[known])[0, 1] > 0.95
    assert np.mean(found.value[known] / truth[known]) == pytest.approx(1, abs=0.015)


def test_colonies_of_two_spacings_are_averaged_by_area(planted):
    rng = np.random.default_rng(0)
    dark = np.hstack([planted.stripes(6, 20, shape=(256, 256)), planted.stripes(9, 110, shape=(256, 256))])
    assert LamellaWidth().measure(planted.imaged(dark, 0.04, rng)).value == pytest.approx(7.5, rel=0.05)


def test_the_papers_method_is_right_for_straight_stripes_along_the_picture_but_not_for_wavy_ones(planted):
    rng = np.random.default_rng(0)
    straight = planted.imaged(planted.stripes(8, angle_deg=0), 0.01, rng)
    measured = PAPER.measure(straight)
    assert measured.value == pytest.approx(8, rel=0.1)
    assert measured.extra["lines_per_region"] >= 2
    errors = {}
    wavy = [planted.imaged(planted.stripes(8, a, wave_px=2, seed=a), 0.06, rng) for a in (20, 40, 65)]
    for name, analyzer in (("paper", PAPER), ("ours", LamellaWidth())):
        errors[name] = np.mean([abs(analyzer.measure(image).value / 8 - 1) for image in wavy])
    assert errors["ours"] < 0.02
    assert errors["paper"] > 0.1


def test_the_papers_method_has_no_width_where_no_region_is_lamellar(planted):
    rng = np.random.default_rng(0)
    assert np.isnan(PAPER.measure(planted.imaged(planted.worms(0.35, (160, 160), rng), 0.08, rng)).value)


def test_a_tile_larger_than_the_colonies_is_worse_than_the_default(eutectic, mapped):
    truth = eutectic.truth("spacing") * 0.1

    def scatter(analyzer):
        return np.nanstd(mapped(analyzer, eutectic).maps[0].value - truth)

    assert scatter(LamellaWidth()) < scatter(LamellaWidth(LamellaWidthSettings(tile_px=224)))


def test_the_first_peak_of_a_cosine_is_its_period_to_a_hundredth():
    lags = np.arange(0, 40, 0.25)
    lag, height = first_peak(np.cos(2 * np.pi * lags / 9.37), lags)
    assert lag == pytest.approx(9.37, abs=0.01)
    assert height == pytest.approx(1, abs=0.01)


def test_a_profile_that_only_falls_has_no_peak():
    lags = np.arange(0, 40, 0.25)
    assert np.isnan(first_peak(np.exp(-lags / 5), lags)[0])


@given(length=st.integers(64, 2000), tile=st.integers(32, 64))
def test_tiles_cover_their_cell_and_stay_inside(length, tile):
    starts = tile_starts(length, tile)
    assert starts[0] == 0
    assert starts[-1] == length - tile
    assert np.all(np.diff(starts) <= tile)


def test_lamellae_wider_than_the_first_tiles_are_found_in_larger_ones(planted):
    image = planted.imaged(planted.stripes(45, 35, shape=(512, 512), dark_share=0.3), 0.03, np.random.default_rng(0))
    assert LamellaWidth().measure(image).value == pytest.approx(45, rel=0.03)


@pytest.mark.parametrize("dark_share", [0.2, 0.35, 0.65])
def test_sharp_lamellae_of_unequal_width_are_measured(dark_share, planted):
    image = planted.imaged(planted.stripes(14, 35, dark_share=dark_share), 0.02, np.random.default_rng(0), 0.3, 0)
    assert LamellaWidth().measure(image).value == pytest.approx(14, rel=0.01)


def test_a_few_places_that_agree_by_chance_do_not_outvote_the_lamellae():
    """Tiles of a cell of a virtual eutectic with 8 % lamellae of 6.6 px, as they were measured."""
    period = np.array([14.21, 13.97, 10.49, 13.20, 6.42, 6.37, 6.94, 6.69, 13.37])
    peak = np.array([0.85, 0.55, 1.78, 1.31, 0.86, 1.01, 1.02, 1.27, 1.05])
    area = np.array([0.142, 0.231, 0.134, 0.304, 0.234, 0.853, 0.847, 0.489, 0.453])
    weight = tile_weights(TileSpacing(period, peak, area, np.zeros(9), np.zeros((9, 64, 64), np.float32)))
    assert set(np.flatnonzero(weight)) == {4, 5, 6, 7}


def test_two_colonies_of_different_spacing_and_like_size_both_count():
    period, area = np.array([6.0, 6.1, 9.0, 9.1]), np.array([1.0, 0.8, 0.7, 0.6])
    weight = tile_weights(TileSpacing(period, np.ones(4), area, np.zeros(4), np.zeros((4, 64, 64), np.float32)))
    assert (weight > 0).all()


def test_a_cell_too_small_for_its_lamellae_says_so_instead_of_a_number():
    y, x = np.mgrid[:300, :300]
    bent = 124 + 6 * np.sin(2 * np.pi * y / 211)
    wide = np.where((x / bent + 0.3 * y / 124) % 1 < 0.4, 0.3, 0.7)
    noise = np.random.default_rng(0).normal(0, 0.03, wide.shape)
    image = (gaussian_filter(wide, 2.0) + noise).astype(np.float32)
    analyzer = LamellaWidth()
    info = BlockInfo(core=(slice(0, 300), slice(0, 300)))
    result = analyzer.merge([(0, 0, analyzer.process(image, info))], (1, 1))
    assert np.isnan(result.maps[0].value[0, 0])


def lines(
    period_px: float, share: float, noise: float, seed: int = 0, size: int = 300, blur_px: float = 0.7
) -> np.ndarray:
    """A picture of straight lamellae, drawn four times as fine, not smoothed."""
    rng = np.random.default_rng([seed, 5])
    y, x = np.mgrid[: 4 * size, : 4 * size].astype(np.float32) / 4
    turn = rng.uniform(0, np.pi)
    dark = (np.mod((x * np.cos(turn) + y * np.sin(turn)) / period_px, 1) < share).astype(np.float32)
    grey = cv2.GaussianBlur(0.6 - 0.24 * dark, (0, 0), 4 * blur_px)
    clean = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)
    return (clean + noise * rng.standard_normal(clean.shape)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.02, 0.08])
@pytest.mark.parametrize(("period_px", "share"), [(8.0, 0.35), (8.0, 0.5), (12.0, 0.2), (20.0, 0.35), (36.0, 0.6)])
def test_widths_of_both_phases_are_unbiased_and_their_intervals_hold(period_px, share, noise):
    found = LamellaWidth().measure(lines(period_px, share, noise))
    for name, true in (("dark_width_px", share * period_px), ("bright_width_px", (1 - share) * period_px)):
        assert found.extra[name] == pytest.approx(true, rel=0.03)
        assert found.extra[f"{name}_low"] <= true <= found.extra[f"{name}_high"]


def test_widths_at_five_pixels_are_within_five_percent():
    errors = [LamellaWidth().measure(lines(5.0, 0.5, 0.02, seed)).extra["dark_width_px"] / 2.5 - 1 for seed in range(4)]
    assert np.abs(errors).max() < 0.05


@pytest.mark.parametrize(("period_px", "share"), [(20.0, 0.1), (30.0, 0.12), (40.0, 0.15)])
def test_lamellae_with_a_thin_dark_phase_have_their_spacing(period_px, share):
    found = LamellaWidth().measure(lines(period_px, share, 0.02, size=420))
    assert found.value == pytest.approx(period_px, rel=0.01)
    width = found.extra["dark_width_px"]
    assert np.isnan(width) or width == pytest.approx(share * period_px, rel=0.15)


def test_a_width_that_the_beam_hides_is_not_told():
    found = LamellaWidth().measure(lines(8.0, 0.15, 0.08, blur_px=1.4))
    assert np.isnan(found.extra["dark_width_px"]) or (
        found.extra["dark_width_px_low"] <= 1.2 <= found.extra["dark_width_px_high"]
    )


def test_two_spacings_of_one_cell_are_both_told():
    image = np.concatenate([lines(10.0, 0.4, 0.02, 1, 400)[:, :200], lines(30.0, 0.4, 0.02, 2, 400)[:, :200]], axis=1)
    analyzer = LamellaWidth()
    core = (slice(0, 400), slice(0, 400))
    result = analyzer.merge([(0, 0, analyzer.process(image, BlockInfo(core=core)))], (1, 1))
    (table,) = [table for table in result.tables if table.name == "Cells with several spacings"]
    spacings = sorted(row[2] for row in table.rows)
    assert spacings[0] == pytest.approx(10, rel=0.01)
    assert spacings[-1] == pytest.approx(30, rel=0.02)
    assert any("several spacings" in note for note in result.notes)


def no_lamellae(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, len(kind)])
    flat = np.full((320, 320), 0.5, np.float32)
    if kind == "jitter":
        flat = flat + 0.03 * rng.standard_normal((320, 1)).astype(np.float32)
    elif kind == "curtains":
        row = cv2.GaussianBlur(rng.standard_normal((1, 320)).astype(np.float32), (0, 0), 2.0)
        flat = flat + 0.08 * row / row.std()
    else:
        common = rng.uniform(0, np.pi)
        for _ in range(60):
            turn = common + rng.normal(0, 0.02) if kind == "parallel" else rng.uniform(0, np.pi)
            at, along = rng.uniform(0, 320, 2), 320 * np.array([np.cos(turn), np.sin(turn)])
            ends = [tuple(int(v) for v in point) for point in (at - along, at + along)]
            cv2.line(flat, *ends, float(rng.uniform(0.35, 0.65)), int(rng.integers(1, 3)))
    flat = cv2.GaussianBlur(flat.astype(np.float32), (0, 0), 0.7)
    return (flat + 0.03 * rng.standard_normal(flat.shape)).astype(np.float32)


@pytest.mark.parametrize("kind", ["jitter", "curtains", "random scratches", "parallel"])
def test_scratches_stripes_of_milling_and_jumping_lines_have_no_spacing(kind):
    told = [LamellaWidth().measure(no_lamellae(kind, seed)) for seed in range(4)]
    assert [found.value for found in told if np.isfinite(found.value)] == []
    assert all(found.reason for found in told)


def test_the_true_spacing_of_lamellae_cut_at_random_is_found_from_their_sections():
    rng = np.random.default_rng(0)
    tilt = np.arccos(rng.uniform(-1, 1, (200, 200)))  # of the normals against that of the section
    seen = 5.0 / np.maximum(np.sin(tilt), 1e-3)
    found = true_spacing(seen, np.ones(seen.shape))
    assert found.value == pytest.approx(5.0, rel=0.01)
    assert found.low <= 5.0 <= found.high
    image = lines(12.0, 0.4, 0.02)
    asked = LamellaWidth(LamellaWidthSettings(sections="random")).measure(image)
    assert asked.extra["true_spacing_px"] == pytest.approx(np.pi / 4 * asked.value, rel=0.01)
    assert "true_spacing_px" not in LamellaWidth().measure(image).extra


def test_harmonics_of_a_known_wave_give_its_share_and_damping():
    order = np.arange(1, HARMONICS + 1)
    for share, damping in ((0.3, 0.05), (0.5, 0.2), (0.75, 0.1)):
        wave = -0.2 * 2 * np.sin(np.pi * order * share) / (np.pi * order) * np.exp(-(order**2) * damping)
        found = dark_share(wave.astype(np.complex128), 1e-6)
        assert found is not None
        assert found.value == pytest.approx(share, abs=0.003)
        assert found.damping == pytest.approx(damping, abs=0.01)
    assert dark_share(np.zeros(HARMONICS, np.complex128), 0.01) is None
