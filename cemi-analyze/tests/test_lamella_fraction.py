"""Share of planted regular lamellae."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import LamellaFraction
from cemi_analyze.lamellae.fraction import LamellaFractionSettings


@pytest.mark.parametrize("noise", [0.03, 0.1])
@pytest.mark.parametrize("denoise_px", [0.0, 1.0])
def test_half_lamellae_half_irregular_is_half_at_every_noise(noise, denoise_px, planted):
    rng = np.random.default_rng(1)
    lamellae = planted.stripes(6.5, 40, shape=(300, 200), wave_px=1.5)
    dark = np.hstack([lamellae, planted.worms(0.35, (300, 200), rng)])
    measured = LamellaFraction().measure(planted.imaged(dark, noise, rng, denoise_px=denoise_px))
    assert measured.value == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("seed", [1, 2])
def test_map_of_a_noisy_eutectic_goes_with_the_truth(seed, planted, mapped, eutectic):
    strip = eutectic if seed == 1 else planted.make_eutectic(seed=seed, noise=0.1, columns=10)
    found = mapped(LamellaFraction(), strip).maps[0]
    truth = strip.truth("lamellar")
    assert np.corrcoef(found.value.ravel(), truth.ravel())[0, 1] > 0.96
    assert abs(np.mean(found.value - truth)) < 0.05
    assert np.mean((found.low <= truth) & (truth <= found.high)) > 0.85


def test_irregular_texture_alone_is_hardly_ever_taken_for_lamellae(planted):
    rng = np.random.default_rng(3)
    image = planted.imaged(planted.worms(0.35, (400, 400), rng), 0.06, rng)
    assert LamellaFraction().measure(image).value < 0.06


def test_lamellae_alone_fill_nearly_everything(planted):
    image = planted.imaged(planted.stripes(6.5, 70, wave_px=1.5), 0.08, np.random.default_rng(0))
    assert LamellaFraction().measure(image).value > 0.95


def test_noise_alone_is_not_lamellar(planted):
    image = planted.imaged(np.zeros((300, 300)), 0.1, np.random.default_rng(0))
    assert LamellaFraction().measure(image).value < 0.06


def test_gain_offset_and_turning_do_not_change_the_share(planted):
    rng = np.random.default_rng(1)
    dark = np.hstack([planted.stripes(6.5, 40, shape=(240, 160)), planted.worms(0.35, (240, 160), rng)])
    image = planted.imaged(dark, 0.05, rng)
    share = LamellaFraction().measure(image).value
    assert LamellaFraction().measure(0.5 * image + 0.1).value == pytest.approx(share, abs=0.005)
    assert LamellaFraction().measure(np.ascontiguousarray(np.rot90(image))).value == pytest.approx(share, abs=0.02)


def test_a_given_coherency_is_used(planted):
    rng = np.random.default_rng(0)
    image = planted.imaged(planted.worms(0.35, (240, 240), rng), 0.05, rng)
    low, high = (
        LamellaFraction(LamellaFractionSettings(least_coherency=level)).measure(image).value for level in (0.05, 0.9)
    )
    assert low > 0.7
    assert high < 0.01


def test_wide_lamellae_need_a_wider_window_against_noise(planted):
    image = planted.imaged(planted.stripes(24, 30, shape=(400, 400)), 0.1, np.random.default_rng(0), denoise_px=0)
    narrow, wide = (
        LamellaFraction(LamellaFractionSettings(window_px=window)).measure(image).value for window in (6, 20)
    )
    assert wide > 0.95
    assert wide > narrow


def test_95_percent_intervals_hold_the_share_of_the_material_in_85_to_100_percent_of_cells(planted, mapped):
    strip = planted.make_eutectic(columns=16, seed=7, swing=0.0)
    found = mapped(LamellaFraction(), strip).maps[0]
    material = strip.lamellar.mean()
    assert 0.85 <= np.mean((found.low <= material) & (material <= found.high)) <= 1
