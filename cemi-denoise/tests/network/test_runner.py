"""A network at work: cells blend into one, memory that runs out is answered, bfloat16 only where it is good."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cemi_core.model.mosaic import Box
from cemi_denoise.network import runner as network_runner
from cemi_denoise.network.networks import DenoisingNetwork, build_network
from cemi_denoise.network.runner import NetworkRunner, choose_dtype, in_bfloat16, measured_context_px, runner_for
from cemi_denoise.network.weights import save_weights

TINY = {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4}


class Blur(DenoisingNetwork):
    """Replaces each pixel by the mean of the 25 x 25 around it."""

    def __init__(self):
        super().__init__(4, False)

    def body(self, x):
        blurred = torch.nn.functional.avg_pool2d(x, 25, 1, 12, count_include_pad=False)
        return torch.cat((blurred - x, torch.zeros_like(x)), 1)


def test_the_context_that_a_network_needs_is_measured():
    assert measured_context_px(Blur()) == 12
    assert measured_context_px(build_network(TINY)) == 0  # has learnt nothing, so it looks nowhere


def picture(shape=(300, 340)):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_cells_give_what_the_whole_gives(random_network):
    image = picture()
    noise = np.full_like(image, 0.1)
    whole = Box(0, 0, *image.shape)
    for network in (Blur(), random_network(TINY)):
        in_one = NetworkRunner(network, "cpu", "float32", 1024).run(image, noise, whole)
        in_cells = NetworkRunner(network, "cpu", "float32", 128).run(image, noise, whole)
        assert np.abs(in_one - in_cells).max() < 0.3 / 255
        part = NetworkRunner(network, "cpu", "float32", 128).run(image, noise, Box(100, 37, 61, 150))
        assert np.abs(in_one[100:161, 37:187] - part).max() < 0.3 / 255


def test_bfloat16_is_taken_only_where_it_is_fast_and_good(random_network, monkeypatch):
    gentle, wild = random_network(TINY), random_network(TINY, gain=7.5)
    gentle.last.weight *= 0.2
    for fast in (False, True):
        monkeypatch.setattr(network_runner, "_computes_bfloat16", lambda device, fast=fast: fast)
        assert choose_dtype(gentle, "cpu", "auto") == (torch.bfloat16 if fast else torch.float32)
        assert choose_dtype(wild, "cpu", "auto") == torch.float32
    assert choose_dtype(wild, "cpu", "bfloat16") == torch.bfloat16
    assert NetworkRunner(gentle, "cpu", "bfloat16", 128).dtype == torch.bfloat16


def test_bfloat16_changes_a_little_and_leaves_the_original_alone(random_network):
    network, image = random_network(TINY), torch.rand(1, 1, 64, 64)
    exact = network(image)
    rough = in_bfloat16(network)(image)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).abs().max()) < 0.05
    torch.testing.assert_close(network(image), exact)


@pytest.mark.parametrize("told", ["x", -4, 10**12, 4.5, None])
def test_a_card_that_tells_no_reach_is_not_believed(random_network, tmp_path, told):
    network = random_network(TINY)
    save_weights(tmp_path / "tiny.safetensors", network, TINY, {"context_px": told})
    runner = runner_for(str(tmp_path / "tiny.safetensors"), None, "cpu", "float32", 128)
    assert runner.context_px == measured_context_px(network)
