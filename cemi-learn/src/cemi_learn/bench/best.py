"""The best weights so far, and whether anything still gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from cemi_core.errors import InputError
from cemi_learn.bench.plan import StopEarly
from cemi_learn.bench.task import Task


class Best:
    """Keeps the weights with the best score, and counts measurements since then.

    Parameters
    ----------
    task : Task
        Says which of two scores is better.
    rule : StopEarly

    Raises
    ------
    InputError
        The score is not measured.
    """

    def __init__(self, task: Task[Any], rule: StopEarly) -> None:
        if rule.score not in task.score_names():
            there = ", ".join(task.score_names()) or "none, since nothing is set aside to measure on"
            raise InputError(
                f"'stop_early' watches the score '{rule.score}', which is not measured; there are: {there}"
            )
        self._task, self._rule = task, rule
        self.step: int | None = None
        self.scores: Mapping[str, float] = {}
        self.weights: dict[str, Any] = {}
        self.since = 0

    @property
    def is_enough(self) -> bool:
        """Whether the last measurements brought nothing better."""
        return self.since >= self._rule.patience

    def look(self, step: int, scores: Mapping[str, float], network: nn.Module) -> None:
        """Take a measurement; a score that is not a number is never better."""
        score = self._rule.score
        new = scores.get(score, math.nan)
        if math.isfinite(new) and (self.step is None or self._task.better(score, new, self.scores[score])):
            self.step, self.scores, self.since = step, dict(scores), 0
            self.weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        else:
            self.since += 1

    def state(self) -> dict[str, Any]:
        """Return what belongs into a checkpoint."""
        return {"step": self.step, "scores": dict(self.scores), "weights": self.weights, "since": self.since}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; from nothing where an earlier call did not watch."""
        if state:
            self.step, self.scores = state["step"], state["scores"]
            self.weights, self.since = dict(state["weights"]), int(state["since"])
