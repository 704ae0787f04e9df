"""A mixture of phases in a histogram of grey levels: pure pixels, pixels on borders, and what fits neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mixture:
    """Phases of a histogram, from dark to bright.

    Attributes
    ----------
    levels : ndarray of float64, shape (k,)
        Grey levels of the pure phases, rising.
    deviations : ndarray of float64, shape (k,)
        Noise, and the unevenness of each phase.
    coverage : ndarray of float64, shape (n, k)
        How much of each phase the pixels of each component hold: pure ones, and places across borders or lines.
    weights : ndarray of float64, shape (n,)
        Share of the pixels in each component.
    others : float
        Share of the pixels that fit none, spread over all grey levels.
    others_coverage : ndarray of float64, shape (k,)
        How much of each phase they hold by their grey level.
    misfit, unexplained : float
        Half the sum of what the fit and the histogram differ by, as a share of the pixels, and what of it counting
        does not explain: the mean of ``|n - expected|`` is ``sqrt(2 n / pi)``.
    thickness : float
        Of the lines that one phase forms, in widths of the beam; infinite where straight borders fit as well.
    """

    levels: NDArray[np.float64]
    deviations: NDArray[np.float64]
    coverage: NDArray[np.float64]
    weights: NDArray[np.float64]
    others: float
    others_coverage: NDArray[np.float64]
    misfit: float
    unexplained: float
    thickness: float = math.inf

    @property
    def shares(self) -> NDArray[np.float64]:
        """Area of each phase over that of all, shape (k,)."""
        area = self.weights @ self.coverage + self.others * self.others_coverage
        return np.asarray(area / area.sum())

    @property
    def mixed(self) -> float:
        """Share of the pixels that hold more than 2 % of two phases."""
        return float(self.weights[self.coverage.max(axis=1) < 0.98].sum() / self.weights.sum())

    @property
    def separation(self) -> float:
        """Least distance of two neighbouring levels over the mean of their deviations."""
        steps = np.diff(self.levels) / (0.5 * (self.deviations[1:] + self.deviations[:-1]))
        return float(steps.min())

    def densities(self, grey: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density of each component at grey levels, shape (levels, n)."""
        return component_densities(grey, self.coverage, self.levels, self.deviations)[0]

    def coverage_at(self, grey: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much of a pixel of a grey level is expected to be each phase, shape (n, k)."""
        grey = np.clip(grey, self.levels[0] - 3 * self.deviations[0], self.levels[-1] + 3 * self.deviations[-1])
        likely = self.densities(grey) * self.weights
        return np.asarray(likely @ self.coverage / np.maximum(likely.sum(axis=1, keepdims=True), 1e-300))


def coverage_by_grey(grey: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of each phase pixels hold that have all grey levels alike, shape (k,)."""
    place = np.interp(grey, levels, np.arange(len(levels)))
    return np.asarray(np.clip(1 - np.abs(place[:, None] - np.arange(len(levels))), 0, 1).mean(axis=0))


def component_densities(
    grey: NDArray[np.float64],
    coverage: NDArray[np.float64],
    levels: NDArray[np.float64],
    deviations: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the density of each component at grey levels (bins, n), distances in deviations, and deviations (n,)."""
    width = np.sqrt(coverage @ deviations**2)
    apart = (grey[:, None] - coverage @ levels) / width
    return np.exp(-0.5 * np.minimum(apart * apart, 600)) / (width * math.sqrt(2 * math.pi)), apart, width
