"""Shares of phases too thin for a threshold, by the mean grey level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_analyze import BccFraction
from cemi_analyze.phases.lever import pure_levels
from cemi_analyze.phases.settings import BccFractionSettings


def thin_and_wide(share: float, noise: float, seed: int) -> tuple[np.ndarray, float]:
    """Half lamellae of 3 px, half islands of 16 px, both blurred, with a known share of the dark phase."""
    rng = np.random.default_rng(seed)
    fine = 8  # drawn eight times finer, so that a pixel holds both phases
    x = np.arange(320 * fine) / fine
    lamellae = np.broadcast_to(np.mod(x[None, :] * 0.94 + 0.1, 3.0) < 3 * share, (160, 320 * fine))
    lamellae = lamellae.reshape(160, 320, fine).mean(axis=2)
    field = gaussian_filter(rng.normal(size=(160, 320)), 4.0)
    islands = (field < np.quantile(field, share)).astype(float)
    dark = np.concatenate([lamellae, islands])
    image = 0.6 - 0.24 * gaussian_filter(dark, 0.6) + rng.normal(0, noise, dark.shape)
    return image.astype(np.float32), float(dark.mean())


@pytest.mark.parametrize("noise", [0.01, 0.06])
@pytest.mark.parametrize("share", [0.2, 0.35, 0.5])
def test_the_lever_rule_holds_the_share_of_lamellae_of_three_pixels(share, noise):
    image, true = thin_and_wide(share, noise, seed=1)
    found = BccFraction(BccFractionSettings(method="lever")).measure(image)
    assert found.low <= true <= found.high
    assert abs(found.value - true) < 0.045
    assert found.high - found.low < 0.15


def test_by_itself_the_lever_rule_is_taken_where_most_cells_show_thin_lamellae():
    image, _ = thin_and_wide(0.35, 0.03, seed=2)
    lever, chosen = BccFraction(BccFractionSettings(method="lever")), BccFraction()
    assert chosen.measure(image) == lever.measure(image)
    wide = np.kron(image[160:], np.ones((2, 2), np.float32))
    assert chosen.measure(wide).value != pytest.approx(lever.measure(wide).value, abs=1e-6)


def test_the_bright_phase_is_the_rest():
    image, _ = thin_and_wide(0.3, 0.03, seed=3)
    dark, bright = (
        BccFraction(BccFractionSettings(method="lever", phase=p)).measure(image) for p in ("dark", "bright")
    )
    assert dark.value + bright.value == pytest.approx(1)
    assert (bright.low, bright.high) == pytest.approx((1 - dark.high, 1 - dark.low))


def test_pure_levels_are_not_moved_by_noise():
    clean, _ = thin_and_wide(0.35, 0.0, seed=4)
    noisy, _ = thin_and_wide(0.35, 0.08, seed=4)
    valid = np.ones(clean.shape, bool)
    quiet, loud = pure_levels(clean, valid), pure_levels(noisy, valid)
    assert loud.dark == pytest.approx(quiet.dark, abs=0.02)
    assert loud.bright == pytest.approx(quiet.bright, abs=0.02)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_image_without_any_contrast_has_no_share(level):
    found = BccFraction(BccFractionSettings(method="lever")).measure(np.full((200, 200), level, np.float32))
    assert np.isnan(found.value)
