"""A network at work: cells blend into one, memory that runs out is answered, bfloat16 only where it is good."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box
from cemi_denoise.network import runner as network_runner
from cemi_denoise.network.networks import DenoisingNetwork, build_network
from cemi_denoise.network.runner import NetworkRunner, choose_dtype, in_bfloat16, measured_context_px, runner_for
from cemi_denoise.network.tiled_inference import plan_cells
from cemi_denoise.network.weights import save_weights

TINY = {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4}


class Blur(DenoisingNetwork):
    """Replaces each pixel by the mean of the 25 x 25 around it."""

    def __init__(self):
        super().__init__(4, False)

    def body(self, x):
        blurred = torch.nn.functional.avg_pool2d(x, 25, 1, 12, count_include_pad=False)
        return torch.cat((blurred - x, torch.zeros_like(x)), 1)


@given(
    start=st.integers(0, 40),
    extent=st.integers(1, 300),
    after=st.integers(0, 40),
    cell=st.integers(64, 200),
    context=st.integers(0, 50),
)
def test_cells_cover_what_is_wanted_once_and_see_their_context(start, extent, after, cell, context):
    length = start + extent + after
    work = Box(start, start, extent, extent)
    total = np.zeros((length, length))
    for piece in plan_cells(work, (length, length), cell, context, 4):
        total[piece.given.slices] += piece.weight
        assert piece.seen.y % 4 == piece.seen.x % 4 == 0
        assert piece.seen.y <= max(0, piece.given.y - context)
        assert piece.seen.y + piece.seen.height == min(length, piece.given.y + piece.given.height + context)
        assert max(piece.given.height, piece.given.width) <= cell + 32
    expected = np.zeros_like(total)
    expected[work.slices] = 1
    np.testing.assert_allclose(total, expected, atol=1e-6)


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


def out_of_memory_above(monkeypatch, largest_px, error, device="cpu"):
    """Let the network fail for pieces above so many pixels, as a device without memory does."""
    honest = network_runner._answers
    seen = []

    def answers(network, pictures, levels):
        seen.append(pictures.shape[-1])
        if pictures.shape[-1] > largest_px:
            raise error
        return honest(network, pictures, levels)

    monkeypatch.setattr(network_runner, "_answers", answers)
    return seen


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_a_device_that_runs_out_of_memory_gets_smaller_pieces_and_says_so(random_network, monkeypatch, caplog, error):
    image = picture((600, 600))
    runner = NetworkRunner(random_network(TINY), "cpu", "float32", 1024)
    expected = runner.run(image, image, Box(0, 0, 600, 600))
    seen = out_of_memory_above(monkeypatch, 330, error)
    with caplog.at_level(logging.WARNING, "cemi"):
        result = runner.run(image, image, Box(0, 0, 600, 600))
    np.testing.assert_allclose(result, expected, atol=0.3 / 255)
    assert runner.cell_px == 256
    assert [record.getMessage() for record in caplog.records] == [
        "cpu is out of memory; going on with pieces of 512 px",
        "cpu is out of memory; going on with pieces of 256 px",
    ]
    del seen[:]
    runner.run(image, image, Box(0, 0, 600, 600))
    assert max(seen) <= 330  # what was learnt is kept


def test_a_device_without_memory_for_the_smallest_pieces_leaves_the_work_to_the_cpu(
    random_network, monkeypatch, caplog
):
    image = picture((300, 300))
    runner = NetworkRunner(random_network(TINY), "cpu", "float32", 128)
    expected = runner.run(image, image, Box(0, 0, 300, 300))
    other = NetworkRunner(random_network(TINY), "cpu", "float32", 128)
    # as if it had been placed on a device that torch has here and that does nothing
    monkeypatch.setattr(other, "_placed", network_runner.replace(other._placed, device="meta"))
    honest = network_runner._answers

    def answers(network, pictures, levels):
        if pictures.device.type == "meta":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return honest(network, pictures, levels)

    monkeypatch.setattr(network_runner, "_answers", answers)
    with caplog.at_level(logging.WARNING, "cemi"):
        result = other.run(image, image, Box(0, 0, 300, 300))
    np.testing.assert_allclose(result, expected, atol=0.3 / 255)
    assert other.device == "cpu"
    assert "meta is out of memory even for pieces of 128 px; going on on the CPU" in caplog.text


def test_a_cpu_without_memory_for_the_smallest_pieces_is_one_sentence(random_network, monkeypatch):
    runner = NetworkRunner(random_network(TINY), "cpu", "float32", 128)
    out_of_memory_above(monkeypatch, 0, MemoryError())
    with pytest.raises(InputError, match="no memory to denoise even pieces of 128 px; use fewer --workers"):
        runner.run(picture(), picture(), Box(0, 0, 300, 340))


def test_other_errors_of_the_network_are_not_taken_for_lack_of_memory(random_network, monkeypatch):
    runner = NetworkRunner(random_network(TINY), "cpu", "float32", 128)
    out_of_memory_above(monkeypatch, 0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        runner.run(picture(), picture(), Box(0, 0, 300, 340))


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
