"""What every training recipe can say of how long and how fast a network is trained."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from cemi_core.model.settings import Settings
from cemi_learn.bench.plan import Every, Plan, StopEarly

LARGEST_SEED = 10**9


class EverySettings(Settings):
    """How often something is written; none of it changes the weights."""

    log: int = Field(100, ge=1, description="Steps between lines of log.csv, which hold means over these steps.")
    validation: int = Field(500, ge=1, description="Steps between measurements on what is set aside for them.")
    samples: int = Field(1000, ge=1, description="Steps between images in samples/ that show what it can do.")
    checkpoint: int = Field(500, ge=1, description="Steps between checkpoints, from which the training goes on.")
    checkpoint_minutes: float = Field(5.0, gt=0, description="Minutes after which a checkpoint is written anyway.")


class StopEarlySettings(Settings):
    """When a training ends before its last step; the best weights are kept."""

    score: str = Field(description="The score that is watched, one of those that are measured.")
    patience: int = Field(10, ge=1, description="Measurements in a row without a better score.")


class TrainingSettings(Settings):
    """What every training recipe has; derive the recipe of a task from it."""

    #: What of these is not part of the identity of a training, because the weights of a step do not depend on it.
    only_written: ClassVar[frozenset[str]] = frozenset({"every", "stop_early", "stored_as", "tensorboard"})

    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Seed of the first weights, the patches and their noise.")
    steps: int = Field(40_000, ge=1, description="Batches in all.")
    batch: int = Field(8, ge=1, description="Patches of a batch.")
    patch_px: int = Field(128, ge=16, multiple_of=8, description="Edge of a patch, px.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Step size of Adam.")
    schedule: Literal["constant", "cosine", "one-cycle"] = Field(
        "constant",
        description="cosine: the learning rate falls to a fiftieth until the last step; one-cycle: it rises over the "
        "first tenth of the steps before.",
    )
    average: float = Field(
        0.999, ge=0, lt=1, description="Share of the old weights in the moving average, which is what is used."
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Numbers inside the convolutions; weights and averages are always float32."
    )
    stop_early: StopEarlySettings | None = Field(
        None, description="End when a score gets no better, and keep the best weights; by default all steps are done."
    )
    every: EverySettings = Field(EverySettings(), description="How often something is written.")
    stored_as: Literal["float32", "float16"] = Field("float32", description="Numbers in weights.safetensors.")
    tensorboard: bool = Field(True, description="Also write curves for TensorBoard, if it is installed.")

    def plan(self) -> Plan:
        """Return how the bench trains by these settings."""
        stop: dict[str, Any] | None = None if self.stop_early is None else self.stop_early.model_dump()
        return Plan(
            steps=self.steps,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            average=self.average,
            precision=self.precision,
            seed=self.seed,
            every=Every(**self.every.model_dump()),
            stop_early=None if stop is None else StopEarly(**stop),
            half=self.stored_as == "float16",
            tensorboard=self.tensorboard,
        )
