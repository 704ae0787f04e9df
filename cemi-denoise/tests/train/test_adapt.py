"""A network adapted to overlapping frames is better than before, or is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from cemi_core.model.array_source import ArraySource
from cemi_core.model.layout import Layout
from cemi_denoise.network.networks import build_network
from cemi_denoise.train.adapt import adapt_to_overlaps

SIGMA = 0.1
PLACES = np.array([[0, 0], [2, 110], [4, 220], [110, 8]])
SHAPE = (220, 230)


def frames():
    """Return noise-free and noisy frames of round grains; the places are whole pixels."""
    blobs = gaussian_filter(np.random.default_rng(0).standard_normal((340, 470)), 5)
    whole = gaussian_filter(np.where(blobs > 0, 0.65, 0.35), 0.8).astype(np.float32)
    clean = [whole[y : y + SHAPE[0], x : x + SHAPE[1]] for y, x in PLACES]
    rng = np.random.default_rng(1)
    noisy = [c + SIGMA * rng.standard_normal(c.shape) for c in clean]
    return clean, [np.clip(view, 0, 1).astype(np.float32) for view in noisy]


def layout():
    count = len(PLACES)
    shapes, none = np.tile(SHAPE, (count, 1)), np.zeros(count)
    return Layout(PLACES.astype(float), shapes, none.astype(int), none, none + 1, none, none > 1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network({"name": "UNet", "features": 4, "levels": 1})


def error(network, clean, noisy):
    with torch.no_grad():
        out = network(torch.from_numpy(np.stack(noisy))[:, None], torch.full((len(noisy),), SIGMA))[:, 0].numpy()
    return float(np.mean((out - np.stack(clean)) ** 2))


def test_noise_falls_though_no_clean_picture_is_seen(network):
    clean, noisy = frames()
    adapted = adapt_to_overlaps(network, ArraySource(noisy), layout(), minutes=5, steps=20, learning_rate=1e-2)
    assert adapted.used
    assert adapted.steps == 20
    assert adapted.change < 0
    assert error(adapted.network, clean, noisy) < 0.5 * error(network, clean, noisy)
    assert "Adapted to the frames: 20 steps" in adapted.note


def test_the_same_seed_gives_the_same_weights(network):
    source = ArraySource(frames()[1])
    first, second = (
        adapt_to_overlaps(network, source, layout(), minutes=5, steps=3, seed=3, learning_rate=1e-3) for _ in range(2)
    )
    assert first.used
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rate", [30.0, 1e30])
def test_weights_that_did_not_get_better_are_not_used(network, rate):
    result = adapt_to_overlaps(network, ArraySource(frames()[1]), layout(), minutes=5, steps=6, learning_rate=rate)
    assert not result.used
    assert "not adapted" in result.note
    for before, after in zip(network.parameters(), result.network.parameters(), strict=True):
        assert torch.equal(before, after)


def test_frames_without_overlap_leave_the_weights_alone_and_say_why(network):
    clean, noisy = frames()
    apart = layout()
    apart.positions_px[:] = np.arange(len(PLACES))[:, None] * 500.0
    result = adapt_to_overlaps(network, ArraySource(noisy), apart)
    assert not result.used
    assert result.steps == 0
    assert "no two frames overlap" in result.note
    assert error(result.network, clean, noisy) == error(network, clean, noisy)


def test_the_time_is_kept_and_the_threads_are_given_back(network):
    before = torch.get_num_threads()
    result = adapt_to_overlaps(network, ArraySource(frames()[1]), layout(), minutes=0.02, threads=1)
    assert 0 <= result.steps < 200
    assert torch.get_num_threads() == before
