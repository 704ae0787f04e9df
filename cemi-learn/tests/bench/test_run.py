"""Claims about a training with its folder: killed at any step it goes on to the same bits, and it says what it did."""

import csv
import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cemi_core.errors import InputError, StorageError
from cemi_core.model.training import TrainingLimits
from cemi_learn.bench.checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from cemi_learn.bench.learner import Learner
from cemi_learn.bench.plan import Every, StopEarly
from cemi_learn.bench.run import learn, run_training


def weights_of(folder):
    return load_file(folder / "weights.safetensors")


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def rows_of(folder):
    with (folder / "log.csv").open() as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


@pytest.mark.parametrize("when", ["_follow", "step"])
@pytest.mark.parametrize("step", range(6))
def test_killed_at_any_step_it_goes_on_to_the_same_bits(stripes, plan, tmp_path, monkeypatch, step, when):
    run_training(stripes(critic=True), plan(), tmp_path / "whole")
    honest = getattr(Learner, when)

    def die(self, *more):
        if self.step_number == step:
            raise KeyboardInterrupt
        return honest(self, *more)

    monkeypatch.setattr(Learner, when, die)
    with pytest.raises(KeyboardInterrupt):
        run_training(stripes(critic=True), plan(), tmp_path / "killed")
    monkeypatch.undo()
    run_training(stripes(critic=True), plan(), tmp_path / "killed")
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed"))
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "killed")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_stopped_after_every_step_it_goes_on_to_the_same_bits(stripes, plan, tmp_path, precision):
    settings = plan(precision=precision, schedule="one-cycle", clip_norm=0.5)
    run_training(stripes(), settings, tmp_path / "whole")
    for steps in range(1, 7):
        run_training(stripes(), settings, tmp_path / "pieces", limits=TrainingLimits(steps=steps))
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "pieces"))
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "pieces")


def test_a_training_learns_and_its_folder_tells_everything(stripes, plan, tmp_path):
    outcome = run_training(stripes(), plan(steps=80), tmp_path / "mine")
    assert outcome.finished and outcome.scores["accuracy"] > 0.8 > outcome.baseline["accuracy"]
    assert sorted(path.name for path in (tmp_path / "mine").iterdir() if not path.name.startswith(".")) == [
        "checkpoint.safetensors",
        "log.csv",
        "samples",
        "weights.md",
        "weights.safetensors",
    ]
    card = (tmp_path / "mine/weights.md").read_text()
    for part in (
        "# mine",
        "finds stripes, made by `cemi train stripes`",
        "Trained on: made stripes",
        "With weights of others: lens, MIT",
        "Batch: 4",
        "| accuracy | 0.5 |",
        "Use it on stripes.",
    ):
        assert part in card
    assert len(list((tmp_path / "mine/samples").iterdir())) == 20


def test_a_budget_of_time_ends_the_call_and_the_next_one_goes_on(stripes, plan, tmp_path):
    outcome = run_training(stripes(), plan(), tmp_path / "out", limits=TrainingLimits(seconds=0.0))
    assert outcome.step == 0 and not outcome.finished
    assert weights_of(tmp_path / "out")
    assert run_training(stripes(), plan(), tmp_path / "out").finished


class Fading:
    """Makes the accuracy of a task what a test wants it to be, one value after the other."""

    def __init__(self, task, values):
        self.values = iter(values)
        task.examine = lambda network: {"accuracy": next(self.values)}


def test_a_training_that_gets_no_better_stops_and_keeps_its_best_weights(stripes, plan, tmp_path):
    settings = plan(steps=40, stop_early=StopEarly("accuracy", 3), every=Every(validation=2, checkpoint=4, log=2))
    task = stripes()
    Fading(task, [0.5, 0.6, 0.9, 0.8, float("nan"), 0.9, *[0.0] * 50])
    outcome = run_training(task, settings, tmp_path / "out")
    assert outcome.finished and outcome.stopped_early
    assert (outcome.step, outcome.best_step, outcome.scores["accuracy"]) == (10, 4, 0.9)
    run_training(stripes(), plan(steps=40, every=settings.every), tmp_path / "four", limits=TrainingLimits(steps=4))
    assert same(weights_of(tmp_path / "out"), weights_of(tmp_path / "four"))
    assert "of which step 4 was the best" in (tmp_path / "out/weights.md").read_text()
    again = stripes()
    assert run_training(again, settings, tmp_path / "out").step == 10 and not again.took


def test_early_stopping_goes_on_after_a_kill(stripes, plan, tmp_path):
    settings = plan(steps=40, stop_early=StopEarly("accuracy", 2), every=Every(validation=2, checkpoint=2))
    scores = [0.5, 0.7, 0.9, 0.8, 0.8, *[0.0] * 50]
    for folder, limits in (("whole", [None]), ("pieces", [2, 5, None])):
        for steps in limits:
            task = stripes()
            task.examine = lambda network: {"accuracy": 0.0}
            honest, at = task, {}

            def examine(network, at=at):
                return {"accuracy": scores[at["learner"].step_number // 2]}

            task.examine = examine
            init = Learner.__init__

            def remember(self, *more, at=at, init=init):
                init(self, *more)
                at["learner"] = self

            Learner.__init__ = remember
            try:
                outcome = run_training(honest, settings, tmp_path / folder, limits=TrainingLimits(steps=steps))
            finally:
                Learner.__init__ = init
        assert outcome.best_step == 4 and outcome.step == 8
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "pieces"))


