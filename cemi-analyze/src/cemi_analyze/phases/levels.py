"""Grey levels of the two phases of a picture, with the noise taken out of its histogram."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_BINS = 160
_ROUNDS = 40
_TAIL = 0.005


@dataclass(frozen=True, slots=True)
class PhaseLevels:
    """Where the two phases lie on the grey scale.

    Attributes
    ----------
    dark, bright : float
        Grey levels of pure dark and pure bright pixels.
    noise : float
        Deviation of the noise about them.
    """

    dark: float
    bright: float
    noise: float

    @property
    def midpoint(self) -> float:
        """Half-way between the phases: where an edge between two wide areas is cut without bias, however blurred."""
        return 0.5 * (self.dark + self.bright)

    @property
    def contrast(self) -> float:
        """Distance between the phases."""
        return self.bright - self.dark


def flat_noise(image: NDArray[np.float32], window_px: int = 11, share: float = 0.02) -> float:
    """Return the deviation of the noise in the flattest places of a picture, correlated noise included.

    The variance in windows of 11 x 11 px, at its 2 % quantile: where nothing but noise is left. Without any flat place
    (fine lamellae all over) it is too large, by up to the deviation of the texture.
    """
    mean = cv2.blur(image, (window_px, window_px))
    variance = cv2.blur(image * image, (window_px, window_px)) - mean * mean
    margin = window_px // 2
    inside = variance[margin : -margin or None : 2, margin : -margin or None : 2]
    count = window_px * window_px
    return float(np.sqrt(max(np.quantile(inside, share), 0.0) * count / (count - 1)))


def phase_levels(pixels: NDArray[np.float32], noise: float) -> PhaseLevels:
    """Return the levels of the two phases.

    The histogram is freed from Gaussian noise of the given deviation by 40 rounds of Richardson-Lucy; the levels are
    its 0.5 % and 99.5 % quantiles. Pixels that the beam's width mixes lie between the levels and do not move them, as
    they would move the modes of a two-Gaussian fit.

    Parameters
    ----------
    pixels : ndarray of float32, any shape
    noise : float
        Deviation, from `flat_noise`.
    """
    values = pixels.ravel()
    low, high = np.quantile(values, [0.0005, 0.9995])
    if high <= low:
        return PhaseLevels(float(low), float(low), noise)
    margin = 2 * noise + 1e-6
    counts, edges = np.histogram(values, _BINS, (low - margin, high + margin))
    centres = 0.5 * (edges[1:] + edges[:-1])
    sharp = _without_noise(counts / counts.sum(), (centres[1] - centres[0]) / max(noise, 1e-9))
    dark, bright = np.interp([_TAIL, 1 - _TAIL], np.cumsum(sharp) / sharp.sum(), centres)
    return PhaseLevels(float(dark), float(bright), noise)


def _without_noise(density: NDArray[np.float64], bin_width: float) -> NDArray[np.float64]:
    steps = np.arange(_BINS)
    blur = np.exp(-0.5 * ((steps[:, None] - steps[None, :]) * bin_width) ** 2)
    blur /= blur.sum(axis=0)
    sharp = np.full(_BINS, 1.0 / _BINS)
    for _ in range(_ROUNDS):
        sharp = sharp * (blur.T @ (density / np.maximum(blur @ sharp, 1e-12)))
    return sharp
