"""The training of a denoiser from its recipe to weights."""

from __future__ import annotations

import logging
from pathlib import Path

from cemi_core.model.progress import Progress, silent
from cemi_core.model.training import TrainingLimits
from cemi_denoise.train.outcome import Outcome
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.task import DenoiserTask
from cemi_learn.bench.run import run_training
from cemi_learn.device import Machine

log = logging.getLogger("cemi")

_THIS_MACHINE, _NO_LIMITS = Machine(), TrainingLimits()


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
        Folder; `cemi_learn.bench.run.run_training` says what is written there.
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
        Images or weights cannot be used, the folder holds another training, or the training diverged.
    StorageError
        The disk is full; the last checkpoint stands.
    """
    task = DenoiserTask.opened(recipe, machine.weights_dir)
    outcome = Outcome(**vars(run_training(task, recipe.plan(), out, machine, limits, progress)))
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
    return outcome