def test_a_score_to_stop_by_that_is_not_measured_is_named(stripes, plan, tmp_path):
    with pytest.raises(
        InputError, match="'stop_early' watches the score 'beauty', which is not measured; there are: accuracy"
    ):
        run_training(stripes(), plan(stop_early=StopEarly("beauty")), tmp_path / "out")


def test_another_training_in_the_folder_is_named_by_what_differs(stripes, plan, tmp_path):
    run_training(stripes(), plan(), tmp_path / "out", limits=TrainingLimits(steps=1))
    with pytest.raises(InputError, match=r"holds another training: its 'seen' is 1\.0, not 0\.5"):
        run_training(stripes(seen=0.5), plan(), tmp_path / "out")
    with pytest.raises(InputError, match=r"its 'learning_rate' is 0\.01, not 0\.02"):
        run_training(stripes(), plan(learning_rate=0.02), tmp_path / "out")
    # what is only written, or decides when it ends, is nothing that the weights of a step know
    run_training(stripes(), plan(every=Every(log=1), stop_early=StopEarly("accuracy", 99)), tmp_path / "out")
    with pytest.raises(InputError, match="finished after 6 steps; to train for longer, choose another --out"):
        run_training(stripes(), plan(steps=9), tmp_path / "out")


def test_a_bit_that_fell_over_in_a_checkpoint_is_seen(stripes, plan, tmp_path):
    run_training(stripes(), plan(), tmp_path / "out", limits=TrainingLimits(steps=2))
    path = tmp_path / "out" / CHECKPOINT
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"checkpoint.safetensors is not a checkpoint, or damaged: remove it"):
        run_training(stripes(), plan(), tmp_path / "out")
    path.write_bytes(data[:500])
    with pytest.raises(InputError, match="is not a checkpoint, or damaged"):
        run_training(stripes(), plan(), tmp_path / "out")


def test_a_checkpoint_of_an_earlier_version_is_one_sentence_that_says_what_to_do(stripes, plan, tmp_path):
    run_training(stripes(), plan(), tmp_path / "out", limits=TrainingLimits(steps=1))
    (tmp_path / "out" / CHECKPOINT).rename(tmp_path / "out/checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint.pt was written by an earlier version .* or choose another --out"):
        run_training(stripes(), plan(), tmp_path / "out")


def test_a_checkpoint_gives_back_bits_types_and_order_in_memory(tmp_path):
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    content = {
        "a": {0: image, 1: {"step": torch.tensor(3.0), "none": None}},
        "b": [image.bfloat16(), (1, 0.1 + 0.2, True, "ü")],
        "empty": torch.empty(0, 3),
    }
    write_checkpoint(tmp_path / CHECKPOINT, content)
    found = read_checkpoint(tmp_path / CHECKPOINT)
    assert torch.equal(found["a"][0], image) and found["a"][0].stride() == image.stride()
    assert found["a"][1]["step"] == 3 and found["a"][1]["step"].shape == () and found["a"][1]["none"] is None
    assert torch.equal(found["b"][0], image.bfloat16()) and found["b"][1] == (1, 0.1 + 0.2, True, "ü")
    assert found["empty"].shape == (0, 3)
    assert b"pickle" not in (tmp_path / CHECKPOINT).read_bytes()


@pytest.mark.parametrize("name", [CHECKPOINT, "weights.safetensors"])
def test_a_full_disk_ends_in_one_sentence_and_the_old_file_stays(stripes, plan, tmp_path, monkeypatch, name):
    run_training(stripes(), plan(), tmp_path / "out", limits=TrainingLimits(steps=2))
    old = (tmp_path / "out" / name).read_bytes()
    write = Path.write_bytes

    def full(self, data):
        if self.name.endswith(name):
            write(self, bytes(data)[:1000])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=rf"no space left on .*{name}: free some space"):
        run_training(stripes(), plan(), tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == old


def test_a_task_without_anything_to_measure_or_draw_trains_too(stripes, plan, tmp_path):
    task = stripes()
    task.score_names, task.sample = tuple, lambda network: None
    outcome = run_training(task, plan(), tmp_path / "out")
    assert outcome.finished and outcome.scores == {}
    assert "Nothing was set aside to measure it on." in (tmp_path / "out/weights.md").read_text()
    assert not list((tmp_path / "out/samples").iterdir())


def test_learning_in_memory_gives_the_same_weights_and_writes_nothing(stripes, plan, tmp_path, monkeypatch):
    run_training(stripes(), plan(), tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    learner = learn(stripes(), plan())
    assert same(weights_of(tmp_path / "out"), dict(learner.average.state_dict()))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("8 GiB")])
def test_too_little_memory_says_what_to_lower(stripes, plan, tmp_path, monkeypatch, error):
    def full(self, batch):
        raise error

    monkeypatch.setattr(Learner, "step", full)
    with pytest.raises(InputError, match="a batch does not fit into the memory of cpu; lower 'batch'"):
        run_training(stripes(), plan(), tmp_path / "out")
