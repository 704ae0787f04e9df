"""How far a call of a training came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """How far a call came.

    Attributes
    ----------
    step, steps : int
        Steps done, and to do in all.
    seconds : float
        Time of the training so far, over all calls.
    scores : mapping
        Of the weights that were written.
    baseline : mapping
        Scores of doing nothing.
    start_scores : mapping
        Scores of the weights that it started from; empty if there were none, or if they were not measured on the data
        that are measured on now.
    best_step : int or None
        The step of the weights that were written, where it is not the last one (`StopEarly`).
    stopped_early : bool
        Whether it ended before the last step because nothing got better.
    """

    step: int
    steps: int
    seconds: float
    scores: Mapping[str, float] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)
    start_scores: Mapping[str, float] = field(default_factory=dict)
    best_step: int | None = None
    stopped_early: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.stopped_early or self.step >= self.steps
