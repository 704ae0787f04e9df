"""Virtual specimens fitted to the look of a run: the same grey levels, spectrum and directions in simulated frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from cemi_core.errors import CemiError
from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import Specimen
from cemi_specimens.plane import TILE_PX
from cemi_twin.families import Family, Variation
from cemi_twin.likeness import Look, Mismatch, look_of, mismatch
from cemi_virtual_sem.detector import Detector, DetectorSettings
from cemi_virtual_sem.specimens import SpecimenChoice

#: Simulated images of each trial, and rounds of the search.
_IMAGES, _ROUNDS = 6, 5
#: What a fit need not explain, in units of each number: grey levels, logarithms of power, shares of one direction.
_TOLERANCE = (*(0.004,) * 10, *(0.10,) * 16, *(0.02,) * 15)


@dataclass(frozen=True)
class Fit:
    """A specimen fitted to a run.

    Attributes
    ----------
    family : Family
    found : mapping of str to float
        The fitted numbers, by the names of the family's parameters.
    mismatch : Mismatch
        What is left, on images that the fit has not seen.
    """

    family: Family
    found: Mapping[str, float]
    mismatch: Mismatch

    def settings(self, pixel_um: float, varies: Variation) -> dict[str, Any]:
        """Return the settings of the specimen, without pixel size, extent and blur."""
        return self.family.build(self.found, pixel_um, varies)


@dataclass(frozen=True)
class Target:
    """What a specimen is fitted to.

    Attributes
    ----------
    look : Look
        Of the run's frames, shading taken off.
    frequency : float
        The one at which texture is strongest, cycles per px.
    edge_px : int
        Edge of the square images that were looked at.
    pixel_um : float
    detector : DetectorSettings
        Noise of the run's frames.
    """

    look: Look
    frequency: float
    edge_px: int
    pixel_um: float
    detector: DetectorSettings


def fit_family(family: Family, target: Target, seed: int, tried: Callable[[], None] = lambda: None) -> Fit | None:
    """Return the specimen of a family that looks most like a run; None where none of them can be made.

    Simulated method of moments: the numbers of `Look` of a few simulated images, all with the same random numbers,
    are brought near to the run's by Gauss-Newton steps with bounds.

    Parameters
    ----------
    family : Family
    target : Target
    seed : int
        Draws the simulated specimens and their noise.
    tried : callable
        Called after each trial.
    """
    parameters = family.parameters
    start = np.array([_start(parameter.name, parameter.start, target) for parameter in parameters])
    low, high, step = (np.array([getattr(p, name) for p in parameters]) for name in ("low", "high", "step"))
    start = np.clip(start, low + 0.05 * (high - low), high - 0.05 * (high - low))
    scale = np.hypot(target.look.error(), _TOLERANCE)
    wanted = target.look.vector()

    def residual(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        found = dict(zip((p.name for p in parameters), np.clip(scaled * step, low, high), strict=True))
        look = _look(family, found, target, seed, _IMAGES)
        tried()
        return np.clip((look.vector() - wanted) / scale, -30, 30)

    try:
        answer = least_squares(
            residual, start / step, bounds=(low / step, high / step), loss="soft_l1",
            diff_step=1 / np.maximum(np.abs(start / step), 1e-3), max_nfev=_ROUNDS,
        )  # fmt: skip
        found = dict(zip((p.name for p in parameters), (answer.x * step).tolist(), strict=True))
        fresh = _look(family, found, target, seed + 1, 2 * _IMAGES)
    except CemiError:
        return None
    return Fit(family, found, mismatch(fresh, target.look))


def _start(name: str, usual: float, target: Target) -> float:
    grey = target.look.grey.mean(0)
    guesses = {
        "dark": float(grey[2]),
        "bright": float(grey[6]),
        "period": float(-np.log(target.frequency)),
        "length": float(np.log(0.22 / target.frequency)),
        "colony": float(np.log(14 / target.frequency)),
    }
    return guesses.get(name, usual)


def _look(family: Family, found: Mapping[str, float], target: Target, seed: int, images: int) -> Look:
    settings = family.build(found, target.pixel_um, Variation())
    extent = (TILE_PX, images * TILE_PX)
    choice = SpecimenChoice(family.name, target.pixel_um, extent, seed, found["blur"], settings)
    return look_of(simulated(choice.make(), target, seed, images), target.frequency)


def simulated(specimen: Specimen, target: Target, seed: int, images: int) -> Sequence[NDArray[np.float32]]:
    """Return noisy images of whole tiles of a specimen, without shading, of the size that was looked at."""
    detector = Detector(target.detector, seed)
    edge = target.edge_px
    return [
        detector.record(
            specimen.render(Box(0, number * TILE_PX, TILE_PX, TILE_PX))[:edge, :edge],
            np.random.default_rng([seed, number]),
            shaded=False,
        )
        for number in range(images)
    ]
