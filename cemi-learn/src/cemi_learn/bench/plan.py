"""How long and how fast a network is trained, whatever it is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Every:
    """How often something is written; none of it changes the weights.

    Attributes
    ----------
    log, validation, samples, checkpoint : int
        Steps between lines of ``log.csv``, measurements, sample images and checkpoints.
    checkpoint_minutes : float
        Minutes after which a checkpoint is written anyway.
    """

    log: int = 100
    validation: int = 500
    samples: int = 1000
    checkpoint: int = 500
    checkpoint_minutes: float = 5.0


@dataclass(frozen=True)
class StopEarly:
    """When a training ends before its last step, with the best weights that it had.

    Attributes
    ----------
    score : str
        What is watched.
    patience : int
        Measurements in a row without a better one.
    """

    score: str
    patience: int = 10


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    The defaults are those of Lang et al. (Microstructures 2025, 5, 2025004): Adam with 1e-4, 40,000 steps, exponential
    moving average 0.999.

    Attributes
    ----------
    steps : int
        Batches in all.
    learning_rate : float
        Of Adam.
    schedule : {"constant", "cosine", "one-cycle"}
        Whether the learning rate falls to a fiftieth along a cosine; short trainings gain by it. ``"one-cycle"`` rises
        first, over a tenth of the steps, which a pre-trained encoder needs.
    average : float
        Share of the old weights in the moving average at each step; the average is what is used afterwards.
    precision : {"float32", "bfloat16", "float16"}
        Type of the numbers inside the convolutions.
    seed : int
        Of the first weights and of what is random within a step (dropout).
    clip_norm : float or None
        Gradients of a larger norm are scaled down to it.
    every : Every
    stop_early : StopEarly or None
    half : bool
        Whether weights are stored in 16 bits.
    tensorboard : bool
    """

    steps: int = 40_000
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    average: float = 0.999
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0
    clip_norm: float | None = None
    every: Every = field(default_factory=Every)
    stop_early: StopEarly | None = None
    half: bool = False
    tensorboard: bool = False

    def rate_at(self, step: int) -> float:
        """Return the learning rate at a step."""
        if self.schedule == "constant":
            return self.learning_rate
        rise = 0.1 * self.steps if self.schedule == "one-cycle" else 0.0
        if step < rise:
            return self.learning_rate * (0.02 + 0.98 * step / rise)
        fall = 0.5 * (1 + math.cos(math.pi * min((step - rise) / (self.steps - rise), 1)))
        return self.learning_rate * (0.02 + 0.98 * fall)
