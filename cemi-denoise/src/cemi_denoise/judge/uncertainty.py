"""How sure a denoiser is of each pixel: how its answer changes when the picture is turned, or another one is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Denoise = Callable[[NDArray[np.float32]], NDArray[Any]]

#: Quarter turns and whether a flip from left to right comes first. Those with an even number of turns keep the scan
#: lines of a microscope horizontal.
_ALL_ORIENTATIONS = tuple((turns, flipped) for turns in range(4) for flipped in (False, True))


@dataclass(frozen=True)
class Spread:
    """How much several answers to one picture differ.

    Attributes
    ----------
    mean : ndarray of float32, shape (h, w)
        Of the answers.
    deviation : ndarray of float32, shape (h, w)
        Standard deviation of the answers, on the scale of grey levels; 0 where all agree.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @property
    def rms(self) -> float:
        """Root mean square of the deviation over the picture."""
        return float(np.sqrt(np.mean(self.deviation.astype(np.float64) ** 2)))


def orientation_spread(denoise: Denoise, image: NDArray[np.float32], keep_lines: bool = False) -> Spread:
    """Return how much the answer depends on how the picture lies.

    The specimen knows neither up nor down, so what changes with the orientation comes from the denoiser. It is a lower
    bound: what all eight answers get wrong alike is not seen, and a filter without a preferred direction shows 0.

    Parameters
    ----------
    denoise : callable
        Takes and returns a stack (n, h, w).
    image : ndarray of float32, shape (h, w)
        Finite.
    keep_lines : bool
        Only the four orientations that leave the scan lines horizontal, for noise that is correlated along the lines:
        turned, it would be unlike any that the denoiser knows.
    """
    orientations = [o for o in _ALL_ORIENTATIONS if not (keep_lines and o[0] % 2)]
    answers = []
    for turns, flipped in orientations:
        turned = np.rot90(image[:, ::-1] if flipped else image, turns)
        answer = np.rot90(denoise(np.ascontiguousarray(turned)[None])[0], -turns)
        answers.append(answer[:, ::-1] if flipped else answer)
    return _spread(np.stack(answers))


def opinions_spread(first: NDArray[np.floating], second: NDArray[np.floating]) -> Spread:
    """Return how much two denoisers differ on one picture, such as a small and a large network.

    Parameters
    ----------
    first, second : ndarray of float, shape (h, w)
        Their answers.
    """
    return _spread(np.stack([first, second]))


def _spread(answers: NDArray[np.floating]) -> Spread:
    stack = answers.astype(np.float32)
    deviation = stack.std(0, ddof=1)
    return Spread(stack.mean(0), deviation)
