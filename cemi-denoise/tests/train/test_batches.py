"""Claims about what a training reads: the same step gives the same batch, and what teaches nothing is left out."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from cemi_core.errors import InputError
from cemi_denoise.noise.degrade import SemDegradation
from cemi_denoise.noise.degrade_like import sem_degradation_like, smear_weights
from cemi_denoise.noise.local import local_noise_map
from cemi_denoise.noise.model import NoiseModel, estimate_noise_model
from cemi_denoise.train.batches import Batch, DegradedPatches, MixedBatches, PairedPatches, SeenTwice
from cemi_denoise.train.pictures import noisy_frames, read_pictures
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.sources import open_training_data, open_validation_data


def equal(one, two):
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in ("noisy", "target", "noise"))


def ramp(height=48, width=40):
    """Every pixel has its own grey level, so that a patch says where it comes from and how it was turned."""
    return np.linspace(0.2, 0.8, height * width, dtype=np.float32).reshape(height, width)


def test_a_batch_depends_on_the_step_and_on_nothing_before_it():
    data = DegradedPatches([ramp()], [(1.0, SemDegradation())], patch_px=16, batch=2, seed=3)
    seventh = data(7)
    data(8)
    assert equal(data(7), seventh)
    assert not equal(data(8), seventh)


def test_the_network_is_told_what_is_measured_on_the_noisy_patch():
    flat = np.full((64, 64), 0.5, np.float32)
    data = DegradedPatches([flat], [(1.0, SemDegradation())], 64, told_error=0, told_nothing=0)
    measured, true = replace(data, told_measured=1.0)(0), data(0)
    assert torch.equal(measured.noisy, true.noisy)
    expected = torch.tensor([float(local_noise_map(noisy[0].numpy()).mean()) for noisy in true.noisy])
    torch.testing.assert_close(measured.noise, expected)
    assert not torch.equal(measured.noise, true.noise)
    assert float((measured.noise / true.noise).median()) == pytest.approx(1, abs=0.15)


def test_grain_stays_in_the_clean_picture_and_is_not_told():
    flat = np.full((64, 64), 0.5, np.float32)
    told = {"told_error": 0, "told_nothing": 1.0, "told_measured": 1.0}
    batch = DegradedPatches([flat], [(1.0, SemDegradation(jitter_px=0))], 64, grain=1.0, **told)(0)
    grain = batch.target.std((1, 2, 3))
    assert ((grain > 0.009) & (grain < 0.082)).all()
    added = (batch.noisy - batch.target).std((1, 2, 3))
    torch.testing.assert_close(batch.noise, added, rtol=0.15, atol=0.005)  # clipping takes some of it


def test_kinds_of_data_get_their_share_of_the_steps():
    kinds = [
        lambda step, k=k: Batch(torch.full((1, 1, 2, 2), float(k)), torch.zeros(1), torch.zeros(1)) for k in range(2)
    ]
    mixed = MixedBatches([(3.0, kinds[0]), (1.0, kinds[1])], seed=1)
    found = [float(mixed(step).noisy.mean()) for step in range(400)]
    assert 0.18 < np.mean(found) < 0.32
    assert found == [float(mixed(step).noisy.mean()) for step in range(400)]


def test_both_views_of_a_pair_are_cut_at_the_same_place_and_never_turned():
    pair = SeenTwice(ramp(), ramp(), noise=0.1)
    data = PairedPatches([pair], patch_px=16, batch=8, contrast=(1.0, 1.0), told_error=0, told_nothing=0)
    batch = data(0)
    assert torch.equal(batch.noisy, batch.target)
    assert torch.allclose(batch.noise, torch.tensor(0.1))
    steps = (batch.noisy[..., 1:] - batch.noisy[..., :-1]).abs().mean((1, 2, 3))
    assert torch.allclose(steps, torch.full_like(steps, 0.6 / (48 * 40 - 1)), rtol=0.01)  # lines stay lines


def test_contrast_spreads_the_noise_of_a_pair_too():
    pair = SeenTwice(ramp(), ramp(), noise=0.1)
    data = PairedPatches([pair], patch_px=16, contrast=(0.5, 0.5), told_error=0, told_nothing=0)
    assert torch.allclose(data(0).noise, torch.tensor(0.05))


def test_pictures_that_teach_nothing_are_left_out_with_a_reason(tmp_path, caplog):
    rng = np.random.default_rng(0)
    good = rng.integers(1, 254, (40, 40), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "good.tif", good)
    tifffile.imwrite(tmp_path / "small.tif", good[:20])
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((40, 40), np.uint8))
    tifffile.imwrite(tmp_path / "white.tif", np.where(good > 100, 255, good).astype(np.uint8))
    with caplog.at_level(logging.WARNING, "cemi"):
        pictures = read_pictures(str(tmp_path), 32)
    assert len(pictures.arrays) == 1 and np.array_equal(pictures.arrays[0], good)
    told = caplog.text
    assert "40 x 20 px, less than a patch of 32 px" in told
    assert "is empty: all its pixels are equal" in told
    assert "is saturated: 6" in told


def test_no_picture_at_all_and_nan_are_one_sentence(tmp_path):
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((40, 40), np.uint8))
    with pytest.raises(InputError, match=r"no picture can be trained on: .*black.tif' is empty"):
        read_pictures(str(tmp_path), 32)
    bad = np.random.default_rng(0).random((40, 40), np.float32)
    bad[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "bad.tif", bad)
    with pytest.raises(InputError, match=r"bad.tif' holds pixels that are not numbers"):
        read_pictures(str(tmp_path), 32)


def test_every_page_of_a_stack_is_a_picture(tmp_path, caplog):
    pages = np.random.default_rng(0).integers(1, 254, (3, 40, 40), dtype=np.uint8)
    pages[1] = 7
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    with caplog.at_level(logging.WARNING, "cemi"):
        pictures = read_pictures(str(tmp_path), 32)
    assert np.array_equal(pictures.arrays, pages[[0, 2]])
    assert "stack.tif' (page 1) is empty" in caplog.text


def test_frames_whose_noise_cannot_be_measured_are_one_sentence(tmp_path):
    tifffile.imwrite(tmp_path / "small.tif", np.random.default_rng(0).integers(1, 254, (40, 80), dtype=np.uint8))
    with pytest.raises(InputError, match=r"no picture can be measured for its noise: .*small.tif' has less than 64 px"):
        noisy_frames(str(tmp_path))


def test_floats_beyond_one_are_scaled_alike(tmp_path):
    one = np.linspace(0, 1000, 1600, dtype=np.float32).reshape(40, 40)
    tifffile.imwrite(tmp_path / "a.tif", one)
    tifffile.imwrite(tmp_path / "b.tif", one / 2)
    a, b = read_pictures(str(tmp_path), 32).arrays
    assert a.max() == pytest.approx(1.0) and b.max() == pytest.approx(0.5)


@pytest.fixture
def scans(tmp_path):
    """Fast and slow scans of two fields, shifted by whole pixels, and of a third that do not match."""
    rng = np.random.default_rng(2)
    for number in range(3):
        field = np.cumsum(np.cumsum(rng.normal(0, 1, (140, 140)), 0), 1)
        field = (
            (field - field.min()) / np.ptp(field) * 0.5
            + 0.25
            + 0.1 * rng.choice((-1, 1), (70, 70)).repeat(2, 0).repeat(2, 1)
        )
        other = field if number < 2 else rng.random((140, 140))
        for folder, picture, noise in (("ld", field[:128, :128], 0.05), ("hd", other[4:132, 6:134], 0.005)):
            (tmp_path / folder).mkdir(exist_ok=True)
            noisy = picture + noise * rng.standard_normal((128, 128))
            tifffile.imwrite(tmp_path / folder / f"{number}.tif", np.rint(255 * noisy.clip(0, 1)).astype(np.uint8))
    return tmp_path


def recipe_of(folder, **changes):
    pairs = {"ld": str(folder / "ld"), "hd": str(folder / "hd"), "distortion": "shift", **changes}
    return TrainingRecipe.model_validate({"training": 1, "patch_px": 32, "batch": 4, "data": {"pairs": pairs}})


def test_real_pairs_are_registered_and_bad_ones_left_out_with_a_reason(scans, caplog):
    data = open_training_data(recipe_of(scans))
    assert data.summary[0].startswith("2 pairs of fast and slow scans")
    assert "pair left out: 2.tif: " in caplog.text
    batch = data.batches(0)
    assert (batch.noisy - batch.target).std() < 0.08  # 0.05 of noise, spread by the contrast; unregistered: 0.14


def test_one_pair_is_not_enough(scans):
    with pytest.raises(InputError, match="at least 2 pairs are needed here, and there are 1"):
        open_training_data(recipe_of(scans, ld=str(scans / "ld/0.tif"), hd=str(scans / "hd/0.tif")))


def test_one_pair_will_do_to_measure_on(scans):
    learnt = recipe_of(scans, ld=str(scans / "ld/1.tif"), hd=str(scans / "hd/1.tif")).model_dump(exclude_unset=True)
    one = {"pairs": {"ld": str(scans / "ld/0.tif"), "hd": str(scans / "hd/0.tif"), "distortion": "shift"}}
    recipe = TrainingRecipe.model_validate({**learnt, "validation": one})
    assert open_validation_data(recipe).summary == ("1 pair of fast and slow scans (0.0 Mpx)",)


@pytest.mark.parametrize(
    "measured", [{"pairs": {"ld": "ld/0.tif", "hd": "hd/0.tif"}}, {"images": "hd/0.tif", "sem": {}}]
)
def test_a_pair_is_not_both_trained_on_and_measured_on(scans, measured, monkeypatch):
    monkeypatch.chdir(scans)
    recipe = TrainingRecipe.model_validate({**recipe_of(scans).model_dump(exclude_unset=True), "validation": measured})
    with pytest.raises(InputError, match=r"0.tif' is both trained on and measured on"):
        open_validation_data(recipe)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.25, -0.08), (0.3, 0.05)])
def test_weights_of_the_smear_are_found_from_the_correlation(weights):
    beside, next_one = weights
    noise = np.convolve(np.random.default_rng(0).standard_normal(200_000), [next_one, beside, 1, beside, next_one])
    measured = tuple(float(np.mean(noise[:-lag] * noise[lag:]) / noise.var()) for lag in (1, 2, 3))
    assert smear_weights(measured) == pytest.approx(weights, abs=0.02)


def test_noise_like_that_of_a_measured_microscope_measures_the_same():
    planted = NoiseModel(gain=1 / 60, offset=0.02**2, line_correlation=(0.4, -0.05, 0.0), across_correlation=(0.0,))
    degradation = sem_degradation_like(planted, spread=1.01)
    clean = torch.linspace(0.2, 0.8, 8)[:, None, None, None].expand(8, 1, 128, 128).contiguous()
    noisy = degradation(clean, torch.Generator().manual_seed(0)).image
    found = estimate_noise_model(picture.numpy() for picture in noisy[:, 0])
    assert float(found.sigma(0.5)) == pytest.approx(float(planted.sigma(0.5)), rel=0.12)
    assert found.line_correlation[0] == pytest.approx(0.4, abs=0.08)
