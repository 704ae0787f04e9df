"""A training from its recipe to weights: it can be stopped anywhere and goes on where it was."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, storage_errors
from cemi_core.files.locked import locked_folder
from cemi_core.model.progress import Progress, silent
from cemi_core.model.training import TrainingLimits
from cemi_denoise.network.runner import is_out_of_memory, measured_context_px
from cemi_denoise.network.weights import save_weights
from cemi_denoise.train.ahead import MadeAhead
from cemi_denoise.train.batches import Batches
from cemi_denoise.train.card import card_of, card_text
from cemi_denoise.train.checkpoints import CHECKPOINT, identity_of, restore, save_checkpoint, start_digest
from cemi_denoise.train.log import TrainLog
from cemi_denoise.train.processes import Processes, join_processes
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.scores import Examination, choose_metrics, write_sample
from cemi_denoise.train.sources import OpenedData, open_training_data, open_validation_data
from cemi_denoise.train.start import Machine, start_training
from cemi_denoise.train.training import Training

log = logging.getLogger("cemi")

WEIGHTS, CARD = "weights.safetensors", "weights.md"


_THIS_MACHINE, _NO_LIMITS = Machine(), TrainingLimits()


@dataclass(frozen=True)
class Outcome:
    """How far a call came.

    Attributes
    ----------
    step, steps : int
        Steps done, and to do in all.
    seconds : float
        Time of the training so far, over all calls.
    scores, noisy_scores : dict
        Metrics of the average network, and of the noisy patches themselves.
    start_scores : dict
        Metrics of the weights that it started from; empty if there were none, or if they were not measured on the
        pictures that are measured on now.
    """

    step: int
    steps: int
    seconds: float
    scores: dict[str, float]
    noisy_scores: dict[str, float]
    start_scores: dict[str, float]

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.steps

    @property
    def harm(self) -> str:
        """What is said of a network that takes no noise out; empty of one that does, or that was not measured."""
        after, before = (f"{scores.get('psnr', 0.0):.2f}" for scores in (self.scores, self.noisy_scores))
        if "psnr" not in self.scores or float(after) > float(before):
            return ""
        return f"{'no better' if after == before else 'worse'}: PSNR {after} dB, and {before} dB before"

    @property
    def fall(self) -> str:
        """What is said of weights that are worse than those at the start; empty of others, or if it is not known."""
        if "psnr" not in self.scores or "psnr" not in self.start_scores:
            return ""
        after, before = (f"{scores['psnr']:.2f}" for scores in (self.scores, self.start_scores))
        return f"PSNR {after} dB, and {before} dB at the start" if float(after) < float(before) else ""


def train(
    recipe: TrainingRecipe,
    out: Path,
    machine: Machine = _THIS_MACHINE,
    limits: TrainingLimits = _NO_LIMITS,
    progress: Progress = silent,
) -> Outcome:
    """Train a network, or go on with it, and write its weights.

    Parameters
    ----------
    recipe : TrainingRecipe
    out : Path
        Folder: ``weights.safetensors`` (the moving average), ``weights.md``, ``log.csv``, ``samples/``, and
        ``checkpoint.pt``, from which a further call goes on.
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
        Pictures or weights cannot be used, the folder holds another training, or the training diverged.
    StorageError
        The disk is full; the last checkpoint stands.
    """
    data = open_training_data(recipe)
    checked = open_validation_data(recipe)
    processes = join_processes(machine.device)
    training, architecture = start_training(recipe, machine, processes)
    identity = identity_of(recipe, data, processes.count)
    start = start_digest(recipe, machine)
    batches = processes.own(data.batches)
    with ExitStack() as stack:
        if training.device.type != "cpu":  # where the CPU would only be slowed down by it
            batches = stack.enter_context(closing(MadeAhead(batches, min(8, os.cpu_count() or 1))))
        steps = _Steps(training, batches, processes, limits, recipe)
        if processes.rank > 0:
            restore(training, out, identity, start)
            for _ in steps.taken():
                pass
            return Outcome(training.step_number, recipe.steps, 0.0, {}, {}, {})
        examination = None
        if recipe.validation is not None and checked is not None:
            held = tuple(checked.batches(index) for index in range(recipe.validation.batches))
            examination = Examination(
                held, choose_metrics(recipe.validation.metrics, machine.weights_dir), checked.summary
            )
        _require_no_other_run(out)
        stack.enter_context(locked_folder(out))
        run = _Run(recipe, out, training, architecture, data, examination, identity, start)
        stack.callback(run.log.close)
        for losses in steps.taken():
            run.after_step(losses)
            progress("training", training.step_number, recipe.steps)
        return run.finish()


def _require_no_other_run(out: Path) -> None:
    if (out / "run.h5").exists() or (out / "frames.zarr").exists():
        raise InputError(f"{out} holds a run of 'cemi recipe'; choose another --out for the training")


@dataclass(frozen=True)
class _Steps:
    """The steps that one call takes."""

    training: Training
    batches: Batches
    processes: Processes
    limits: TrainingLimits
    recipe: TrainingRecipe

    def taken(self) -> Iterator[dict[str, float]]:
        """Take one step after the other until a limit, and yield its losses."""
        limits, started = self.limits, time.monotonic()
        last = self.recipe.steps if limits.steps is None else min(self.recipe.steps, limits.steps)
        while self.training.step_number < last:
            late = limits.seconds is not None and time.monotonic() - started >= limits.seconds
            if self.processes.any(late or limits.stop()):
                return
            yield self._take()

    def _take(self) -> dict[str, float]:
        try:
            return self.training.step(self.batches(self.training.step_number))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f"a batch of {self.recipe.batch} patches of {self.recipe.patch_px} px does not fit into the memory of "
                f"{self.training.device}; lower 'batch' or 'patch_px', or set precision: bfloat16"
            ) from error


class _Run:
    """A training with its folder: what is written, and when."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        out: Path,
        training: Training,
        architecture: dict[str, Any],
        data: OpenedData,
        examination: Examination | None,
        identity: dict[str, Any],
        start: str,
    ) -> None:
        self.recipe, self.out, self.training = recipe, out, training
        self.architecture, self.data = architecture, data
        self.examination, self.identity, self.start = examination, identity, start
        self._scores: tuple[int, dict[str, float]] = (-1, {})
        self.started = self.saved_at = time.monotonic()
        content = restore(training, out, identity, start)
        if content:
            log.info("going on from step %d of %d", training.step_number, recipe.steps)
        self.seconds_before = float(content.get("seconds", 0.0))
        with storage_errors(out):
            (out / "samples").mkdir(exist_ok=True)
        sums = dict(content.get("sums", {}))
        self.log = TrainLog(out, self._columns(), training.step_number, sums, recipe.tensorboard)
        self._start_scores: dict[str, Any] = dict(content.get("start_scores", {}))  # an earlier version wrote none
        if not content and examination is not None:  # what the weights at the start are worth
            self.log.write(0, 0.0, recipe.learning_rate, self.scores())
            self._start_scores = {"patches": examination.digest, "scores": self.scores()}

    @property
    def seconds(self) -> float:
        """Time of the training so far, over all calls."""
        return self.seconds_before + time.monotonic() - self.started

    def scores(self) -> dict[str, float]:
        """Return what the average network is worth at this step, measured once; empty without an examination."""
        step = self.training.step_number
        if self.examination is not None and self._scores[0] != step:
            self._scores = step, self.examination.scores(self.training.average)
        return self._scores[1]

    def start_scores(self) -> dict[str, float]:
        """Return what `Outcome.start_scores` says."""
        if self.examination is None or not self.recipe.start_from:
            return {}
        if self._start_scores.get("patches") != self.examination.digest:  # 'validation' may change on the way
            return {}
        scores = self._start_scores["scores"]
        return {name: scores[name] for name in self.examination.metrics if name in scores}

    def after_step(self, losses: dict[str, float]) -> None:
        """Write down what is due after a step; all of it after the last one."""
        every, step = self.recipe.every, self.training.step_number
        last = step == self.recipe.steps
        self.log.add(losses)
        examined = self.examination is not None and (last or step % every.validation == 0)
        if last or examined or step % every.log == 0:
            self._report(self.scores() if examined else {})
        if last or step % every.samples == 0:
            self._draw()
        minutes = (time.monotonic() - self.saved_at) / 60
        if step % every.checkpoint == 0 or minutes >= every.checkpoint_minutes:
            self._save()

    def _report(self, scores: dict[str, float]) -> None:
        step = self.training.step_number
        means = self.log.write(step, self.seconds, self.training.plan.rate_at(step - 1), scores)
        values = {**means, **scores}
        log.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def _draw(self) -> None:
        batch = self.examination.batches[0] if self.examination is not None else self.data.batches(0)
        write_sample(self.out / "samples" / f"step-{self.training.step_number:06d}.png", self.training.average, batch)

    def _save(self) -> None:
        state, sums = self.training.state(), self.log.state()
        content = {"start": self.start, "training": state, "sums": sums, "seconds": self.seconds}
        content["start_scores"] = self._start_scores
        save_checkpoint(self.out / CHECKPOINT, self.identity, content)
        self.saved_at = time.monotonic()

    def finish(self) -> Outcome:
        """Leave a checkpoint, and weights that can be used even if the training is not finished."""
        self._save()
        noisy = {} if self.examination is None else self.examination.scores(None)
        done = self.training.step_number
        outcome = Outcome(done, self.recipe.steps, self.seconds, self.scores(), noisy, self.start_scores())
        if outcome.finished and outcome.harm:
            log.warning(
                "the network makes the pictures of 'validation' %s; train for longer, or lower the learning rate",
                outcome.harm,
            )
        if outcome.finished and outcome.fall:
            log.warning(
                "the training made the weights that it started from worse: %s; keep those, or lower the learning rate",
                outcome.fall,
            )
        measured_on = self.examination.summary if self.examination is not None else ()
        card = card_of(self.recipe, self.data.summary, measured_on, outcome)
        card["context_px"] = measured_context_px(self.training.average)
        half = self.recipe.stored_as == "float16"
        save_weights(self.out / WEIGHTS, self.training.average, self.architecture, card, half)
        with atomic_path(self.out / CARD) as partial:
            # a folder's name may be no UTF-8
            text = card_text(self.out.name, self.architecture, card)
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        return outcome

    def _columns(self) -> tuple[str, ...]:
        grey = self.training.plan.grey_name
        more = ("perceptual", "adversarial", "discriminator") if self.recipe.stage == "semgan" else ()
        return (grey, *more, *(self.examination.metrics if self.examination is not None else ()))
