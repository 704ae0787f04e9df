"""The training of a denoiser as ``cemi train denoiser`` runs it; imports torch only when it is asked to begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cemi_core.model.progress import Progress
from cemi_core.model.stages import Runtime
from cemi_core.model.training import TrainingLimits
from cemi_denoise.train.recipe import TrainingRecipe


@dataclass(frozen=True)
class DenoiserTraining:
    """A training of a denoising network.

    Attributes
    ----------
    recipe : TrainingRecipe
    runtime : Runtime
        Device, threads, and the folder of weights to start from.
    """

    recipe: TrainingRecipe
    runtime: Runtime

    def plan(self) -> Mapping[str, Any]:
        """Return what would be trained, after opening everything that it needs."""
        from cemi_denoise.train.task import DenoiserTask
        from cemi_learn.bench.card import parameter_count
        from cemi_learn.bench.learner import Learner
        from cemi_learn.device import require_device

        require_device(self.runtime.device)
        task = DenoiserTask.opened(self.recipe, self.runtime.weights_dir)
        learner = Learner(task, self.recipe.plan(), self.runtime.device)
        return {
            "stage": self.recipe.stage,
            "network": learner.architecture,
            "parameters": parameter_count(learner.network),
            "data": list(task.data.summary),
            "validation": [] if task.examination is None else list(task.examination.summary),
            "steps": self.recipe.steps,
        }

    def run(self, out: Path, limits: TrainingLimits, progress: Progress) -> Mapping[str, Any]:
        """Train, or go on with it, and return how far it came and what the weights are worth."""
        import torch

        from cemi_denoise.train.run import train
        from cemi_learn.bench.run import WEIGHTS
        from cemi_learn.device import Machine

        torch.set_num_threads(self.runtime.threads)
        machine = Machine(self.runtime.device, self.runtime.weights_dir)
        outcome = train(self.recipe, out, machine, limits, progress)
        return {
            "weights": str(out / WEIGHTS),
            "steps_done": outcome.step,
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 1),
            "scores": dict(outcome.scores),
            "scores_of_noisy": outcome.noisy_scores,
            "scores_of_start": dict(outcome.start_scores),
        }


def make(settings: TrainingRecipe, runtime: Runtime) -> DenoiserTraining:
    """Return the training that a recipe describes."""
    return DenoiserTraining(settings, runtime)
