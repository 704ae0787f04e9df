"""Noise2Void learns from noisy pictures alone, also where the noise hangs together along the line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from cemi_core.errors import InputError, UsageError
from cemi_core.model.array_source import ArraySource
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.numeric.tiles import denoise_image
from cemi_core.plugins.manager import make_named
from cemi_core.testing import DenoiserTests, make_plugin
from cemi_denoise_n2v import training
from cemi_denoise_n2v.masks import hide_pixels
from cemi_denoise_n2v.network import BlindSpotNetwork
from cemi_denoise_n2v.reach import REACH_PX
from cemi_denoise_n2v.training import correlation_length_px, train


def specimen(shape=(160, 180), seed=0):
    """Return round grains of two grey levels."""
    blobs = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 5)
    return gaussian_filter(np.where(blobs > 0, 0.65, 0.35), 0.8).astype(np.float32)


def noisy(clean, smear=0.0, seed=1, sigma=0.1):
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    noise[:, 1:] += smear * noise[:, :-1].copy()
    return (clean + sigma * noise / noise.std()).astype(np.float32)


def error_of(result, clean):
    return float(np.mean((result - clean) ** 2))


@pytest.fixture(scope="module")
def learnt():
    """A denoiser that has learnt from three frames."""
    frames = ArraySource([noisy(specimen(seed=seed), seed=seed) for seed in range(3)])
    return make_plugin("denoise", "n2v", steps=60).adapt(frames, None)


class TestN2v(DenoiserTests):
    name = "n2v"
    more_settings = ({"learn_from": "*.png"},)

    @pytest.fixture(autouse=True)
    def _learnt(self, learnt):
        self.learnt = learnt

    def make(self):
        return self.learnt


def test_it_learns_to_remove_noise_it_has_never_seen_without(learnt):
    clean = specimen(seed=7)
    image = noisy(clean, seed=9)
    assert error_of(learnt(image), clean) < 0.3 * error_of(image, clean)


def test_called_at_once_it_learns_from_the_picture_itself():
    clean = specimen()
    image = noisy(clean)
    result = denoise_image(make_plugin("denoise", "n2v", steps=40), image)
    assert error_of(result, clean) < 0.35 * error_of(image, clean)


def test_masks_along_the_line_remove_streaks_that_single_pixels_leave():
    clean = specimen()
    image = noisy(clean, smear=0.6)
    single, along = (make_plugin("denoise", "n2v", steps=40, mask_px=px)(image) for px in (0, 1))
    assert error_of(along, clean) < 0.85 * error_of(single, clean)


def test_how_far_noise_is_correlated_is_measured():
    clean = specimen()
    assert correlation_length_px([noisy(clean)]) == 0
    assert correlation_length_px([noisy(clean, smear=0.6)]) == 1


def test_twice_the_contrast_comes_out_as_twice_the_contrast():
    network = BlindSpotNetwork()
    image = torch.from_numpy(noisy(specimen()))[None, None]
    with torch.inference_mode():
        torch.testing.assert_close(network(2 * image), 2 * network(image))


def test_the_network_looks_no_farther_than_it_says():
    network = BlindSpotNetwork()
    middle = REACH_PX + 5
    image = torch.rand((1, 1, 2 * middle + 1, 2 * middle + 1), requires_grad=True)
    network(image)[0, 0, middle, middle].backward()
    seen = image.grad[0, 0] != 0
    assert seen[middle - REACH_PX : middle + REACH_PX + 1, middle].any()
    seen[middle - REACH_PX : middle + REACH_PX + 1, middle - REACH_PX : middle + REACH_PX + 1] = False
    assert not seen.any()


@pytest.mark.parametrize("along_px", [0, 2])
def test_hidden_pixels_hold_what_lies_on_other_lines(along_px):
    lines = torch.arange(40.0)[:, None].expand(40, 50)[None, None].contiguous()
    hidden, guessed = hide_pixels(lines, along_px, torch.Generator().manual_seed(0))
    changed = hidden != lines
    assert (changed & guessed).sum() == guessed.sum() > 0
    y, x = (int(n) for n in guessed[0, 0].nonzero()[0])
    assert changed[0, 0, y, max(0, x - along_px) : x + along_px + 1].all()
    assert float((hidden - lines).abs().max()) <= 2
    assert changed.float().mean() < 0.024 * (2 * along_px + 1)


def test_what_was_not_imaged_is_neither_learnt_nor_changed():
    image = noisy(specimen())
    image[:, 160:] = np.nan
    result = make_plugin("denoise", "n2v", steps=2)(image)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(image))


@pytest.fixture
def pictures(tmp_path):
    """A folder with two noisy pictures."""
    for number in range(2):
        pixels = np.rint(noisy(specimen(), seed=number).clip(0, 1) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def test_pictures_to_learn_from_can_be_named(pictures):
    frames = ArraySource([noisy(specimen(seed=5))])
    named, again, other = (
        make_plugin("denoise", "n2v", steps=2, learn_from=str(pictures / pattern)).adapt(frames, None)
        for pattern in ("*.png", "*", "0.png")
    )
    assert named.weights == again.weights != other.weights
    assert named.notes == ("n2v learnt from 2 image(s) in 2 steps and hid 1 px at a time.",)


def test_named_pictures_are_learnt_from_once_by_all_threads_and_anew_when_they_change(pictures, monkeypatch):
    count = 0

    def counted(*args):
        nonlocal count
        count += 1
        return train(*args)

    monkeypatch.setattr(training, "train", counted)
    learner = make_plugin("denoise", "n2v", steps=3, learn_from=str(pictures / "1.png"))
    image = noisy(specimen(seed=3))
    tile = BlockInfo(core=(slice(0, 64), slice(0, 64)))
    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda _: learner(image, tile), range(4)))
    assert count == 1
    for result in results:
        np.testing.assert_array_equal(result, learner.adapt(ArraySource([image]), None)(image, tile))
    os.utime(pictures / "1.png", (1, 1))
    learner(image, tile)
    assert count == 2


def test_pictures_that_cannot_be_learnt_from_are_told_before_the_work(pictures):
    with pytest.raises(InputError, match="pictures to learn from"):
        make_plugin("denoise", "n2v", learn_from=str(pictures / "*.tif")).prepare()
    Image.fromarray(np.zeros((8, 200), np.uint8)).save(pictures / "thin.png")
    learner = make_plugin("denoise", "n2v", learn_from=str(pictures / "thin.png"))
    for use in (learner.prepare, lambda: learner(noisy(specimen()))):
        with pytest.raises(InputError, match="no picture of 16 px"):
            use()


def test_a_device_that_is_not_there_is_one_sentence_before_the_work():
    with pytest.raises(UsageError, match="--device cuda:9 cannot be used here"):
        make_named("denoise", "n2v", Runtime(device="cuda:9")).prepare()


def test_the_time_ends_the_training_and_it_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        make_plugin("denoise", "n2v", steps=100_000, minutes=1e-3)(noisy(specimen()))
    assert "the time of 0.001 min ended" in caplog.text


def test_tiles_that_would_each_learn_for_themselves_are_refused():
    learner, image = make_plugin("denoise", "n2v", steps=1), noisy(specimen())
    with pytest.raises(InputError, match="learn_from"):
        learner(image, BlockInfo(core=(slice(0, 64), slice(0, 64))))
    with pytest.raises(InputError, match="no picture of 16 px"):
        learner(image[:8])


def test_naming_the_denoiser_imports_nothing_heavy():
    script = "import cemi_denoise_n2v.plugin, sys; print(any(m in sys.modules for m in ('torch', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
