"""A training from its task to weights: it can be stopped anywhere and goes on where it was."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, storage_errors
from cemi_core.files.locked import locked_folder
from cemi_core.images.write_image import write_image
from cemi_core.model.progress import Progress, silent
from cemi_core.model.training import TrainingLimits
from cemi_learn.bench.ahead import MadeAhead
from cemi_learn.bench.best import Best
from cemi_learn.bench.card import card_of, card_text, in_words, parameter_count
from cemi_learn.bench.checkpoint import CHECKPOINT, write_checkpoint
from cemi_learn.bench.going_on import identity_of, restore
from cemi_learn.bench.learner import Learner
from cemi_learn.bench.log import TrainLog
from cemi_learn.bench.outcome import Outcome
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.processes import Processes, join_processes
from cemi_learn.bench.task import Task
from cemi_learn.device import Machine, is_out_of_memory, require_device
from cemi_learn.weights.stored_network import save_network

log = logging.getLogger("cemi")

WEIGHTS, CARD = "weights.safetensors", "weights.md"

_THIS_MACHINE, _NO_LIMITS = Machine(), TrainingLimits()


def run_training(
    task: Task[Any],
    plan: Plan,
    out: Path,
    machine: Machine = _THIS_MACHINE,
    limits: TrainingLimits = _NO_LIMITS,
    progress: Progress = silent,
) -> Outcome:
    """Train a network, or go on with it, and write its weights.

    Parameters
    ----------
    task : Task
    plan : Plan
    out : Path
        Folder: ``weights.safetensors`` (the moving average, or the best one), ``weights.md``, ``log.csv``,
        ``samples/``, and ``checkpoint.safetensors``, from which a further call goes on.
    machine : Machine
    limits : TrainingLimits
        What ends this call before the last step; a checkpoint is left then too.
    progress : callable

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        Data or weights cannot be used, the folder holds another training, or the training diverged.
    StorageError
        The disk is full; the last checkpoint stands.
    UsageError
        There is no such device.
    """
    processes = join_processes(machine.device)
    require_device(processes.device)
    learner = Learner(task, plan, processes.device, processes.share_gradients, processes.rank)
    identity, start = identity_of(task, plan, processes.count), task.start_digest()
    with ExitStack() as stack:
        batches = processes.own(task.batch)
        if learner.device.type != "cpu":  # where the CPU would only be slowed down by it
            batches = stack.enter_context(closing(MadeAhead(batches, min(8, os.cpu_count() or 1))))
        steps = _Steps(learner, batches, processes, limits)
        if processes.rank > 0:
            restore(learner, out, identity, start)
            for _ in steps.taken(lambda: False):
                pass
            return Outcome(learner.step_number, plan.steps, 0.0)
        _require_no_other_run(out)
        stack.enter_context(locked_folder(out))
        run = _Run(learner, out, identity, start)
        stack.callback(run.log.close)
        for losses in steps.taken(lambda: run.is_enough):
            run.after_step(losses)
            progress("training", learner.step_number, plan.steps)
        return run.finish()


def learn(task: Task[Any], plan: Plan, device: str = "cpu", limits: TrainingLimits = _NO_LIMITS) -> Learner:
    """Train in memory, and write nothing: for networks that learn within a run.

    Raises
    ------
    InputError
        The training diverged, or a batch does not fit into memory.
    """
    require_device(device)
    learner = Learner(task, plan, device)
    for _ in _Steps(learner, task.batch, Processes(device), limits).taken(lambda: False):
        pass
    return learner


def _require_no_other_run(out: Path) -> None:
    if (out / "run.h5").exists() or (out / "frames.zarr").exists():
        raise InputError(f"{out} holds a run of 'cemi recipe'; choose another --out for the training")


@dataclass(frozen=True)
class _Steps:
    """The steps that one call takes."""

    learner: Learner
    batches: Callable[[int], Any]
    processes: Processes
    limits: TrainingLimits

    def taken(self, enough: Callable[[], bool]) -> Iterator[dict[str, float]]:
        """Take one step after the other until a limit, and yield its losses."""
        limits, started, steps = self.limits, time.monotonic(), self.learner.plan.steps
        last = steps if limits.steps is None else min(steps, limits.steps)
        while self.learner.step_number < last:
            late = limits.seconds is not None and time.monotonic() - started >= limits.seconds
            if self.processes.any(late or limits.stop() or enough()):
                return
            yield self._take()

    def _take(self) -> dict[str, float]:
        try:
            return self.learner.step(self.batches(self.learner.step_number))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(self.learner.task.too_much(str(self.learner.device))) from error


class _Run:
    """A training with its folder: what is written, and when."""

    def __init__(self, learner: Learner, out: Path, identity: Mapping[str, Any], start: str) -> None:
        self.learner, self.task, self.plan = learner, learner.task, learner.plan
        self.out, self.identity, self.start = out, identity, start
        self.best = None if self.plan.stop_early is None else Best(self.task, self.plan.stop_early)
        self._scores: tuple[int, Mapping[str, float]] = (-1, {})
        self.started = self.saved_at = time.monotonic()
        content = restore(learner, out, identity, start)
        if content:
            log.info("going on from step %d of %d", learner.step_number, self.plan.steps)
        self.seconds_before = float(content.get("seconds", 0.0))
        with storage_errors(out):
            (out / "samples").mkdir(exist_ok=True)
        columns = (*self.task.loss_names(), *self.task.score_names())
        self.log = TrainLog(out, columns, learner.step_number, content.get("sums", {}), self.plan.tensorboard)
        if self.best is not None:
            self.best.restore(content.get("best", {}))
        self._start_scores: Mapping[str, Any] = content.get("start_scores", {})
        if not content and self.measures:  # what the weights at the start are worth
            self.log.write(0, 0.0, self.plan.learning_rate, self.scores())
            self._start_scores = {"of": self.task.examined_on(), "scores": dict(self.scores())}

    @property
    def measures(self) -> bool:
        """Whether there is something to measure on."""
        return bool(self.task.score_names())

    @property
    def is_enough(self) -> bool:
        """Whether nothing has got better for long enough."""
        return self.best is not None and self.best.is_enough

    @property
    def seconds(self) -> float:
        """Time of the training so far, over all calls."""
        return self.seconds_before + time.monotonic() - self.started

    def scores(self) -> Mapping[str, float]:
        """Return what the average network is worth at this step, measured once; empty without anything to measure."""
        step = self.learner.step_number
        if self.measures and self._scores[0] != step:
            self._scores = step, self.task.examine(self.learner.average)
        return self._scores[1]

    def start_scores(self) -> dict[str, float]:
        """Return what `Outcome.start_scores` says."""
        if not self.measures or not self.task.provenance().started_from:
            return {}
        if self._start_scores.get("of") != self.task.examined_on():  # what is measured on may change on the way
            return {}
        scores = self._start_scores["scores"]
        return {name: scores[name] for name in self.task.score_names() if name in scores}

    def after_step(self, losses: Mapping[str, float]) -> None:
        """Write down what is due after a step; all of it after the last one."""
        every, step = self.plan.every, self.learner.step_number
        self.log.add(losses)
        due = self.measures and (step == self.plan.steps or step % every.validation == 0)
        if due and self.best is not None:
            self.best.look(step, self.scores(), self.learner.average)
        last = step == self.plan.steps or self.is_enough
        if last or due or step % every.log == 0:
            self._report(self.scores() if due else {})
        if last or step % every.samples == 0:
            self._draw()
        minutes = (time.monotonic() - self.saved_at) / 60
        if step % every.checkpoint == 0 or minutes >= every.checkpoint_minutes:
            self._save()

    def _report(self, scores: Mapping[str, float]) -> None:
        step = self.learner.step_number
        means = self.log.write(step, self.seconds, self.plan.rate_at(step - 1), scores)
        values = {**means, **scores}
        log.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def _draw(self) -> None:
        image = self.task.sample(self.learner.average)
        if image is not None:
            write_image(self.out / "samples" / f"step-{self.learner.step_number:06d}.png", image)

    def _save(self) -> None:
        content: dict[str, Any] = {"identity": self.identity, "start": self.start, "learner": self.learner.state()}
        content |= {"sums": self.log.state(), "seconds": self.seconds, "start_scores": self._start_scores}
        if self.best is not None:
            content["best"] = self.best.state()
        write_checkpoint(self.out / CHECKPOINT, content)
        self.saved_at = time.monotonic()

    def finish(self) -> Outcome:
        """Leave a checkpoint, and weights that can be used even if the training is not finished."""
        self._save()
        network, scores, best_step = self._chosen()
        done = self.learner.step_number
        outcome = Outcome(
            done,
            self.plan.steps,
            self.seconds,
            scores,
            self.task.baseline() if self.measures else {},
            self.start_scores(),
            best_step,
            self.is_enough,
        )
        card = card_of(self.task, self.plan, outcome) | dict(self.task.more_for_card(network))
        architecture = self.learner.architecture
        save_network(self.out / WEIGHTS, network, architecture, card, task=self.task.name, half=self.plan.half)
        with atomic_path(self.out / CARD) as partial:
            words = f"{in_words(architecture)}, {parameter_count(network) / 1e6:.2f} M parameters"
            text = card_text(self.out.name, self.task, words, card)
            # a folder's name may be no UTF-8
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        return outcome

    def _chosen(self) -> tuple[nn.Module, Mapping[str, float], int | None]:
        """Return the weights to write, their scores, and their step where that is not the last one."""
        if self.best is None or self.best.step is None:
            return self.learner.average, self.scores(), None
        network = copy.deepcopy(self.learner.average)
        network.load_state_dict(self.best.weights)
        return network, self.best.scores, self.best.step
