"""A training from its recipe to weights: it can be stopped anywhere and goes on where it was."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cemi_core.errors import InputError
from cemi_core.run.folder import RunFolder
from cemi_core.run.progress import Progress, silent
from cemi_core.store.atomic import atomic_path, storage_errors
from cemi_denoise.checkpoints import load_checkpoint, save_checkpoint
from cemi_denoise.train_card import card_of, card_text
from cemi_denoise.train_log import TrainLog
from cemi_denoise.train_recipe import TrainingRecipe
from cemi_denoise.train_scores import Examination, choose_metrics, write_sample
from cemi_denoise.train_start import Machine, start_training
from cemi_denoise.training import Training
from cemi_denoise.training_sources import OpenedData, open_training_data, open_validation_data
from cemi_denoise.weights import save_weights

log = logging.getLogger("cemi")

CHECKPOINT, WEIGHTS, CARD = "checkpoint.pt", "weights.safetensors", "weights.md"


@dataclass(frozen=True)
class Limits:
    """When a call ends although the training is not finished; None for never.

    Attributes
    ----------
    steps : int or None
        Steps in all.
    seconds : float or None
        Time of this call.
    stop : callable
        Asked after every step; True ends the call.
    """

    steps: int | None = None
    seconds: float | None = None
    stop: Callable[[], bool] = lambda: False


_THIS_MACHINE, _NO_LIMITS = Machine(), Limits()


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
    """

    step: int
    steps: int
    seconds: float
    scores: dict[str, float]
    noisy_scores: dict[str, float]

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.steps


def identity_of(recipe: TrainingRecipe, data: OpenedData) -> dict[str, Any]:
    """Return what makes a training this one: all that the weights depend on."""
    settings = recipe.model_dump(mode="json", exclude={"every", "tensorboard", "stored_as", "validation"})
    # folders may be moved: the pixels count, not their paths
    for mode, names in (("sem", ("noise_of",)), ("pairs", ("ld", "hd")), ("overlaps", ("run",))):
        for name in names:
            (settings["data"][mode] or {}).pop(name, None)
    settings["data"].pop("images")
    settings["data"]["pixels"] = data.digest
    settings["start_from"] = Path(recipe.start_from).name
    return settings


def train(
    recipe: TrainingRecipe,
    out: Path,
    machine: Machine = _THIS_MACHINE,
    limits: Limits = _NO_LIMITS,
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
    limits : Limits
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
    training, architecture = start_training(recipe, machine)
    examination = None
    if recipe.validation is not None and checked is not None:
        batches = tuple(checked.batches(index) for index in range(recipe.validation.batches))
        examination = Examination(batches, choose_metrics(recipe.validation.metrics, machine.weights_dir))
    folder = RunFolder(out)
    with ExitStack() as stack:
        _require_no_other_run(folder)
        stack.enter_context(folder.opened_for_writing())
        run = _Run(recipe, out, training, architecture, data, examination, checked.summary if checked else ())
        stack.callback(run.log.close)
        return run.go(limits, progress)


def _require_no_other_run(folder: RunFolder) -> None:
    if folder.run_file.exists() or folder.frames.exists():
        raise InputError(f"{folder.path} holds a run of 'cemi recipe'; choose another --out for the training")


class _Run:
    """A training with its folder."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        out: Path,
        training: Training,
        architecture: dict[str, Any],
        data: OpenedData,
        examination: Examination | None,
        measured_on: tuple[str, ...],
    ) -> None:
        self.recipe, self.out, self.training = recipe, out, training
        self.architecture, self.data = architecture, data
        self.examination, self.measured_on = examination, measured_on
        self.identity = identity_of(recipe, data)
        self.seconds_before = 0.0
        self.started = time.monotonic()
        sums: dict[str, float] = {}
        content = load_checkpoint(out / CHECKPOINT, self.identity)
        if content is not None:
            training.restore(content["training"])
            self.seconds_before, sums = float(content["seconds"]), dict(content["sums"])
            log.info("going on from step %d of %d", training.step_number, recipe.steps)
        with storage_errors(out):
            (out / "samples").mkdir(exist_ok=True)
        self.log = TrainLog(out, self._columns(), training.step_number, sums, recipe.tensorboard)
        self.saved_at = time.monotonic()
        self.scores: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Time of the training so far, over all calls."""
        return self.seconds_before + time.monotonic() - self.started

    def go(self, limits: Limits, progress: Progress) -> Outcome:
        """Train until the end or a limit."""
        steps = self.recipe.steps
        last = steps if limits.steps is None else min(steps, limits.steps)
        while self.training.step_number < last and not limits.stop():
            if limits.seconds is not None and time.monotonic() - self.started >= limits.seconds:
                break
            self._step()
            progress("training", self.training.step_number, steps)
        return self._finish()

    def _step(self) -> None:
        every, step = self.recipe.every, self.training.step_number + 1
        try:
            losses = self.training.step(self.data.batches(step - 1))
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"a batch of {self.recipe.batch} patches of {self.recipe.patch_px} px does not fit into the memory of "
                f"{self.training.device}; lower 'batch' or 'patch_px', or set precision: bfloat16"
            ) from error
        self.log.add(losses)
        examined = self.examination is not None and step % every.validation == 0
        if examined or step % every.log == 0:
            self._report(examined)
        if step % every.samples == 0 or step == self.recipe.steps:
            self._draw()
        minutes = (time.monotonic() - self.saved_at) / 60
        if step % every.checkpoint == 0 or minutes >= every.checkpoint_minutes:
            self._save()

    def _report(self, examined: bool) -> None:
        step = self.training.step_number
        if examined and self.examination is not None:
            self.scores = self.examination.scores(self.training.average)
        rate = self.training.plan.rate_at(step - 1)
        means = self.log.write(step, self.seconds, rate, self.scores if examined else {})
        values = {**means, **(self.scores if examined else {})}
        log.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def _draw(self) -> None:
        batch = self.examination.batches[0] if self.examination is not None else self.data.batches(0)
        write_sample(self.out / "samples" / f"step-{self.training.step_number:06d}.png", self.training.average, batch)

    def _save(self) -> None:
        content = {"training": self.training.state(), "sums": self.log.state(), "seconds": self.seconds}
        save_checkpoint(self.out / CHECKPOINT, self.identity, content)
        self.saved_at = time.monotonic()

    def _finish(self) -> Outcome:
        """Leave a checkpoint, and weights that can be used even if the training is not finished."""
        self._save()
        noisy: dict[str, float] = {}
        if self.examination is not None:
            self.scores = self.examination.scores(self.training.average)
            noisy = self.examination.scores(None)
        outcome = Outcome(self.training.step_number, self.recipe.steps, self.seconds, self.scores, noisy)
        card = card_of(self.recipe, self.data.summary, self.measured_on, outcome)
        half = self.recipe.stored_as == "float16"
        save_weights(self.out / WEIGHTS, self.training.average, self.architecture, card, half)
        with atomic_path(self.out / CARD) as partial:
            partial.write_text(card_text(self.out.name, self.architecture, card), encoding="utf-8")
        return outcome

    def _columns(self) -> tuple[str, ...]:
        grey = self.training.plan.grey_name
        more = ("perceptual", "adversarial", "discriminator") if self.recipe.stage == "semgan" else ()
        return (grey, *more, *(self.examination.metrics if self.examination is not None else ()))
