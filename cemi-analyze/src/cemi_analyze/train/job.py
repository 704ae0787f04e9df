"""The training of a segmenter as ``cemi train segmenter`` runs it; imports torch only when it is asked to begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cemi_analyze.segment.weights import require_learn
from cemi_core.model.progress import Progress
from cemi_core.model.stages import Runtime
from cemi_core.model.training import TrainingLimits

if TYPE_CHECKING:
    from cemi_analyze.train.recipe import SegmenterRecipe


@dataclass(frozen=True)
class SegmenterTraining:
    """A training of a segmenter.

    Attributes
    ----------
    recipe : SegmenterRecipe
    runtime : Runtime
        Device, threads, and the folder of weights to start from.
    """

    recipe: SegmenterRecipe
    runtime: Runtime

    def plan(self) -> Mapping[str, Any]:
        """Return what would be trained, after opening everything that it needs."""
        require_learn()
        from cemi_analyze.train.task import SegmenterTask
        from cemi_learn.bench.card import parameter_count
        from cemi_learn.bench.learner import Learner
        from cemi_learn.device import require_device

        require_device(self.runtime.device)
        task = SegmenterTask.opened(self.recipe, self.runtime.weights_dir)
        learner = Learner(task, self.recipe.plan(), self.runtime.device)
        return {
            "network": learner.architecture,
            "parameters": parameter_count(learner.network),
            "classes": list(self.recipe.classes),
            "data": list(task.provenance().data),
            "validation": list(task.provenance().measured_on),
            "steps": self.recipe.steps,
        }

    def run(self, out: Path, limits: TrainingLimits, progress: Progress) -> Mapping[str, Any]:
        """Train, or go on with it, and return how far it came and what the weights are worth."""
        require_learn()
        import torch

        from cemi_analyze.train.task import SegmenterTask
        from cemi_learn.bench.run import WEIGHTS, run_training
        from cemi_learn.device import Machine

        torch.set_num_threads(self.runtime.threads)
        task = SegmenterTask.opened(self.recipe, self.runtime.weights_dir)
        machine = Machine(self.runtime.device, self.runtime.weights_dir)
        outcome = run_training(task, self.recipe.plan(), out, machine, limits, progress)
        return {
            "weights": str(out / WEIGHTS),
            "steps_done": outcome.step,
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 1),
            "scores": dict(outcome.scores),
            "scores_of_start": dict(outcome.start_scores),
        }


def make(settings: SegmenterRecipe, runtime: Runtime) -> SegmenterTraining:
    """Return the training that a recipe describes."""
    return SegmenterTraining(settings, runtime)
