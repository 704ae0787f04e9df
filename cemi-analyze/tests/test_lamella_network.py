"""Claims about lamellae found by the network that comes with the package."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze.lamellae import choice
from cemi_analyze.lamellae.choice import SHIPPED, LamellaNetwork, LamellaSettings, abilities, make
from cemi_analyze.lamellae.fraction import LamellaFraction
from cemi_analyze.segment.analyzer import layers_of
from cemi_analyze.segment.weights import card_in, find_segmenter
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.testing import AnalyzerTests


class TestByNetwork(AnalyzerTests):
    name = "lamella-fraction"
    settings = {"method": "network"}


def _half(planted, noise, seed=1, period=6.5):
    """Lamellae in the left part of an image, irregular texture in the right one."""
    rng = np.random.default_rng(seed)
    left = planted.stripes(period, 40, shape=(256, 160))
    dark = np.hstack([left, planted.worms(0.35, (256, 160), rng, sigma_px=0.28 * period)])
    return planted.imaged(dark, noise, rng, denoise_px=0)


@pytest.mark.parametrize(("period", "noise"), [(6.5, 0.04), (6.5, 0.09), (3.2, 0.04), (16.0, 0.09)])
def test_half_lamellae_is_half(planted, period, noise):
    measured = make(LamellaSettings(), Runtime()).measure(_half(planted, noise, period=period))
    assert measured.name == "lamella_fraction"
    assert measured.value == pytest.approx(0.5, abs=0.07)
    assert measured.low < 0.5 < measured.high


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_is_no_lamellae(planted, seed):
    image = planted.imaged(np.zeros((256, 256)), 0.09, np.random.default_rng(seed), denoise_px=0)
    assert make(LamellaSettings(), Runtime()).measure(image).value < 0.01


def test_a_single_edge_and_a_plain_image_are_no_lamellae(planted):
    edge = np.repeat(np.where(np.arange(256) < 128, 0.3, 0.7)[None], 256, axis=0).astype(np.float32)
    analyzer = make(LamellaSettings(), Runtime())
    for image in (edge, np.full((256, 256), 0.5, np.float32), np.ones((256, 256), np.float32)):
        assert analyzer.measure(image).value < 0.05


def test_the_network_is_the_default_unless_the_coherency_is_told_how_to_work():
    assert isinstance(make(LamellaSettings(), Runtime()), LamellaNetwork)
    assert isinstance(make(LamellaSettings(window_px=8), Runtime()), LamellaFraction)
    assert isinstance(make(LamellaSettings(method="coherency"), Runtime()), LamellaFraction)


def test_without_the_packages_the_coherency_is_taken_and_it_is_said(planted, monkeypatch):
    monkeypatch.setattr(choice, "is_installed", lambda: False)
    analyzer = make(LamellaSettings(), Runtime())
    image = _half(planted, 0.03)
    partial = analyzer.process(image, BlockInfo(core=(slice(0, 256), slice(0, 320))))
    notes = " ".join(analyzer.merge([(0, 0, partial)], (1, 1)).notes)
    assert "pip install 'cemi-analyze[learn]'" in notes


def test_layers_and_colonies(planted):
    analyzer = make(LamellaSettings(), Runtime())
    assert [spec.name for spec in abilities(LamellaSettings()).layers] == ["lamellae", "lamellae_probability"]
    assert layers_of(card_in(find_segmenter(SHIPPED)).classes) == abilities(LamellaSettings()).layers
    image = _half(planted, 0.04)
    info = BlockInfo(pixel_size_um=0.1, core=(slice(0, 256), slice(0, 320)))
    partial, layers = analyzer.process_with_layers(image, info)
    assert layers["lamellae"][:, :150].mean() > 0.9
    assert layers["lamellae"][:, 170:].mean() < 0.1
    (colonies,) = analyzer.merge([(0, 0, partial)], (1, 1)).objects
    assert colonies.name == "colonies"
    assert colonies.area_px.max() == pytest.approx(256 * 160, rel=0.1)


def test_the_weights_are_small_and_say_where_they_come_from():
    path = find_segmenter(SHIPPED)
    assert path.stat().st_size < 10e6
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for word in ("Apache-2.0", "seed", "Limits", "ehea"):
        assert word in card
