"""What the bench relies on in every task.

>>> class TestMyTask(TaskTests):
...     def make(self):
...         return MyTask()
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cemi_core.model.training import TrainingLimits
from cemi_learn.bench.checkpoint import CHECKPOINT, read_checkpoint
from cemi_learn.bench.learner import Learner
from cemi_learn.bench.plan import Every, Plan
from cemi_learn.bench.run import WEIGHTS, run_training
from cemi_learn.bench.task import Task
from cemi_learn.weights.stored_network import read_network

_STEPS = 3


def tensors_in(batch: Any) -> list[Tensor]:
    """Return the tensors of a batch, in order."""
    if isinstance(batch, Tensor):
        return [batch]
    if is_dataclass(batch) and not isinstance(batch, type):
        return [tensor for f in fields(batch) for tensor in tensors_in(getattr(batch, f.name))]
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


class TaskTests:
    """Claims that hold for every `Task`; subclass it and say how to make yours, small enough for three steps."""

    def make(self) -> Task[Any]:
        """Return the task under test; every subclass says how."""
        raise NotImplementedError("a test kit needs make()")

    def plan(self) -> Plan:
        """Return a plan of three steps."""
        return Plan(steps=_STEPS, every=Every(log=1, validation=2, samples=2, checkpoint=1))

    def test_a_step_always_sees_the_same_batch(self) -> None:
        first, second = (tensors_in(self.make().batch(4)) for _ in range(2))
        assert first
        assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))

    def test_different_steps_see_different_batches(self) -> None:
        task = self.make()
        pairs = zip(tensors_in(task.batch(0)), tensors_in(task.batch(1)), strict=True)
        assert not all(torch.equal(one, two) for one, two in pairs)

    def test_the_losses_and_scores_that_it_names_are_those_that_it_has(self) -> None:
        task = self.make()
        learner = Learner(task, self.plan())
        assert tuple(learner.step(task.batch(0))) == tuple(task.loss_names())
        assert set(task.examine(learner.average)) == set(task.score_names())

    def test_what_it_says_of_itself_is_plain_data(self) -> None:
        task = self.make()
        network = task.build()
        told = (task.identity(), network.architecture, task.provenance().settings)
        assert json.loads(json.dumps(told)) == json.loads(json.dumps(told))

    def test_examining_and_drawing_leave_the_network_alone(self) -> None:
        task = self.make()
        learner = Learner(task, self.plan())
        before = {name: value.clone() for name, value in learner.average.state_dict().items()}
        task.examine(learner.average)
        sample = task.sample(learner.average)
        assert sample is None or sample.dtype == np.uint8
        after = learner.average.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    def test_a_stopped_training_goes_on_to_the_same_bits(self, tmp_path: Path) -> None:
        run_training(self.make(), self.plan(), tmp_path / "whole")
        for steps in (1, 2, None):
            run_training(self.make(), self.plan(), tmp_path / "pieces", limits=TrainingLimits(steps=steps))
        whole, pieces = (read_network(tmp_path / name / WEIGHTS).tensors for name in ("whole", "pieces"))
        assert all(torch.equal(value, pieces[name]) for name, value in whole.items())
        states = [read_checkpoint(tmp_path / name / CHECKPOINT) for name in ("whole", "pieces")]
        first, second = (tensors_in(state["learner"]) for state in states if state is not None)
        assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
