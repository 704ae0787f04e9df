"""A planted trend: a property that varies smoothly over the specimen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cemi_specimens.random_field import lattice_uniform


class Trend:
    """A property that varies smoothly along x, and a fifth as much along y, between two bounds.

    Parameters
    ----------
    low, high : float
        The bounds; the trend comes close to both along x.
    extent_px : tuple of float
        (height, width) of the specimen: about two and a half waves along x, one along y.
    seed : int
        Sets the phases of the waves.
    """

    _WAVES = ((0.6, 1.0), (0.9, 2.3), (0.5, 4.1))

    def __init__(self, low: float, high: float, extent_px: tuple[float, float], seed: int) -> None:
        self.low, self.high = low, high
        self._phases = 2 * math.pi * lattice_uniform(seed, [0], np.arange(4))[0].astype(float)
        self._height, self._width = extent_px
        along_x = self._along_x(np.linspace(0, self._width, 513))
        self._centre, self._reach = (along_x.max() + along_x.min()) / 2, (along_x.max() - along_x.min()) / 2

    def _along_x(self, x_px: NDArray[np.floating]) -> NDArray[np.floating]:
        turns = x_px / self._width
        waves = [a * np.sin(2 * math.pi * f * turns + p) for (a, f), p in zip(self._WAVES, self._phases, strict=False)]
        return np.sum(waves, axis=0)

    def __call__(self, y_px: ArrayLike, x_px: ArrayLike) -> NDArray[np.floating]:
        """Return the property at the given places, px; broadcasts."""
        y, x = np.asarray(y_px, float), np.asarray(x_px, float)
        along_x = (self._along_x(x) - self._centre) / self._reach
        along_y = np.sin(2 * math.pi * 0.7 * y / self._height + self._phases[3])
        share = np.clip(0.5 + 0.5 * (0.82 * along_x + 0.18 * along_y), 0.0, 1.0)
        return self.low + (self.high - self.low) * share
