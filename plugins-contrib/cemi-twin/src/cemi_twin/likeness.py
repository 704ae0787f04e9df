"""How alike two sets of images are: grey levels, power spectrum, and how far texture runs one way.

The numbers here are what a virtual specimen is fitted by, and what is left of the difference is what a caution is made
of. They know nothing of the analyzers whose errors are to be found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import wasserstein_distance

SPECTRUM_PX = 128
#: Edges of the bands of the power spectrum, cycles per pixel.
BANDS = np.geomspace(1 / 64, 0.5, 17)
_QUANTILES = (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99)
_ONE_WAY_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_WINDOWS_PX = (32, 64, 128)
_DIRECTIONS = 12


@dataclass(frozen=True)
class Look:
    """What images look like, in numbers; each array has one row for each image.

    Attributes
    ----------
    grey : ndarray of float64, shape (n, 10)
        Quantiles of the grey levels after a Gaussian of 1 px, and the deviation before it.
    spectrum : ndarray of float64, shape (n, 16)
        Natural logarithm of the power in `BANDS`.
    one_way : ndarray of float64, shape (n, 15)
        Quantiles over windows of 32, 64 and 128 px of how far the texture of the strongest scale runs one way.
    raw : ndarray of float32, shape (m,)
        Grey levels of some pixels, after a Gaussian of 1 px.
    """

    grey: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    one_way: NDArray[np.float64]
    raw: NDArray[np.float32]

    def vector(self) -> NDArray[np.float64]:
        """Return the mean over the images, as one row of numbers."""
        return np.concatenate([self.grey.mean(0), self.spectrum.mean(0), self.one_way.mean(0)])

    def error(self) -> NDArray[np.float64]:
        """Return the standard error of `vector`, from the scatter of the images."""
        parts = [part.std(0, ddof=1) / math.sqrt(len(part)) for part in (self.grey, self.spectrum, self.one_way)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Mismatch:
    """How far the twin's images differ from the run's.

    Attributes
    ----------
    grey : float
        Mean distance between the grey levels (Wasserstein), of 255, after a Gaussian of 1 px.
    spectrum_db : float
        Root mean square difference of the power spectra over all bands, decibels.
    one_way : float
        Root mean square difference of the quantiles of how far texture runs one way (0 to 1).
    """

    grey: float
    spectrum_db: float
    one_way: float

    @property
    def total(self) -> float:
        """One number to compare specimens by: 1 where each part is at the edge of what passes as alike."""
        parts = (self.grey / MAX_GREY, self.spectrum_db / MAX_SPECTRUM_DB, self.one_way / MAX_ONE_WAY)
        return math.sqrt(sum(part**2 for part in parts) / 3)

    def cautions(self) -> list[str]:
        """Return a sentence for each way in which the twin does not look like the run."""
        said = []
        if self.grey > MAX_GREY:
            said.append(f"its grey levels differ from the run's by {self.grey:.1f} of 255 on average")
        if self.spectrum_db > MAX_SPECTRUM_DB:
            said.append(f"its power spectrum differs from the run's by {self.spectrum_db:.1f} dB (rms)")
        if self.one_way > MAX_ONE_WAY:
            said.append(f"its texture runs one way to another degree than the run's (by {self.one_way:.2f} of 1)")
        return said


#: Beyond these a twin is said not to look like its run.
MAX_GREY, MAX_SPECTRUM_DB, MAX_ONE_WAY = 4.0, 1.5, 0.06


def dominant_frequency(images: Sequence[NDArray[np.float32]]) -> float:
    """Return the frequency at which texture is strongest, power times frequency squared, cycles per pixel."""
    power = np.exp(np.mean([_spectrum(image) for image in images], axis=0))
    middle = np.sqrt(BANDS[1:] * BANDS[:-1])
    floor = power[-3:].min()
    strength = (power - floor).clip(0) * middle**1.5
    return float(middle[int(np.argmax(strength[:-2]))])


def look_of(images: Sequence[NDArray[np.float32]], frequency: float) -> Look:
    """Return the look of images of at least 128 x 128 px, grey levels 0 to 1, shading taken off.

    Parameters
    ----------
    images : sequence of ndarray of float32, shape (h, w)
    frequency : float
        Cycles per pixel around which the direction of texture is looked at; the same for images to be compared.
    """
    grey, raw = [], []
    for image in images:
        smooth = gaussian_filter(image, 1.0)
        grey.append([*np.quantile(smooth, _QUANTILES), image.std()])
        raw.append(smooth[::7, ::7].ravel())
    return Look(
        np.array(grey),
        np.array([_spectrum(image) for image in images]),
        np.array([_one_way(image, frequency) for image in images]),
        np.concatenate(raw).astype(np.float32),
    )


def mismatch(twin: Look, run: Look) -> Mismatch:
    """Return how far the look of a twin differs from that of a run."""
    spectrum = (twin.spectrum.mean(0) - run.spectrum.mean(0)) * 10 / math.log(10)
    one_way = twin.one_way.mean(0) - run.one_way.mean(0)
    return Mismatch(
        255 * float(wasserstein_distance(twin.raw, run.raw)),
        float(np.sqrt(np.mean(spectrum**2))),
        float(np.sqrt(np.mean(one_way**2))),
    )


def _spectrum(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logarithm of the mean power in each band, from half-overlapping windows of 128 px."""
    size = SPECTRUM_PX
    window = np.outer(np.hanning(size), np.hanning(size)).astype(np.float32)
    power = np.zeros((size, size))
    for y in range(0, image.shape[0] - size + 1, size // 2):
        for x in range(0, image.shape[1] - size + 1, size // 2):
            patch = image[y : y + size, x : x + size]
            power += np.abs(np.fft.fft2((patch - patch.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    band = np.digitize(frequency.ravel(), BANDS) - 1
    inside = (band >= 0) & (band < len(BANDS) - 1)
    total = np.bincount(band[inside], power.ravel()[inside], len(BANDS) - 1)
    count = np.bincount(band[inside], minlength=len(BANDS) - 1)
    return np.log(np.maximum(total / np.maximum(count, 1), 1e-12))


def _one_way(image: NDArray[np.float32], frequency: float) -> NDArray[np.float64]:
    """Return quantiles, for each size of window, of the length of the mean doubled direction of power in a band."""
    found: list[NDArray[np.float64]] = []
    for size in _WINDOWS_PX:
        y, x = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
        length = np.hypot(y, x)
        band = (length > 0.62 * frequency) & (length < 1.6 * frequency)
        if band.sum() < _DIRECTIONS:
            band = (length > 0.4 * frequency) & (length < 2.2 * frequency)
        # the half plane holds each direction once, but for the column of zero frequency
        weight = np.where(x[band] == 0, 0.5, 1.0)
        turn = np.exp(2j * np.arctan2(y[band], x[band]))
        window = np.outer(np.hanning(size), np.hanning(size)).astype(np.float32)
        values = []
        step = max(size // 2, 24)
        for top in range(0, image.shape[0] - size + 1, step):
            for left in range(0, image.shape[1] - size + 1, step):
                patch = image[top : top + size, left : left + size]
                power = np.abs(np.fft.rfft2((patch - patch.mean()) * window)[band]) ** 2 * weight
                values.append(abs(np.sum(power * turn)) / max(float(power.sum()), 1e-12))
        found.append(np.quantile(values, _ONE_WAY_QUANTILES) if values else np.full(len(_ONE_WAY_QUANTILES), np.nan))
    return np.concatenate(found)
