"""The detector: dose, noise, bandwidth along the scan line, shading and brightness.

Real micrographs have noise whose variance grows linearly with the mean; it is white across lines and, where the
detector is slow, correlated along the line, even with a negative lobe (+0.41, -0.09, -0.07 at lags 1 to 3 px in the
BSE images of nasa/pretrained-microscopy-models).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.model.settings import Settings

_KERNEL_REACH = 7


class DetectorSettings(Settings):
    """Noise and unevenness of the picture."""

    electrons_per_px: float = Field(
        60.0, gt=0, description="Dose at dwell 1: the variance of white (grey level 1) is one over it."
    )
    dwell: float = Field(1.0, gt=0, description="Dwell time relative to a fast (LD) scan; the paper's HD has 9.7.")
    read_noise: float = Field(0.012, ge=0, description="Gaussian noise of the electronics, grey levels (white is 1).")
    line_autocorrelation: tuple[float, ...] = Field(
        (0.41, -0.09, -0.07), description="Autocorrelation of the noise along the line at lags 1, 2, ... px."
    )
    shading: float = Field(0.06, ge=0, lt=0.9, description="Loss of brightness from the middle to the corners.")
    brightness_drift: float = Field(0.03, ge=0, lt=0.5, description="Slow drift of the gain, share (amplitude).")
    drift_period_s: float = Field(90.0, gt=0, description="Period of the gain's drift, s.")


def line_kernel(autocorrelation: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the symmetric filter that gives white noise the wanted autocorrelation along a line.

    The filter's spectrum is the square root of the wanted power spectrum, so it shifts nothing.

    Parameters
    ----------
    autocorrelation : tuple of float
        Values at lags 1, 2, ... px; further lags are zero.

    Returns
    -------
    ndarray of float32, shape (15,)
        Taps that sum to 1.

    Raises
    ------
    UsageError
        No noise has such an autocorrelation.
    """
    if not any(autocorrelation):
        return np.ones(1, np.float32)
    angles = 2 * np.pi * np.arange(256) / 256
    power = 1 + 2 * sum(rho * np.cos((lag + 1) * angles) for lag, rho in enumerate(autocorrelation))
    if np.min(power) < 0:
        raise UsageError(
            f"no noise has the autocorrelation {autocorrelation} along the line: its power would be negative; "
            "use values nearer to zero"
        )
    taps = np.fft.ifft(np.sqrt(power)).real
    kernel = np.concatenate([taps[-_KERNEL_REACH:], taps[: _KERNEL_REACH + 1]])
    return (kernel / kernel.sum()).astype(np.float32)


class Detector:
    """Turns an ideal picture into a recorded one.

    Parameters
    ----------
    settings : DetectorSettings, optional
        Dose, noise, bandwidth, shading, drift.
    seed : int
        Sets the phase of the brightness drift.
    """

    def __init__(self, settings: DetectorSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or DetectorSettings()
        self.kernel = line_kernel(self.settings.line_autocorrelation)
        self._phase = float(np.random.default_rng([seed, 77]).uniform(0, 2 * math.pi))

    def record(
        self, ideal: NDArray[np.float32], rng: np.random.Generator, time_s: float = 0.0, shaded: bool = True
    ) -> NDArray[np.float32]:
        """Return the picture that the detector makes of ideal grey levels.

        Parameters
        ----------
        ideal : ndarray of float32, shape (h, w)
            Grey levels in [0, 1]; lines are scanned along the last axis.
        rng : numpy.random.Generator
            Draws the noise.
        time_s : float
            Sets the brightness, which drifts slowly.
        shaded : bool
            Apply shading and brightness drift.

        Returns
        -------
        ndarray of float32, shape (h, w)
            Not clipped. The variance at grey level m is ``m / (electrons_per_px * dwell) + read_noise**2``, after the
            filter along the line.
        """
        s = self.settings
        signal = ideal * self._gain(ideal.shape, time_s) if shaded else ideal
        # The filter would lower the variance; so much more goes in that the stated variance comes out.
        loss = np.float32(1 / np.sum(self.kernel.astype(float) ** 2))
        dose = np.float32(s.electrons_per_px * s.dwell) / loss
        noise = rng.standard_normal(signal.shape, dtype=np.float32)
        # n + sqrt(n) z + (z**2 - 1) / 6 has the mean, the skewness and, but for 1/18, the variance of a Poisson number
        # of mean n (Cornish and Fisher 1938), at a third of its cost; n is 10 and more here.
        count = np.maximum(signal, 0) * dose
        spread = np.sqrt(count)
        spread += np.float32(1 / 6) * noise
        spread *= noise
        count += spread
        count -= np.float32(1 / 6)
        count *= np.float32(1 / dose)
        if s.read_noise > 0:
            deviation = np.float32(s.read_noise * math.sqrt(loss))
            count += deviation * rng.standard_normal(signal.shape, dtype=np.float32)
        if len(self.kernel) == 1:
            return count
        return cv2.sepFilter2D(count, cv2.CV_32F, self.kernel, np.ones(1, np.float32), borderType=cv2.BORDER_REFLECT)

    def _gain(self, shape: tuple[int, ...], time_s: float) -> NDArray[np.float32]:
        s = self.settings
        drift = 1 + s.brightness_drift * math.sin(2 * math.pi * time_s / s.drift_period_s + self._phase)
        y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] - np.float32(0.15)
        x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] - np.float32(0.25)
        return np.float32(drift) * (1 - np.float32(s.shading / 2) * (y * y + x * x))
