"""Power spectrum of a picture, and the noise of a scanned one read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft

_TILES_PX = (128, 64, 32)
#: From here on the power across the scan lines is taken for noise, cycles per px: a beam as wide as a px draws nothing
#: so fine.
NOISE_FROM = 0.44


@dataclass(frozen=True)
class Spectrum:
    """Power spectrum of a picture: a mean over windowed tiles.

    Attributes
    ----------
    power : ndarray of float64, shape (n, n // 2 + 1)
        Squared grey level per (cycle per px) squared; white noise of variance v has v everywhere.
    across : ndarray of float64, shape (n, 1)
        Frequency along y, across the scan lines, without its sign, cycles per px.
    along : ndarray of float64, shape (1, n // 2 + 1)
        Frequency along x.
    tiles : int
        Number of tiles.
    """

    power: NDArray[np.float64]
    across: NDArray[np.float64]
    along: NDArray[np.float64]
    tiles: int

    @property
    def noise(self) -> NDArray[np.float64]:
        """Power of the noise at each frequency along x, shape (n // 2 + 1,).

        Noise of a scanned picture is white from line to line, whatever the detector does to it along the lines. So at
        each frequency along x the power at the highest frequencies across the lines is the noise's, and that at all
        the others.
        """
        mean: NDArray[np.float64] = self.power[self.across[:, 0] > NOISE_FROM].mean(axis=0)
        return mean

    def noise_after(self, smoothing_px: float) -> tuple[float, float]:
        """Return the deviation of the noise, and the deviation of its slope along x per px over it.

        Parameters
        ----------
        smoothing_px : float
            Deviation of the Gaussian with which the picture is smoothed, px; 0 for none.
        """
        gain = np.exp(-4 * np.pi**2 * smoothing_px**2 * (self.across**2 + self.along**2))
        weight = np.where((self.along > 0) & (self.along < 0.5), 2.0, 1.0)  # negative frequencies along x
        spread = gain * weight * self.noise
        variance = float(spread.sum()) / float(len(self.across) ** 2)
        steps = float((spread * (2 * np.sin(np.pi * self.along)) ** 2).sum()) / float(len(self.across) ** 2)
        return math.sqrt(variance), math.sqrt(steps / variance) if variance > 0 else 0.0


def spectrum_of(image: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> Spectrum:
    """Return the power spectrum of a picture by P. D. Welch's method (IEEE Trans. AU 1967, 15, 70).

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite; at least 32 px each way. Tiles are 128 px wide where they fit, and overlap by half.
    valid : ndarray of bool, shape (h, w), optional
        Where it was imaged: tiles with other pixels are left out, unless there is no other tile.
    """
    edge = next((size for size in _TILES_PX if size <= min(image.shape)), _TILES_PX[-1])
    tiles = sliding_window_view(image, (edge, edge))[:: edge // 2, :: edge // 2].reshape(-1, edge, edge)
    if valid is not None and not valid.all():
        whole = sliding_window_view(valid, (edge, edge))[:: edge // 2, :: edge // 2].all(axis=(2, 3)).ravel()
        tiles = tiles[whole] if whole.any() else tiles
    window = np.hanning(edge).astype(np.float32)
    window = window[:, None] * window[None, :]
    spectrum = fft.rfft2((tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window, axes=(1, 2))
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=0, dtype=np.float64) / float((window**2).sum())
    return Spectrum(power, np.abs(fft.fftfreq(edge))[:, None], fft.rfftfreq(edge)[None, :], len(tiles))
