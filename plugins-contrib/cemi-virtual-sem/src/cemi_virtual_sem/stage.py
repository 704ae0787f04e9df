"""The microscope's stage: where it is at each moment of a pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from cemi_core.model.settings import Settings


class StageSettings(Settings):
    """How far the stage is from moving evenly."""

    speed_jitter: float = Field(0.02, ge=0, le=0.5, description="Deviation of the speed, as a share of it.")
    wobble_px: float = Field(0.3, ge=0, description="Deviation of y while x moves, px.")
    drift_px: float = Field(3.0, ge=0, description="Slow drift in each axis over one pass, px (deviation).")
    backlash_px: float = Field(6.0, ge=0, description="Commanded travel lost at the start of a pass, px (at most).")
    placing_px: float = Field(
        5.0, ge=0, description="Error of the place where a pass or a still starts, px (deviation)."
    )


@dataclass(frozen=True)
class StagePath:
    """The stage's motion in one pass, a smooth function of time.

    Attributes
    ----------
    start_px : tuple of float
        (y, x) of the specimen under picture pixel (0, 0) at time 0.
    speed_px_per_s : float
        Commanded speed along x.
    backlash_s : float
        The stage stands still for so long at the start.
    waves : ndarray, shape (n, 4)
        Deviations: axis (0 y, 1 x), amplitude px, angular frequency 1/s, phase.
    """

    start_px: tuple[float, float]
    speed_px_per_s: float
    backlash_s: float
    waves: NDArray[np.float64]

    def position_px(self, time_s: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return y and x of the specimen under picture pixel (0, 0), px, at the given times."""
        time = np.asarray(time_s, float)
        axes = [np.full(time.shape, self.start_px[0]), self.start_px[1] + self.speed_px_per_s * self._moving(time)]
        for axis, amplitude, frequency, phase in self.waves:
            axes[int(axis)] = axes[int(axis)] + amplitude * (np.sin(frequency * time + phase) - math.sin(phase))
        return axes[0], axes[1]

    def speed_at(self, time_s: float) -> float:
        """Return the speed along x at a time, px/s."""
        step = 1e-3
        _, x = self.position_px([time_s - step, time_s + step])
        return float(x[1] - x[0]) / (2 * step)

    def _moving(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the time spent in motion: it sets in smoothly, within a fifth of a second."""
        late = time_s - self.backlash_s
        soft = 0.05
        return soft * np.logaddexp(0.0, late / soft) - soft * np.logaddexp(0.0, -self.backlash_s / soft)


def stage_path(
    nominal_px: tuple[float, float],
    speed_px_per_s: float,
    duration_s: float,
    settings: StageSettings,
    rng: np.random.Generator,
) -> StagePath:
    """Return one pass of a stage with a start error, backlash, speed jitter, wobble and slow drift.

    Parameters
    ----------
    nominal_px : tuple of float
        (y, x) where the pass should start, specimen px.
    speed_px_per_s : float
        Commanded speed along x, 0 for a stage at rest.
    duration_s : float
        Time of the whole pass: sets the period of the slow drift.
    settings : StageSettings
        Sizes of the deviations.
    rng : numpy.random.Generator
        Draws the deviations of this pass.
    """
    start = tuple(float(c + settings.placing_px * e) for c, e in zip(nominal_px, rng.standard_normal(2), strict=True))
    backlash_s = settings.backlash_px * rng.uniform(0.5, 1) / speed_px_per_s if speed_px_per_s > 0 else 0.0
    waves = [(axis, settings.drift_px, rng.uniform(3, 6) / max(duration_s, 1.0)) for axis in (0, 1)]
    if speed_px_per_s > 0:
        jitter = settings.speed_jitter * speed_px_per_s / math.sqrt(1.5)
        for period_s in (2.3, 5.9, 13.0):
            frequency = 2 * math.pi / (period_s * rng.uniform(0.8, 1.25))
            waves.append((1, jitter / frequency, frequency))
        waves.append((0, settings.wobble_px, 2 * math.pi / rng.uniform(3.0, 7.0)))
    phased = [(*wave, rng.uniform(0, 2 * math.pi)) for wave in waves]
    return StagePath((start[0], start[1]), speed_px_per_s, backlash_s, np.array(phased))
