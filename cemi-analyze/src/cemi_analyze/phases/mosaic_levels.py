"""Grey levels that the phases have all over a mosaic, and what a single cell holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.histogram import Histogram
from cemi_analyze.phases.mixture import Mixture
from cemi_analyze.phases.mixture_fit import fit_mixture

#: Bins of a cell's histogram.
BINS = 256
#: Least distance of the levels over their deviations, and least share of the rarer phase in the whole mosaic.
_APART, _RAREST = 1.9, 0.001
#: Brightness of a cell that may differ from that of the mosaic, over the distance of the phases.
_DRIFT = 0.2
_ROUNDS = 40
#: What a fit of one cell may leave unexplained, unless its levels lie so many deviations apart.
_UNEXPLAINED, _SHARP = 0.1, 8.0


@dataclass(frozen=True)
class GreyCell:
    """What is kept of one cell.

    Attributes
    ----------
    counts : ndarray of int32, shape (rows, columns, 256)
        Histograms of the blocks over the cell's own range.
    low, high : float
        That range.
    noise : float
        Deviation of the noise.
    spots : tuple of (ndarray, ndarray, bool, float), optional
        Of a cell of one grey level: share of the rare phase in its blocks, their numbers of pixels, whether it is the
        dark one, and what its level leaves open.
    one_level : bool
        Whether it shows noise alone, but for spots.
    thumbnail : ndarray of uint8
    """

    counts: NDArray[np.int32]
    low: float
    high: float
    noise: float
    spots: tuple[NDArray[np.float64], NDArray[np.float64], bool, float] | None
    one_level: bool
    thumbnail: NDArray[np.uint8]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Grey levels of the bins, shape (256,)."""
        step = (self.high - self.low) / BINS
        return np.asarray(self.low + step * (np.arange(BINS) + 0.5))


def levels_of(cells: Sequence[GreyCell]) -> Mixture | None:
    """Return the mixture of the whole mosaic, the cells brought to one brightness; None where there is one level."""
    if not cells or (all(cell.one_level for cell in cells) and len(cells) == 1):
        return None
    noise = float(np.median([cell.noise for cell in cells]))
    shifts = np.zeros(len(cells))
    mixture: Mixture | None = None
    for _ in range(3):
        histogram = _joined(cells, shifts)
        mixture = fit_mixture(histogram, 2, noise)
        if mixture is None or mixture.separation < _APART or mixture.shares.min() < _RAREST:
            return None
        if len(cells) == 1:
            return mixture if mixture.unexplained < _UNEXPLAINED or mixture.separation > _SHARP else None
        fitted = mixture
        shifts = np.array([fitted_to(fitted, cell.centres, cell.counts.sum(axis=(0, 1)))[0] for cell in cells])
        shifts -= float(np.median(shifts))
    return mixture


def _joined(cells: Sequence[GreyCell], shifts: NDArray[np.float64]) -> Histogram:
    """Return the histogram of all cells over the range of most of their pixels."""
    low = min(cell.low - shift for cell, shift in zip(cells, shifts, strict=True))
    high = max(cell.high - shift for cell, shift in zip(cells, shifts, strict=True))
    fine = np.linspace(low, high, 2049)
    below = np.zeros(2049)
    for cell, shift in zip(cells, shifts, strict=True):
        edges = np.linspace(cell.low, cell.high, BINS + 1) - shift
        counted = np.concatenate([[0.0], np.cumsum(cell.counts.sum(axis=(0, 1), dtype=np.float64))])
        below += np.interp(fine, edges, counted)
    ends = np.interp([0.0002 * below[-1], 0.9998 * below[-1]], below, fine)
    edges = np.linspace(float(ends[0]), max(float(ends[1]), float(ends[0]) + 1e-6), 129)
    counts = np.diff(np.interp(edges, fine, below))
    return Histogram(np.maximum(counts, 0.0), 0.5 * (edges[1:] + edges[:-1]))


def fitted_to(
    mixture: Mixture, grey: NDArray[np.float64], counts: NDArray[np.integer] | NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return how much brighter a cell is than the mosaic, and the weights of the components in it.

    The weights by expectation maximisation with the levels, the noise and the border profile held; the brightness is
    the likeliest, unless the mosaic's own is hardly less likely.
    """
    contrast = float(mixture.levels[1] - mixture.levels[0])
    tried = np.linspace(-_DRIFT, _DRIFT, 17) * contrast
    found = [_weights_at(mixture, grey - shift, counts) for shift in tried]
    likely = np.array([each[0] for each in found])
    best = int(likely.argmax())
    if likely[best] - likely[len(tried) // 2] < 5e-4 * float(np.sum(counts)):
        best = len(tried) // 2
    shift = float(tried[best])
    if 0 < best < len(tried) - 1 and best != len(tried) // 2:
        bend = likely[best - 1] - 2 * likely[best] + likely[best + 1]
        step = float(tried[1] - tried[0])
        shift += step * 0.5 * float((likely[best - 1] - likely[best + 1]) / bend) if bend < 0 else 0.0
        return shift, _weights_at(mixture, grey - shift, counts)[1]
    return shift, found[best][1]


def _weights_at(
    mixture: Mixture, grey: NDArray[np.float64], counts: NDArray[np.integer] | NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the log-likelihood and the weights of the components of a histogram; border places keep one weight."""
    density = mixture.densities(grey)
    edge = mixture.coverage.max(axis=1) < 1 - 1e-12
    parts = np.column_stack([density[:, ~edge], density[:, edge].mean(axis=1)]) + 1e-12
    share = np.append(mixture.weights[~edge], mixture.weights[edge].sum())
    share = np.maximum(share, 1e-4)
    share /= share.sum()
    number = np.asarray(counts, np.float64)
    for _ in range(_ROUNDS):
        belongs = parts * share
        belongs *= (number / belongs.sum(axis=1))[:, None]
        share = belongs.sum(axis=0) / number.sum()
    weights = np.zeros(len(edge))
    weights[~edge] = share[:-1]
    weights[edge] = share[-1] / max(int(edge.sum()), 1)
    return float(number @ np.log((parts * share).sum(axis=1))), weights
