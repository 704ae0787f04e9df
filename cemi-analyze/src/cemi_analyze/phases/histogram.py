"""Histograms of grey levels over the range that a picture uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Shares of the pixels at either end that may lie outside.
_TAIL = 0.0002


@dataclass(frozen=True)
class Histogram:
    """Numbers of pixels by their grey level.

    Attributes
    ----------
    counts : ndarray of float64, shape (bins,)
        Pixels beyond the range are in the first and last bin.
    centres : ndarray of float64, shape (bins,)
        Grey levels, at equal steps.
    """

    counts: NDArray[np.float64]
    centres: NDArray[np.float64]

    @property
    def step(self) -> float:
        """Width of a bin."""
        return float(self.centres[1] - self.centres[0])

    @property
    def span(self) -> float:
        """Width of all bins."""
        return self.step * len(self.centres)

    @property
    def total(self) -> float:
        """Number of pixels."""
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean grey level."""
        return float(self.counts @ self.centres) / self.total

    @property
    def deviation(self) -> float:
        """Deviation of the grey levels."""
        return float(np.sqrt(self.counts @ (self.centres - self.mean) ** 2 / self.total))

    def quantile(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the grey levels below which a share of the pixels lies."""
        below = np.cumsum(self.counts) / self.total
        return np.asarray(np.interp(share, below, self.centres + 0.5 * self.step))

    def near(self, level: float, reach: float) -> float:
        """Return the share of the pixels within ``reach`` of a level."""
        edges = np.concatenate([[self.centres[0] - 0.5 * self.step], self.centres + 0.5 * self.step])
        below = np.concatenate([[0.0], np.cumsum(self.counts)]) / self.total
        low, high = np.interp([level - reach, level + reach], edges, below)
        return float(high - low)


def histogram_of(pixels: NDArray[np.float32], bins: int = 128, low: float | None = None, high: float | None = None) -> (
    Histogram
):
    """Return the histogram of pixels, between given levels or where all but 0.04 % of them lie.

    Bins are never narrower than the steps of the grey scale that the pixels have, or combs of empty bins would be
    taken for levels.
    """
    ends = np.quantile(pixels, [_TAIL, 1 - _TAIL]) if low is None or high is None else np.array([low, high])
    first, last = float(ends[0]), float(ends[1])
    if last <= first:
        last = first + 1e-6
    steps = np.unique(pixels[:: max(1, pixels.size // 4096)])
    grain = float(np.median(np.diff(steps))) if len(steps) > 2 else 0.0
    if grain > 0 and len(steps) < 1024:
        whole = max(1, int(np.ceil((last - first) / bins / grain - 1e-6)))
        first -= 0.5 * grain
        bins = max(2, int(np.ceil((last - first) / (whole * grain))))
        last = first + bins * whole * grain
    counts, edges = np.histogram(np.clip(pixels, first, last), bins, (first, last))
    return Histogram(counts.astype(np.float64), 0.5 * (edges[1:] + edges[:-1]))
