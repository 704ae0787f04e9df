"""Phase fractions of planted textures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_analyze import BccFraction
from cemi_analyze.phases.methods import otsu_of_histogram
from cemi_analyze.phases.settings import BccFractionSettings


def with_method(method: str, **more) -> BccFraction:
    return BccFraction(BccFractionSettings(method=method, **more))


@pytest.mark.parametrize("share", [0.2, 0.3, 0.4, 0.5])
@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_fraction_of_an_irregular_texture_is_within_5_percent_points(share, noise, planted):
    rng = np.random.default_rng(int(share * 100))
    dark = planted.worms(share, (300, 300), rng, sigma_px=2.5)
    measured = BccFraction().measure(planted.imaged(dark, noise, rng))
    assert measured.value == pytest.approx(dark.mean(), abs=0.05)
    assert measured.low < dark.mean() < measured.high


def test_fraction_of_coarse_stripes_is_within_1_percent_point(planted):
    dark = planted.stripes(40, dark_share=0.2)
    assert BccFraction().measure(planted.imaged(dark, 0.04, np.random.default_rng(0))).value == pytest.approx(
        dark.mean(), abs=0.01
    )


def test_the_midpoint_is_less_biased_than_otsu_by_shares_far_from_one_half(planted):
    rng = np.random.default_rng(5)
    dark = planted.worms(0.2, (300, 300), rng)
    image = planted.imaged(dark, 0.06, rng)
    midpoint, otsu = (with_method(method).measure(image).value - dark.mean() for method in ("midpoint", "otsu"))
    assert abs(midpoint) < 0.7 * abs(otsu)


def test_map_of_a_noisy_eutectic_goes_with_the_truth(eutectic, mapped):
    found = mapped(BccFraction(), eutectic).maps[0]
    truth = eutectic.truth("dark")
    assert np.corrcoef(found.value.ravel(), truth.ravel())[0, 1] > 0.93
    assert abs(np.mean(found.value - truth)) < 0.03
    assert np.mean((found.low <= truth) & (truth <= found.high)) > 0.85


@pytest.mark.parametrize("denoise_px", [0.0, 1.0])
def test_structureless_noise_has_no_fraction_but_the_papers_rule_finds_a_third(denoise_px, planted):
    noise = planted.imaged(np.zeros((300, 300)), 0.08, np.random.default_rng(1), denoise_px=denoise_px)
    assert np.isnan(BccFraction().measure(noise).value)
    assert np.isnan(with_method("otsu").measure(noise).value)
    assert 0.2 < with_method("paper").measure(noise).value < 0.5


def test_why_a_cell_has_no_value_is_said(planted, mapped):
    strip = planted.make_eutectic(rows=1, columns=2)
    strip.image[:, 180:] = np.random.default_rng(0).normal(0.5, 0.03, (240, 300))
    result = mapped(BccFraction(), strip)
    assert np.isfinite(result.maps[0].value[0, 0])
    assert any("1 of 2 cells" in note for note in result.notes)


def test_the_papers_rule_is_that_of_opencv(planted):
    import cv2

    image = planted.imaged(planted.stripes(8), 0.02, np.random.default_rng(0))
    grey = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    expected = cv2.adaptiveThreshold(cv2.GaussianBlur(grey, (3, 3), 0), 255, 0, cv2.THRESH_BINARY_INV, 11, 2)
    assert with_method("paper").measure(image).value == pytest.approx((expected > 0).mean())


def test_dark_and_bright_share_add_up_to_one(planted):
    image = planted.imaged(planted.worms(0.3, (200, 200), np.random.default_rng(2)), 0.03, np.random.default_rng(2))
    dark, bright = (with_method("midpoint", phase=phase).measure(image).value for phase in ("dark", "bright"))
    assert dark + bright == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(0.3, 1.6), offset=st.floats(-0.1, 0.3), turns=st.integers(0, 3), mirrored=st.booleans())
def test_fraction_does_not_depend_on_gain_offset_or_quarter_turns(planted, gain, offset, turns, mirrored):
    rng = np.random.default_rng(3)
    image = planted.imaged(planted.worms(0.35, (160, 160), rng), 0.03, rng)
    changed = np.rot90(image * gain + offset, turns)
    changed = np.ascontiguousarray(changed[:, ::-1] if mirrored else changed)
    assert BccFraction().measure(changed).value == pytest.approx(BccFraction().measure(image).value, abs=0.004)


def test_shading_does_not_change_the_fraction(planted):
    rng = np.random.default_rng(4)
    image = planted.imaged(planted.worms(0.35, (300, 300), rng), 0.03, rng)
    shaded = image * np.linspace(0.85, 1.15, 300, dtype=np.float32)
    plain = BccFraction().measure(image).value
    assert BccFraction().measure(shaded).value == pytest.approx(plain, abs=0.01)
    unlevelled = with_method("midpoint", levelling=False).measure(shaded).value
    assert abs(unlevelled - plain) > 0.02


def test_95_percent_intervals_hold_the_material_fraction_in_90_to_100_percent_of_pictures(planted):
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        image = planted.imaged(planted.worms(0.34, (200, 200), rng, sigma_px=2.2), 0.05, rng)
        measured = BccFraction().measure(image)
        held.append(measured.low <= 0.34 <= measured.high)
    assert np.mean(held) >= 0.9


def test_a_larger_level_uncertainty_widens_the_interval(planted):
    image = planted.imaged(planted.stripes(12), 0.03, np.random.default_rng(0))
    narrow, wide = (with_method("midpoint", level_uncertainty=u).measure(image) for u in (0.0, 0.2))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_contrast_below_the_wanted_one_counts_as_structureless(planted):
    image = planted.imaged(planted.worms(0.4, (200, 200), np.random.default_rng(0), 3), 0.05, np.random.default_rng(0))
    assert np.isfinite(BccFraction().measure(image).value)
    assert np.isnan(with_method("midpoint", least_contrast=200.0).measure(image).value)


def test_otsu_divides_two_equal_peaks_half_way():
    counts = np.zeros(256, int)
    counts[[50, 150]] = 100
    assert otsu_of_histogram(counts, np.arange(256.0)) == pytest.approx(100, abs=1)
