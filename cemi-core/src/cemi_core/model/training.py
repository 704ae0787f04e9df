"""Trainings: what a package that trains a network offers to ``cemi train NAME``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cemi_core.model.progress import Progress


@dataclass(frozen=True)
class TrainingLimits:
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


@runtime_checkable
class TrainingJob(Protocol):
    """A training that is described completely, and not yet begun."""

    def plan(self) -> Mapping[str, Any]:
        """Open everything that the training needs, and return in plain data what would be trained."""
        ...

    def run(self, out: Path, limits: TrainingLimits, progress: Progress) -> Mapping[str, Any]:
        """Train, or go on with it, in the folder ``out``; return in plain data how far it came.

        ``"weights"`` names the file of weights, ``"steps_done"`` and ``"steps"`` how far it is.
        """
        ...
