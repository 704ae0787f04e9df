"""The degradation that makes noise like that of a microscope whose frames were measured."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares

from cemi_denoise.noise.degrade import Range, SemDegradation
from cemi_denoise.noise.model import NoiseModel

#: Noise is measured to some 10 % and changes with the current; dwell times differ by more.
_SPREAD = 2.0
_WEIGHT_SPREAD = 0.05
#: Correlation across the lines below which there is none.
_NO_CORRELATION = 0.05


def sem_degradation_like(noise: NoiseModel, spread: float = _SPREAD) -> SemDegradation:
    """Return a degradation whose noise has the level, growth with brightness and correlation of a measured one.

    What single frames do not tell (line jitter, wavering lines, grey levels) keeps its range.

    Parameters
    ----------
    noise : NoiseModel
    spread : float
        Electrons, and the variance of the amplifier, are drawn from the measured value over and times this.
    """
    electrons = float(np.clip(1 / max(noise.gain, 1e-6), 0.5, 1e6))
    amplifier = math.sqrt(noise.offset)
    beside, next_one = smear_weights(noise.line_correlation)
    smeared = bool(noise.across_correlation) and noise.across_correlation[0] > _NO_CORRELATION
    return SemDegradation(
        electrons=(electrons / spread, electrons * spread),
        amplifier=(max(amplifier / math.sqrt(spread), 1e-4), max(amplifier * math.sqrt(spread), 2e-4)),
        correlated=float(abs(beside) + abs(next_one) > _WEIGHT_SPREAD),
        neighbour_weight=_around(beside),
        next_weight=_around(next_one),
        smeared=0.5 if smeared else 0.0,
    )


def _around(weight: float) -> Range:
    return weight - _WEIGHT_SPREAD, weight + _WEIGHT_SPREAD


def smear_weights(correlation: tuple[float, ...]) -> tuple[float, float]:
    """Return the weights of the pixel beside and of the next one that give noise this correlation along the line.

    Parameters
    ----------
    correlation : tuple of float
        At lags 1, 2, ... px; empty if it was not measured.
    """
    if not correlation:
        return 0.0, 0.0
    wanted = np.zeros(4)
    wanted[: min(len(correlation), 4)] = correlation[:4]

    def rest(weights: np.ndarray) -> np.ndarray:
        return _correlation_of(*weights)[: max(len(correlation), 2)] - wanted[: max(len(correlation), 2)]

    found = least_squares(rest, (wanted[0] / 2, 0.0), bounds=((-0.5, -0.3), (0.7, 0.3))).x
    return float(found[0]), float(found[1])


def _correlation_of(beside: float, next_one: float) -> np.ndarray:
    """Return the autocorrelation at lags 1 to 4 px of white noise filtered with the weights."""
    kernel = np.array([next_one, beside, 1.0, beside, next_one])
    full = np.correlate(kernel, kernel, "full")[4:]
    return full[1:] / full[0]
