"""Two-point correlation of a phase: the chance that two places are both in it, by their distance and direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cemi_analyze.texture.chords import Mask

_E = math.e


@dataclass(frozen=True)
class TwoPoint:
    """The two-point correlation of a phase: the chance that two places are both in it.

    Attributes
    ----------
    s2 : ndarray of float64, shape (2 m + 1, 2 m + 1)
        At displacements (dy, dx) from -m to m px; ``s2[m, m]`` is the phase fraction.
    """

    s2: NDArray[np.float64]

    @property
    def fraction(self) -> float:
        """The phase fraction."""
        return float(self.s2[self.max_px, self.max_px])

    @property
    def max_px(self) -> int:
        """Largest distance along x and y, px."""
        return len(self.s2) // 2

    @property
    def along_x(self) -> NDArray[np.float64]:
        """At 0, 1, ... px along x."""
        return self.s2[self.max_px, self.max_px :]

    @property
    def along_y(self) -> NDArray[np.float64]:
        """At 0, 1, ... px along y."""
        return self.s2[self.max_px :, self.max_px]

    def radial(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return distances, px, and the mean over all directions at each: one ring for each px."""
        m = self.max_px
        offset = np.arange(-m, m + 1)
        distance = np.hypot(offset[:, None], offset[None, :])
        ring = np.rint(distance).astype(np.int64)
        used = (ring <= m) & np.isfinite(self.s2)
        number = np.maximum(np.bincount(ring[used], minlength=m + 1), 1)
        mean = np.bincount(ring[used], self.s2[used], m + 1) / number
        return np.bincount(ring[used], distance[used], m + 1) / number, mean


def two_point_correlation(mask: Mask, valid: Mask | None = None, max_px: int = 64) -> TwoPoint:
    """Return the two-point correlation of a phase.

    All pairs of imaged pixels at a displacement count, and no others: there is no wrapping around and no padding
    (S. Torquato, Random Heterogeneous Materials, 2002, 2.2 and 12.3).

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        The phase.
    valid : ndarray of bool, shape (h, w), optional
    max_px : int
        Largest distance along x and y; at most the edge of the image less one.
    """
    known = np.ones(mask.shape, bool) if valid is None else valid
    max_px = min(max_px, min(mask.shape) - 1)
    shape = tuple(fft.next_fast_len(size + max_px, real=True) for size in mask.shape)
    offset = np.arange(-max_px, max_px + 1)

    def pairs(array: Mask) -> NDArray[np.float64]:
        spectrum = fft.rfft2(array.astype(np.float32), shape)
        full = fft.irfft2(spectrum.real**2 + spectrum.imag**2, shape)
        return np.asarray(full[np.ix_(offset, offset)], np.float64)

    if known.all():
        height, width = (size - np.abs(offset) for size in mask.shape)
        number = np.multiply.outer(height, width).astype(np.float64)
    else:
        number = np.rint(pairs(known))
    with np.errstate(invalid="ignore", divide="ignore"):
        s2 = np.where(number > 0, pairs(mask & known) / number, np.nan)
    s2[max_px, max_px] = mask[known].mean() if known.any() else np.nan
    return TwoPoint(s2)


def correlation_length(distance_px: NDArray[np.float64], s2: NDArray[np.float64]) -> float:
    """Return the distance at which the correlation of a phase has fallen to 1/e, px; NaN where it does not.

    The correlation is (S2 - f^2) / (f - f^2) with the phase fraction f = S2 at 0; exp(-r / a), P. Debye's random medium
    (J. Appl. Phys. 1957, 28, 679), has the length a.

    Parameters
    ----------
    distance_px, s2 : ndarray of float64, shape (n,)
        Distances from 0 on, and the two-point correlation there.
    """
    fraction = float(s2[0])
    if not 0 < fraction < 1:
        return math.nan
    scaled = (s2 - fraction**2) / (fraction - fraction**2) - 1 / _E
    below = np.flatnonzero(scaled < 0)
    if not len(below):
        return math.nan
    after = int(below[0])
    share = scaled[after - 1] / (scaled[after - 1] - scaled[after])
    return float(distance_px[after - 1] + share * (distance_px[after] - distance_px[after - 1]))
