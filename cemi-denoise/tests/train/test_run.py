"""Claims about a training: it learns, goes on as if it had never stopped, and says what is wrong in one sentence."""

import csv
import errno
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from cemi_core.errors import InputError, RunInUseError, StorageError, UsageError
from cemi_core.model.training import TrainingLimits
from cemi_denoise.network.weights import load_weights, save_weights
from cemi_denoise.train.batches import Batch
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.run import train
from cemi_denoise.train.start import start_networks
from cemi_denoise.train.task import DenoiserTask
from cemi_learn.bench.checkpoint import read_checkpoint, write_checkpoint
from cemi_learn.bench.learner import Learner
from cemi_learn.device import Machine
from cemi_run.cli.main import run
from cemi_run.engine.folder import RunFolder

TINY = {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4, "detail": 0, "kernels": 0}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Clean stripes of several directions and widths; the last picture is for validation."""
    folder = tmp_path_factory.mktemp("pictures")
    ys, xs = np.mgrid[:64, :64]
    for number in range(4):
        angle, width = 0.7 * number, 6 + 2 * number
        stripes = np.sin(2 * np.pi * (ys * np.sin(angle) + xs * np.cos(angle)) / width) > 0
        name = "train" if number < 3 else "validate"
        (folder / name).mkdir(exist_ok=True)
        tifffile.imwrite(folder / name / f"{number}.tif", np.where(stripes, 180, 70).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def recipe(pictures):
    """Return a recipe of a tiny training with some changes."""

    def made(**changes):
        return TrainingRecipe.model_validate(
            {
                "training": 1,
                "network": TINY,
                "data": {"images": str(pictures / "train"), "sem": {}},
                "validation": {"images": str(pictures / "validate"), "sem": {}, "batches": 1, "batch": 4},
                "steps": 6,
                "batch": 2,
                "patch_px": 32,
                "learning_rate": 1e-3,
                "every": {"log": 2, "validation": 4, "samples": 4, "checkpoint": 2},
                "tensorboard": False,
                **changes,
            }
        )

    return made


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """Return the folder of the tiny training, done; it is only looked at."""
    folder = tmp_path_factory.mktemp("trained") / "mine"
    train(recipe(), folder)
    return folder


def weights_of(folder):
    return load_file(folder / "weights.safetensors")


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def rows_of(folder):
    with (folder / "log.csv").open() as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


def average_in(learner):
    """Return the weights of the moving average in a checkpoint."""
    return {name.removeprefix("module."): value for name, value in learner["average"].items() if name != "n_averaged"}


class Slopes(nn.Module):
    """Stands for the perceptual loss where VGG19 would take too long."""

    def forward(self, output, target):
        return functional.l1_loss(output.diff(dim=-1), target.diff(dim=-1))


@pytest.fixture
def slopes(monkeypatch):
    monkeypatch.setattr("cemi_denoise.train.start.load_perceptual_loss", lambda folder: Slopes())


def test_a_training_learns_to_take_out_noise(recipe, tmp_path, pictures):
    strong = {"electrons": [8, 12], "amplifier": [0.01, 0.02]}
    outcome = train(
        recipe(
            network={"name": "UNet", "features": 6, "levels": 1},
            data={"images": str(pictures / "train"), "sem": strong},
            validation={"images": str(pictures / "validate"), "sem": strong, "batches": 1, "batch": 4},
            steps=40,
            learning_rate=1e-2,
            average=0.9,
            every={"samples": 100},
        ),
        tmp_path / "out",
    )
    assert outcome.finished
    assert outcome.scores["psnr"] > outcome.noisy_scores["psnr"] + 2


def test_a_training_leaves_weights_their_card_a_table_and_samples(trained):
    loaded = load_weights(str(trained / "weights.safetensors"))
    assert loaded.card["steps_done"] == 6 and loaded.card["data"][0].startswith("3 pictures")
    card = (trained / "weights.md").read_text()
    assert "# mine" in card and "| psnr |" in card and "learning rate 0.001" in card
    rows = rows_of(trained)
    assert [row["step"] for row in rows] == ["0", "2", "4", "6"]
    assert [bool(row["psnr"]) for row in rows] == [True, False, True, True]
    assert [bool(row["l1"]) for row in rows] == [False, True, True, True]
    assert sorted(path.name for path in (trained / "samples").iterdir()) == ["step-000004.png", "step-000006.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such name")
def test_a_folder_whose_name_is_no_utf_8_gets_its_card_too(recipe, tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    train(recipe(validation=None, steps=1), folder)
    assert (folder / "weights.md").read_text(encoding="utf-8").startswith("# \\udcff\n")


def test_the_last_step_is_in_the_table_however_short_the_training(recipe, tmp_path):
    outcome = train(recipe(steps=3, every={"log": 100, "validation": 100}), tmp_path / "out")
    first, last = rows_of(tmp_path / "out")
    assert (first["step"], last["step"]) == ("0", "3")
    assert float(last["l1"]) > 0
    assert float(last["psnr"]) == pytest.approx(outcome.scores["psnr"], rel=1e-5)


def test_the_average_is_what_is_written(trained):
    learner = read_checkpoint(trained / "checkpoint.safetensors")["learner"]
    assert same(weights_of(trained), average_in(learner))
    assert not same(average_in(learner), learner["networks"]["network"])


@pytest.mark.parametrize("stage", ["semnet", "semgan"])
def test_a_stopped_training_goes_on_as_if_it_had_never_stopped(recipe, tmp_path, stage, slopes):
    settings = recipe(stage=stage, schedule="cosine", precision="bfloat16", discriminator_features=4)
    train(settings, tmp_path / "whole")
    for steps in (1, 4, None):  # between two lines of the table, and with one
        outcome = train(settings, tmp_path / "pieces", limits=TrainingLimits(steps=steps))
    assert outcome.finished
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "pieces"))
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "pieces")


def test_scaled_gradients_of_16_bit_training_go_on_too(recipe, tmp_path):
    settings = recipe(precision="float16")
    train(settings, tmp_path / "whole")
    train(settings, tmp_path / "pieces", limits=TrainingLimits(steps=3))
    train(settings, tmp_path / "pieces")
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "pieces"))


@pytest.mark.parametrize("step", [1, 3, 4])
def test_a_training_that_dies_in_the_middle_of_a_step_goes_on_from_its_last_checkpoint(
    recipe, trained, tmp_path, monkeypatch, step
):
    whole_step = Learner._follow

    def die(self):
        if self.step_number == step:
            raise KeyboardInterrupt
        whole_step(self)

    monkeypatch.setattr(Learner, "_follow", die)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tmp_path / "killed")
    monkeypatch.undo()
    train(recipe(), tmp_path / "killed")
    assert same(weights_of(trained), weights_of(tmp_path / "killed"))
    assert rows_of(trained) == rows_of(tmp_path / "killed")


def test_killed_without_warning_it_goes_on_to_the_same_weights(recipe, tmp_path):
    settings = recipe(steps=12, every={"log": 2, "validation": 50, "samples": 50, "checkpoint": 1})
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    call = [sys.executable, "-m", "cemi_run.cli", "train", "denoiser", "r.yaml", "--out", "killed", "--threads", "1"]
    process = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed/checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(settings, tmp_path / "killed")
        train(recipe(steps=12, every={"checkpoint": 100}), tmp_path / "whole")
    finally:
        torch.set_num_threads(threads)
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed"))


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "weights.safetensors"])
def test_a_full_disk_ends_in_one_sentence_and_the_old_file_stays(recipe, tmp_path, monkeypatch, name):
    train(recipe(), tmp_path / "out", limits=TrainingLimits(steps=2))
    old = (tmp_path / "out" / name).read_bytes()
    write = Path.write_bytes

    def full(self, data):
        if self.name.endswith(name):
            write(self, bytes(data)[:1000])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=rf"no space left on .*{name}: free some space"):
        train(recipe(), tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == old
    assert not list((tmp_path / "out").glob(".partial*"))


def test_a_folder_with_another_training_is_left_alone(recipe, tmp_path, pictures):
    train(recipe(), tmp_path / "out", limits=TrainingLimits(steps=1))
    with pytest.raises(InputError, match=r"holds another training: its 'learning_rate' is 0\.001, not 0\.002"):
        train(recipe(learning_rate=2e-3), tmp_path / "out")
    fewer = {"images": str(pictures / "train/0.tif"), "sem": {}}
    with pytest.raises(InputError, match=r"its 'data\.pixels' is"):
        train(recipe(data=fewer), tmp_path / "out")
    train(recipe(every={"log": 1}), tmp_path / "out")  # how often it is logged is nothing that the weights know


def test_a_finished_training_of_which_more_steps_are_wanted_says_how(recipe, trained, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "mine"))
    with pytest.raises(InputError, match=r"finished after 6 steps; .* start_from: .*mine.weights\.safetensors"):
        train(recipe(steps=8), folder)
    with pytest.raises(InputError, match="holds another training: its 'seed'"):
        train(recipe(steps=8, seed=1), folder)


def test_a_finished_training_is_not_taken_for_one_from_newer_weights_of_the_same_name(recipe, trained, tmp_path):
    start = Path(shutil.copy(trained / "weights.safetensors", tmp_path))
    settings = recipe(network=None, start_from=str(start), steps=1)
    train(settings, tmp_path / "out")
    train(settings, tmp_path / "out")  # the same ones
    loaded = load_weights(str(start))
    loaded.network.last.bias.data += 0.01
    save_weights(start, loaded.network, loaded.architecture, loaded.card)
    with pytest.raises(InputError, match="started from other weights of the same name"):
        train(settings, tmp_path / "out")


def test_a_folder_with_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("x")
    with pytest.raises(StorageError, match="holds other files"):
        train(recipe(), tmp_path / "notes")
    run_folder = RunFolder(tmp_path / "run")
    with run_folder.opened_for_writing():
        run_folder.run_file.write_bytes(b"")
        with pytest.raises(InputError, match="holds a run of 'cemi recipe'"):
            train(recipe(), tmp_path / "run")
    with RunFolder(tmp_path / "busy").opened_for_writing(), pytest.raises(RunInUseError):
        train(recipe(), tmp_path / "busy")


def test_a_damaged_checkpoint_is_named(recipe, tmp_path):
    train(recipe(), tmp_path / "out", limits=TrainingLimits(steps=1))
    path = tmp_path / "out/checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"checkpoint.safetensors is not a checkpoint, or damaged: remove it"):
        train(recipe(), tmp_path / "out")


def test_a_checkpoint_of_a_network_whose_parts_have_changed_is_named(recipe, tmp_path):
    train(recipe(), tmp_path / "out", limits=TrainingLimits(steps=1))
    path = tmp_path / "out/checkpoint.safetensors"
    content = read_checkpoint(path)
    content["learner"]["networks"]["network"].popitem()
    write_checkpoint(path, content)
    with pytest.raises(InputError, match=r"checkpoint.safetensors does not fit this network: remove it"):
        train(recipe(), tmp_path / "out")


def test_a_table_that_is_no_text_any_more_is_begun_again(recipe, tmp_path):
    train(recipe(), tmp_path / "out", limits=TrainingLimits(steps=2))
    (tmp_path / "out/log.csv").write_bytes(b"\xff\xfes\x00t\x00")
    train(recipe(), tmp_path / "out")
    assert [row["step"] for row in rows_of(tmp_path / "out")] == ["4", "6"]


def test_a_training_starts_from_other_weights_and_takes_over_their_network(recipe, trained):
    start = str(trained / "weights.safetensors")
    begun = start_networks(recipe(network=None, start_from=start), None)
    assert begun.architecture["features"] == 8
    assert same(begun.by_name["network"].state_dict(), weights_of(trained))
    by_name = start_networks(recipe(network=None, start_from="weights"), str(trained))
    assert same(by_name.by_name["network"].state_dict(), weights_of(trained))


def test_detail_and_kernels_can_be_added_to_weights_to_start_from(recipe, trained):
    start = str(trained / "weights.safetensors")
    more = {key: value for key, value in TINY.items() if key not in ("detail", "kernels")}
    begun = start_networks(recipe(network=more, start_from=start), None)
    assert begun.architecture["detail"] == 16
    own = begun.by_name["network"].state_dict()
    assert len(own) > len(weights_of(trained))
    assert same({name: own[name] for name in weights_of(trained)}, weights_of(trained))


def test_wrong_weights_to_start_from_are_one_sentence(recipe, trained, tmp_path):
    start = Path(shutil.copy(trained / "weights.safetensors", tmp_path))
    with pytest.raises(InputError, match=r"holds the network RRDBNet \(.*features 8.*asks for RRDBNet \(.*features 4"):
        start_networks(recipe(network={**TINY, "features": 4}, start_from=str(start)), None)
    start.write_bytes(start.read_bytes()[:500])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        start_networks(recipe(start_from=str(start)), None)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="does not say which network it belongs to"):
        start_networks(recipe(start_from=str(tmp_path / "foreign.safetensors")), None)
    with pytest.raises(InputError, match="there are no weights 'nowhere'"):
        start_networks(recipe(start_from="nowhere"), None)


def test_a_device_that_is_not_there_is_one_sentence(recipe, tmp_path):
    for device in ("cuda:77", "meta"):
        with pytest.raises(UsageError, match=f"--device {device} cannot be used here"):
            train(recipe(), tmp_path / "out", Machine(device=device))


def test_a_training_that_diverges_says_so_and_keeps_its_checkpoint(recipe, tmp_path):
    learner = Learner(DenoiserTask.opened(recipe()), recipe().plan())
    nothing = Batch(torch.zeros(1, 1, 32, 32), torch.full((1, 1, 32, 32), float("inf")), torch.zeros(1))
    with pytest.raises(InputError, match="diverged at step 0; lower the learning rate"):
        learner.step(nothing)


def test_weights_that_are_no_numbers_are_never_written(recipe, tmp_path, monkeypatch):
    whole_step = Learner._follow

    def diverge(self):
        if self.step_number == 5:  # in the last step, after its loss is known
            self.network.last.bias.data[:] = float("nan")
        whole_step(self)

    monkeypatch.setattr(Learner, "_follow", diverge)
    with pytest.raises(InputError, match="diverged at step 6; lower the learning rate"):
        train(recipe(validation=None, every={"checkpoint": 2, "samples": 99}), tmp_path / "out")
    assert not (tmp_path / "out/weights.safetensors").exists()
    kept = read_checkpoint(tmp_path / "out/checkpoint.safetensors")["learner"]
    assert kept["step"] == 4 and all(bool(value.isfinite().all()) for value in kept["average"].values())


def test_weights_to_start_from_that_answer_with_no_numbers_are_one_sentence(recipe, trained, tmp_path):
    loaded = load_weights(str(trained / "weights.safetensors"))
    loaded.network.trunk[0].blocks[0].convolutions[0].weight.data *= 1e30
    loaded.network.after_trunk.weight.data *= 1e30
    save_weights(tmp_path / "far.safetensors", loaded.network, loaded.architecture, {})
    with pytest.raises(InputError, match="makes pixels that are not numbers, since its training diverged"):
        train(recipe(network=None, start_from=str(tmp_path / "far.safetensors")), tmp_path / "out")


def test_a_network_that_does_harm_is_said_to(recipe, tmp_path, caplog):
    train(recipe(learning_rate=1.0, steps=8), tmp_path / "bad")
    assert "the network makes the pictures of 'validation' worse: PSNR" in caplog.text
    caplog.clear()
    train(recipe(learning_rate=1e-9, steps=1), tmp_path / "idle")
    assert re.search(r"'validation' no better: PSNR (.*) dB, and \1 dB before", caplog.text)
    caplog.clear()
    train(recipe(learning_rate=1e-9), tmp_path / "stopped", limits=TrainingLimits(steps=1))  # nothing can be said yet
    assert "before" not in caplog.text


def test_a_training_that_spoils_the_weights_at_the_start_is_said_to_even_if_it_was_stopped(
    recipe, trained, tmp_path, caplog
):
    start = Path(shutil.copy(trained / "weights.safetensors", tmp_path))
    settings = recipe(network=None, start_from=str(start), learning_rate=1.0, steps=4)
    train(settings, tmp_path / "bad", limits=TrainingLimits(steps=1))
    assert "at the start" not in caplog.text
    outcome = train(settings, tmp_path / "bad")
    at_start = float(rows_of(tmp_path / "bad")[0]["psnr"])
    assert outcome.start_scores["psnr"] == pytest.approx(at_start, rel=1e-5)
    assert outcome.scores["psnr"] < at_start
    said = f"PSNR {outcome.scores['psnr']:.2f} dB, and {at_start:.2f} dB at the start"
    assert f"the weights that it started from worse: {said}" in caplog.text
    card = (tmp_path / "bad/weights.md").read_text()
    assert "without it | at the start | this network |" in card and f" | {at_start:.4g} | " in card


def test_scores_at_the_start_are_of_the_weights_and_the_pictures_of_now(recipe, trained, tmp_path, pictures, caplog):
    assert train(recipe(steps=1), tmp_path / "scratch").start_scores == {}
    start = Path(shutil.copy(trained / "weights.safetensors", tmp_path))
    settings = {"network": None, "start_from": str(start), "steps": 2}
    train(recipe(**settings), tmp_path / "out", limits=TrainingLimits(steps=1))
    others = {"images": str(pictures / "validate"), "sem": {}, "batches": 1, "batch": 2}
    assert train(recipe(**settings, validation=others), tmp_path / "out").start_scores == {}
    path = tmp_path / "out/checkpoint.safetensors"
    content = read_checkpoint(path)
    del content["start_scores"]
    write_checkpoint(path, content)
    outcome = train(recipe(**settings), tmp_path / "out")
    assert outcome.finished and outcome.start_scores == {}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError("Unable to allocate 8 GiB"),
    ],
    ids=["cuda", "cpu", "numpy"],
)
def test_too_little_memory_says_what_to_lower(recipe, tmp_path, monkeypatch, error):
    def full(self, batch):
        raise error

    monkeypatch.setattr(Learner, "step", full)
    with pytest.raises(InputError, match="2 patches of 32 px does not fit into the memory of cpu; lower 'batch'"):
        train(recipe(), tmp_path / "out")


def test_a_picture_is_not_both_trained_on_and_measured_on(recipe, tmp_path, pictures):
    both = {"images": str(pictures / "*" / "*.tif"), "sem": {}}
    with pytest.raises(InputError, match=r"3.tif' is both trained on and measured on"):
        train(recipe(data=both), tmp_path / "out")


def test_a_metric_that_is_not_here_is_named(recipe, tmp_path, pictures):
    validation = {"images": str(pictures / "validate"), "sem": {}, "metrics": ["psnr", "beauty"]}
    with pytest.raises(InputError, match="the metric 'beauty' is not here; there are: psnr, ssim"):
        train(recipe(validation=validation), tmp_path / "out")


def test_without_tensorboard_one_line_says_so(recipe, tmp_path, monkeypatch, caplog):
    real = importlib.import_module

    def missing(name, *more):
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr("cemi_learn.bench.log.importlib.import_module", missing)
    with caplog.at_level("INFO", "cemi"):
        train(recipe(steps=1, tensorboard=True), tmp_path / "out")
    assert caplog.text.count("TensorBoard is not installed") == 1


def test_with_tensorboard_curves_are_written(recipe, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra 'train' is not installed")
    train(recipe(tensorboard=True), tmp_path / "out")
    assert list((tmp_path / "out/tensorboard").glob("events.*"))


@pytest.fixture
def recipe_file(recipe, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe().model_dump(mode="json", exclude_unset=True)))
    return path


def test_the_command_says_what_it_would_train_and_writes_nothing(recipe_file, tmp_path, capsys):
    assert run(["train", "denoiser", str(recipe_file), "--out", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["steps"] == 6 and answer["parameters"] > 1000
    assert answer["data"] == ["3 pictures (0.0 Mpx) with noise put on (sem 100 %)"]
    assert not (tmp_path / "out").exists()


def test_ctrl_c_finishes_the_step_and_leaves_a_checkpoint_that_the_same_command_goes_on_from(
    recipe_file, tmp_path, capsys, monkeypatch
):
    take = Learner.step

    def pressed(self, batch):
        losses = take(self, batch)
        if self.step_number == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    monkeypatch.setattr(Learner, "step", pressed)
    call = ["train", "denoiser", str(recipe_file), "--out", str(tmp_path / "out"), "--threads", "1", "--json"]
    before = signal.getsignal(signal.SIGINT)
    assert run(call) == 130
    said = capsys.readouterr()
    assert json.loads(said.out)["steps_done"] == 3
    assert "the same command goes on from there" in said.err
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert run(call) == 0
    assert json.loads(capsys.readouterr().out)["steps_done"] == 6


def test_the_command_stops_after_some_steps_or_minutes(recipe_file, tmp_path, capsys):
    call = ["train", "denoiser", str(recipe_file), "--out", str(tmp_path / "out"), "--json", "--quiet"]
    assert run([*call, "--minutes", "1e-9"]) == 0
    assert json.loads(capsys.readouterr().out)["steps_done"] == 0
    assert run([*call, "--steps", "2", "--set", "every.checkpoint=5"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["steps_done"], answer["steps"]) == (2, 6)
    assert Path(answer["weights"]).is_file()
