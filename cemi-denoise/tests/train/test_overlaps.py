"""Claims about training on overlapping frames alone: no clean picture is seen, and the noise still goes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from cemi_core.errors import InputError
from cemi_core.model.frame import Frame
from cemi_core.model.layout import Layout
from cemi_denoise.network.weights import load_weights
from cemi_denoise.register.overlaps import find_overlaps
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.run import train
from cemi_denoise.train.sources import open_training_data, open_validation_data
from cemi_denoise.train.task import DenoiserTask
from cemi_run.engine.folder import RunFolder, StepRecord
from cemi_run.steps.place import load_layout
from cemi_run.store.frames import FrameStore, StoredFrames
from cemi_run.store.hdf5_table import new_hdf5_file
from cemi_run.store.run_file import write_layout

NOISE = 0.12
SIDE, STEP = 160, 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with four frames of one specimen in a row, which overlap by 100 px, and the specimen itself."""
    rng = np.random.default_rng(0)
    specimen = gaussian_filter((gaussian_filter(rng.standard_normal((SIDE, SIDE + 3 * STEP)), 4) > 0) * 0.4 + 0.3, 0.8)
    folder = RunFolder(tmp_path_factory.mktemp("run") / "run")
    places = np.array([[0.0, STEP * number] for number in range(4)])
    with folder.opened_for_writing():
        store = FrameStore.create(folder.frames, (SIDE, SIDE), np.uint8)
        for number in range(4):
            view = specimen[:, STEP * number : STEP * number + SIDE]
            noisy = np.clip(view + NOISE * rng.standard_normal(view.shape), 0, 1)
            store.write(number, np.rint(255 * noisy).astype(np.uint8))
        store.write_table([Frame(number, f"{number}.tif", (SIDE, SIDE)) for number in range(4)])
        flat = {
            "component": np.zeros(4, int),
            "residual_px": np.full(4, 0.1),
            "gain": np.ones(4),
            "offset": np.zeros(4),
        }
        layout = Layout(places, np.full((4, 2), SIDE), placed_by_prior=np.zeros(4, bool), **flat)
        with new_hdf5_file(folder.inner / "layout.h5") as file:
            write_layout(file, layout)
        for name, output in (("frames", "frames.zarr"), ("layout", ".cemi/layout.h5")):
            folder.finish(StepRecord(name, "", {}, {}, (output,), 0.0))
    return folder.path, specimen


def recipe_of(folder, **changes):
    return TrainingRecipe.model_validate(
        {
            "training": 1,
            "network": {"name": "UNet", "features": 8, "levels": 1},
            "data": {"overlaps": {"run": str(folder)}},
            "validation": {"overlaps": {"run": str(folder)}, "batches": 1, "batch": 4},
            "steps": 40,
            "batch": 8,
            "patch_px": 32,
            "learning_rate": 1e-2,
            "average": 0.9,
            "tensorboard": False,
            **changes,
        }
    )


def test_before_the_first_step_it_is_said_which_overlaps_are_read(run, caplog):
    folder, _ = run
    with caplog.at_level("INFO", "cemi"):
        open_training_data(recipe_of(folder))
        open_validation_data(recipe_of(folder))
    for purpose in ("train", "measure"):
        assert f"reading what to {purpose} on: overlaps of the frames of {folder}" in caplog.text


def test_noise_goes_without_any_clean_picture(run, tmp_path):
    folder, specimen = run
    train(recipe_of(folder), tmp_path / "out")
    network = load_weights(str(tmp_path / "out/weights.safetensors")).network
    noisy = specimen + NOISE * np.random.default_rng(9).standard_normal(specimen.shape)
    with torch.inference_mode():
        image = torch.from_numpy(noisy.astype(np.float32))[None, None]
        clean = network(image, torch.tensor([NOISE]))[0, 0].numpy()
    assert np.std(clean - specimen) < 0.5 * np.std(noisy - specimen)


def test_what_is_measured_on_is_not_trained_on(run):
    folder, _ = run
    recipe = recipe_of(folder)
    trained, held = open_training_data(recipe).batches, open_validation_data(recipe).batches
    assert not {overlap.frames for overlap in trained.overlaps} & {overlap.frames for overlap in held.overlaps}


def test_noisy_targets_get_the_squared_error_whose_minimum_is_the_mean(run):
    folder, _ = run
    assert DenoiserTask.opened(recipe_of(folder)).grey_error == "squared"
    absolute = recipe_of(folder, losses={"grey_error": "absolute"})
    assert DenoiserTask.opened(absolute).grey_error == "absolute"


def test_a_folder_without_a_run_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="is not a folder of a run of 'cemi recipe'"):
        open_training_data(recipe_of(tmp_path))
    with RunFolder(tmp_path / "empty").opened_for_writing():
        pass
    with pytest.raises(InputError, match="has no finished step 'frames'; run the recipe again"):
        open_training_data(recipe_of(tmp_path / "empty"))


def test_patches_larger_than_every_overlap_are_one_sentence(run):
    folder, _ = run
    with pytest.raises(InputError, match="no two frames overlap by 140 px"):
        open_training_data(recipe_of(folder, patch_px=128))


def test_parts_of_the_only_overlap_that_are_smaller_than_a_patch_are_one_sentence(run, monkeypatch):
    folder, _ = run
    one = find_overlaps(StoredFrames(folder / "frames.zarr"), load_layout(folder / ".cemi/layout.h5"), 64, 0, most=1)
    monkeypatch.setattr("cemi_denoise.train.sources.open_overlaps", lambda *more: one)
    with pytest.raises(InputError, match=r"a part of \d\d px, less than a patch, is for validation; lower 'patch_px'"):
        open_validation_data(recipe_of(folder, patch_px=64))
