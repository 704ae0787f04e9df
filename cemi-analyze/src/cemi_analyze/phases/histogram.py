"""Histograms of grey levels over the range that a picture uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Shares of the pixels at either end that may lie outside.
_TAIL = 0.0002
#: Pixels that are enough to find the range.
_ENOUGH = 65_536
#: Numbers of grey levels between which a picture has steps, but more than a drawing.
_FEWEST_LEVELS, _MANY_LEVELS = 12, 2048


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


def histogram_of(pixels: NDArray[np.float32], bins: int = 128) -> Histogram:
    """Return the histogram of pixels, between the grey levels that all but 0.04 % of them have."""
    first, last = (float(end) for end in np.quantile(pixels[:: max(1, pixels.size // _ENOUGH)], [_TAIL, 1 - _TAIL]))
    if last <= first:
        last = first + 1e-6
    counts, edges = np.histogram(np.clip(pixels, first, last), bins, (first, last))
    return Histogram(counts.astype(np.float64), 0.5 * (edges[1:] + edges[:-1]))


def without_steps(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture of few grey levels (8 bits, or a part of 16) with each spread evenly over its step.

    Bins that are no whole number of steps wide hold now one level more, now one less: a comb that a fit takes for
    structure. The same picture always gets the same values.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite.
    """
    levels = np.unique(image.ravel()[:: max(1, image.size // _ENOUGH)])
    if not _FEWEST_LEVELS <= len(levels) < _MANY_LEVELS:
        return image
    step = float(np.median(np.diff(levels)))
    spread = np.random.default_rng(0).random(image.shape, np.float32) - np.float32(0.5)
    return np.asarray(image + np.float32(step) * spread, np.float32)
