"""What the denoisers with networks promise, with tiny untrained weights; what needs trained ones uses those shipped."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve1d, gaussian_filter

from cemi_core.errors import InputError, UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo, Denoiser, Runtime
from cemi_core.numeric.tiles import denoise_box, denoise_image
from cemi_core.testing.kits import DenoiserTests
from cemi_core.testing.samples import textured_image
from cemi_denoise.denoisers.neural import (
    SemganDenoiser,
    SemganSettings,
    SemnetDenoiser,
    SemnetSettings,
    abilities,
    make_semgan,
    with_grey_level_of,
)
from cemi_denoise.network.networks import build_network
from cemi_denoise.network.weights import save_weights, shipped_weights
from cemi_run.engine.executors import open_executor, spread

TINY = {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4}
HALF_A_GREY_LEVEL = 0.5 / 255


@pytest.fixture(scope="module")
def tiny_weights(random_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, random_network(TINY), TINY, {})
    return str(path)


@pytest.fixture(scope="module")
def tiny(tiny_weights):
    return partial(SemganDenoiser, tiny_weights, dtype="float32")


def specimen(shape=(220, 260), seed=0):
    blobs = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 6)
    return gaussian_filter(np.where(blobs > 0, 0.65, 0.35), 0.8).astype(np.float32)


def noisy(image, sigma=0.08, seed=1):
    noise = np.random.default_rng(seed).standard_normal(image.shape)
    return np.clip(image + sigma * noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize("name", ["semnet", "semgan"])
class TestAsPlugins(DenoiserTests):
    @pytest.fixture(autouse=True)
    def _named(self, name, tiny_weights):
        self.name, self.settings = name, {"weights": tiny_weights}

    more_settings = ({"adapt": "overlaps"},)


def test_a_detector_that_uses_a_part_of_the_range_gets_the_same_answer(tiny):
    image = noisy(specimen())
    image[0, 0] = 0.9
    for known in ({}, {"noise": 0.08}):
        expected = tiny(**known)(image)
        few_counts = {name: value / 64 for name, value in known.items()}
        np.testing.assert_allclose(64 * tiny(**few_counts)(image / 64), expected, atol=1e-6)
    tiled = denoise_image(tiny(), image / 64, tile_px=100)
    np.testing.assert_allclose(64 * tiled, denoise_image(tiny(), image, tile_px=100), atol=1e-5)


def test_of_a_known_noise_no_more_is_taken_away_than_that():
    grain = 0.06 * np.random.default_rng(5).standard_normal((220, 260))
    target = np.clip(specimen() + grain, 0, 1).astype(np.float32)
    image = noisy(target, 0.06, seed=6)
    told, blind = (SemnetDenoiser(noise=noise)(image) for noise in (0.06, "auto"))
    left = [float(np.mean((result - target) ** 2)) for result in (told, blind, image)]
    # of two equal variances, the best that can be done leaves half of one
    assert left[0] < 0.75 * min(left[1:])
    clean = noisy(specimen(), 0.06)
    np.testing.assert_allclose(SemnetDenoiser(noise=0.06)(clean), SemnetDenoiser()(clean), atol=0.05)


@pytest.mark.skipif(not shipped_weights(), reason="no weights are shipped yet")
@pytest.mark.parametrize("name", list(shipped_weights()))
class TestShippedWeights(DenoiserTests):
    @pytest.fixture(autouse=True)
    def _named(self, name):
        self.weights = name

    def make(self):
        return SemganDenoiser(weights=self.weights, dtype="float32")

    @pytest.mark.parametrize("correlation", [0.0, 0.3], ids=["white", "smeared along the line"])
    @pytest.mark.parametrize("sigma", [0.05, 0.15])
    def test_noise_is_removed(self, sigma, correlation):
        clean = specimen()
        noise = np.random.default_rng(3).standard_normal(clean.shape)
        kernel = np.array([correlation, 1, correlation])
        image = clean + sigma * convolve1d(noise, kernel / np.sqrt((kernel**2).sum()), axis=1)
        image = np.clip(image, 0, 1).astype(np.float32)
        assert np.mean((self.make()(image) - clean) ** 2) < np.mean((image - clean) ** 2) / 4

    def test_a_picture_without_noise_changes_by_little_more_than_one_grey_level_of_256(self):
        clean = specimen()
        change = self.make()(clean) - clean
        assert np.sqrt(np.mean(change**2)) < 1.5 / 255
        assert np.abs(change).max() < 0.1


@settings(max_examples=6, deadline=None)
@given(height=st.integers(60, 150), width=st.integers(80, 200), holes=st.booleans(), cell=st.integers(128, 260))
def test_no_tiling_shows_a_seam(tiny, height, width, holes, cell):
    image = noisy(specimen((250, 310)), 0.15)
    if holes:
        image[40:90, 60:75] = np.nan
        image[:, 290:] = np.nan
    denoiser = tiny(tile_px=cell)
    whole, result = tiny(tile_px=1024)(image), np.empty_like(image)
    for box in Box(0, 0, *image.shape).tiles(height, width):
        result[box.slices] = denoise_box(denoiser, lambda b: image[b.slices], box, image.shape)
    assert np.nanmax(np.abs(whole - result)) < HALF_A_GREY_LEVEL
    np.testing.assert_array_equal(np.isnan(result), np.isnan(image))


def test_tiles_that_begin_anywhere_fold_pixels_as_the_picture_does(tiny):
    image = noisy(specimen((400, 500)), 0.15)
    denoiser = tiny(noise=0.15)
    wrong = denoiser(image[1:, 3:])[100:200, 100:200]
    right = denoise_box(denoiser, lambda b: image[b.slices], Box(101, 103, 100, 100), image.shape)
    whole = denoiser(image)[101:201, 103:203]
    assert np.abs(right - whole).max() < HALF_A_GREY_LEVEL < np.abs(wrong - whole).max()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_other_types_come_back_in_their_own_type_and_scale(tiny, dtype):
    image = noisy(specimen())
    top = np.iinfo(dtype).max if dtype != "float64" else 1
    given_image = (np.rint(image * top) if top > 1 else image).astype(dtype)
    result = tiny()(given_image)
    assert result.dtype == dtype
    np.testing.assert_allclose(np.clip(result / top, 0, 1), np.clip(tiny()(image), 0, 1), atol=0.02)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_no_strength_is_the_picture_itself(tiny, dtype):
    image = np.random.default_rng(0).random((40, 50))
    image = image.astype(dtype) if dtype.startswith("float") else (image * np.iinfo(dtype).max).astype(dtype)
    result = tiny(strength=0)(image)
    np.testing.assert_array_equal(result, image)
    assert result.dtype == image.dtype
    assert result is not image


def test_half_the_strength_is_half_the_change(tiny):
    image = noisy(specimen())
    np.testing.assert_allclose(tiny(strength=0.5)(image) - image, (tiny()(image) - image) / 2, atol=1e-6)


@pytest.mark.parametrize("bad", [np.zeros(5, np.float32), np.zeros((0, 4), np.float32), np.zeros((4, 4), np.int32)])
@pytest.mark.parametrize("strength", [0, 1])
def test_what_is_no_picture_is_refused_in_a_sentence(tiny, bad, strength):
    with pytest.raises(InputError, match="a picture to denoise"):
        tiny(strength=strength)(bad)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (40, 1), (5, 2500)])
def test_pictures_of_any_size_are_denoised(tiny, shape):
    result = tiny()(noisy(np.full(shape, 0.5, np.float32)))
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_missing_pixels_stay_missing_and_do_not_darken_their_neighbours(tiny):
    image = noisy(np.full((160, 160), 0.8, np.float32), 0.02)
    image[:, 80:] = np.nan
    result = tiny(noise=0.02)(image)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(image))
    assert result[:, 70:80].mean() == pytest.approx(0.8, abs=0.01)
    assert np.isnan(tiny()(np.full((40, 50), np.nan, np.float32))).all()


def test_pixels_that_are_not_valid_do_not_count_and_come_back_as_they_were(tiny):
    image = noisy(np.full((160, 160), 0.8, np.float32), 0.02)
    image[:, 80:] = 0
    valid = np.zeros(image.shape, bool)
    valid[:, :80] = True
    result = tiny()(image, BlockInfo(valid=valid))
    assert result[:, 70:80].mean() == pytest.approx(0.8, abs=0.01)
    assert (result[:, 80:] == 0).all()


def test_the_grey_level_is_kept_everywhere(tiny):
    image = noisy(specimen((300, 320)), 0.1)
    result = tiny()(image)
    assert result.mean() == pytest.approx(image.mean(), rel=0.002)
    changes = gaussian_filter(result - image, 32)
    assert np.abs(changes).max() < 0.002
    assert np.abs(result - image).max() > 0.02  # the network did change it


def test_slow_changes_of_grey_come_from_the_picture_and_fine_detail_from_the_network():
    y, x = np.mgrid[:200, :200]
    slow = (0.5 + 0.2 * np.sin(x / 100)).astype(np.float32)
    fine = (0.05 * np.sign(np.sin(y))).astype(np.float32)
    np.testing.assert_allclose(
        with_grey_level_of(slow, fine)[60:140, 60:140], (slow + fine)[60:140, 60:140], atol=0.012
    )


def test_what_the_network_is_told_of_the_noise_matters(tiny):
    image = noisy(specimen(), 0.1)
    results = [tiny(noise=noise)(image) for noise in ("auto", "unknown", 0.1, 0.3)]
    assert np.abs(results[0] - results[2]).mean() < np.abs(results[0] - results[3]).mean()
    assert np.abs(results[1] - results[2]).mean() > 1e-4


def test_a_picture_without_noise_is_left_alone(tiny):
    clean = textured_image()
    assert np.abs(tiny()(clean) - clean).max() < np.abs(tiny(noise="unknown")(clean) - clean).max() / 4


def denoise_some(denoiser, seeds):
    return [denoiser(noisy(specimen((90, 100), seed))) for seed in seeds]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_every_executor_gives_the_same(tiny, kind):
    alone = denoise_some(tiny(), range(3))
    with open_executor(kind, 2 if kind == "threads" else 1) as executor:
        answers = [answer for _, answer in spread(executor, denoise_some, tiny(), range(3), in_flight=4, batch=1)]
    np.testing.assert_array_equal(alone, answers)


def test_threads_of_the_machine_reach_torch_and_change_nothing(tiny):
    image = noisy(specimen())
    one = tiny(threads=1)(image)
    two = pickle.loads(pickle.dumps(tiny(threads=2)))(image)
    assert torch.get_num_threads() == 2
    tiny(threads=1)(image)
    assert torch.get_num_threads() == 1
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_weights_that_change_on_disk_are_loaded_again(tiny_weights, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(Path(tiny_weights).read_bytes())
    image = noisy(specimen())
    before = SemnetDenoiser(weights="mine", weights_dir=str(tmp_path))(image)
    save_weights(path, build_network(TINY), TINY, {})  # has learnt nothing, so it changes nothing
    os.utime(path, ns=(1, 1))
    np.testing.assert_allclose(SemnetDenoiser(weights=str(path))(image), image, atol=1e-6)
    assert np.abs(before - image).max() > 0.01


def test_missing_and_damaged_weights_are_told_before_the_work_starts(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"1234")
    for name, message in [("none-such", "there are no weights 'none-such'"), ("bad", "not a whole safetensors file")]:
        with pytest.raises(InputError, match=message):
            make_semgan(SemganSettings(weights=name), Runtime(weights_dir=str(tmp_path))).prepare()


@pytest.mark.parametrize("device", ["cuda:7", "warp-drive"])
def test_a_device_that_is_not_there_is_one_sentence(tiny_weights, device):
    with pytest.raises(UsageError, match=f"--device {device} cannot be used here"):
        make_semgan(SemganSettings(weights=tiny_weights), Runtime(device=device)).prepare()


def test_only_one_that_adapts_asks_for_a_layout(tiny):
    assert not abilities(SemnetSettings()).learns
    assert abilities(SemnetSettings(adapt="overlaps")).needs_layout
    assert isinstance(tiny(), Denoiser)


def test_large_pictures_are_cut_so_that_memory_is_bounded(tiny):
    image = noisy(specimen((300, 2100)))
    np.testing.assert_array_equal(tiny()(image), denoise_image(tiny(), image))


def test_describing_the_denoisers_does_not_import_torch():
    script = (
        "import sys; from cemi_core.plugins.manager import registry; "
        "[p.description.load_settings() for p in registry().denoisers if p.package == 'cemi-denoise']; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_adapting_hands_the_better_weights_to_every_process(tiny, random_network, monkeypatch):
    from types import SimpleNamespace

    better = random_network(TINY, gain=2.5)
    asked = []

    def fake(network, frames, layout, minutes, seed, **machine):
        asked.append((frames, layout, minutes, seed, machine))
        return SimpleNamespace(network=better, used=layout == "good", note="so it went")

    monkeypatch.setitem(sys.modules, "cemi_denoise.train.adapt", SimpleNamespace(adapt_to_overlaps=fake))
    image, before = noisy(specimen()), tiny(adapt_to="overlaps", adapt_minutes=0.5, seed=3)
    for layout, changes in (("good", True), ("useless", False)):
        after = pickle.loads(pickle.dumps(before.adapt("frames", layout)))
        assert after.notes == ("so it went",)
        assert not after.still_learns
        assert (np.abs(after(image) - tiny()(image)).max() > 0.01) == changes
    assert asked[0] == ("frames", "good", 0.5, 3, {"threads": 1, "device": "cpu"})
    assert replace(before, adapt_to="none")(image) == pytest.approx(tiny()(image))
