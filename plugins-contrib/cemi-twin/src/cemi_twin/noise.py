"""The noise of a run's frames, apart from what they show: from places that two frames have imaged.

Noise differs between two images of one place and texture does not. So the cross-spectrum of overlapping patches holds
the texture alone, whatever its scale, and what the power spectrum of a single patch has above it is noise. A shift by
a part of a pixel only turns the phase of the cross-spectrum, so no pixel is interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cemi_core.numeric.noise import noise_std

PATCH_PX = 64
LAGS = 3
_PAIRS = 40
_PATCHES_PER_PAIR = 24
#: Pixels between the two frames' own estimate of the shift and the one that suits the patches best, at most.
_REACH_PX = 1.0


@dataclass(frozen=True)
class Overlap:
    """One place on two frames: ``first[y, x]`` and ``second[y, x]`` differ by ``rest_px`` (dy, dx), less than a pixel.

    ``second`` shows at (0, 0) what ``first`` shows at ``rest_px``.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    rest_px: tuple[float, float]


@dataclass(frozen=True)
class FrameNoise:
    """Noise of single frames; grey levels are 0 to 1.

    Attributes
    ----------
    std : float
        Standard deviation at the mean grey level.
    per_grey, base : float
        Variance = per_grey * grey level + base.
    line_autocorrelation : tuple of float
        At lags 1, 2, 3 px along the scan line.
    across_autocorrelation : float
        At a lag of 1 px across the lines; the virtual microscope has none.
    pairs : int
        Overlaps that were used; 0 if the noise was taken from single frames, as if it were white.
    """

    std: float
    per_grey: float
    base: float
    line_autocorrelation: tuple[float, ...]
    across_autocorrelation: float
    pairs: int


def noise_of_overlaps(overlaps: Sequence[Overlap], mean_grey: float) -> FrameNoise | None:
    """Return the noise that overlapping frames do not share, or None where no overlap holds a patch.

    Parameters
    ----------
    overlaps : sequence of Overlap
    mean_grey : float
        Mean grey level of the frames, 0 to 1.
    """
    window = np.outer(np.hanning(PATCH_PX), np.hanning(PATCH_PX))
    window /= np.sqrt(np.mean(window**2))
    power = np.zeros((PATCH_PX, PATCH_PX))
    patches = pairs = 0
    means: list[NDArray[np.float64]] = []
    squares: list[NDArray[np.float64]] = []
    slopes: list[NDArray[np.float64]] = []
    for overlap in overlaps[:_PAIRS]:
        spectra = [
            (np.fft.fft2((a - a.mean()) * window), np.fft.fft2((b - b.mean()) * window))
            for a, b in _patches(overlap.first, overlap.second)
        ]
        if not spectra:
            continue
        cross = np.sum([np.conj(a) * b for a, b in spectra], axis=0)
        alone = np.sum([(np.abs(a) ** 2 + np.abs(b) ** 2) / 2 for a, b in spectra], axis=0)
        rest, shared = _in_register(cross, overlap.rest_px)
        power += alone - shared
        patches += len(spectra)
        pairs += 1
        for list_, values in zip((means, squares, slopes), _differences(overlap, rest), strict=True):
            list_.append(values)
    if not patches:
        return None
    power /= patches * PATCH_PX**2
    autocovariance = np.fft.ifft2(power).real
    variance = max(float(autocovariance[0, 0]), 1e-8)
    along = tuple(float(autocovariance[0, lag]) / variance for lag in range(1, LAGS + 1))
    per_grey = _per_grey(np.concatenate(means), np.concatenate(squares), np.concatenate(slopes))
    per_grey = float(np.clip(per_grey, 0.0, variance / max(mean_grey, 0.02)))
    return FrameNoise(
        float(np.sqrt(variance)),
        per_grey,
        variance - per_grey * mean_grey,
        along,
        float(autocovariance[1, 0]) / variance,
        pairs,
    )


def noise_of_frames(frames: Sequence[NDArray[np.float32]]) -> FrameNoise:
    """Return the noise of frames without overlaps, as if it were white and of the detector's electronics alone."""
    std = float(np.median([noise_std(frame) for frame in frames]))
    return FrameNoise(std, 0.0, std**2, (0.0,) * LAGS, 0.0, 0)


def _patches(first: NDArray[np.float32], second: NDArray[np.float32]) -> Iterator[tuple[NDArray, NDArray]]:
    places = [
        (y, x)
        for y in range(0, first.shape[0] - PATCH_PX + 1, PATCH_PX // 2)
        for x in range(0, first.shape[1] - PATCH_PX + 1, PATCH_PX // 2)
    ]
    step = max(1, len(places) // _PATCHES_PER_PAIR)
    for y, x in places[::step]:
        there = (slice(y, y + PATCH_PX), slice(x, x + PATCH_PX))
        yield first[there], second[there]


def _in_register(cross: NDArray[np.complex128], rest_px: tuple[float, float]) -> tuple[tuple[float, float], NDArray]:
    """Return the shift (dy, dx) that brings two images into register, and the power that they then share."""
    frequency = np.fft.fftfreq(PATCH_PX)
    steps = np.linspace(-_REACH_PX, _REACH_PX, 41)
    turn_y = np.exp(-2j * np.pi * np.outer(rest_px[0] + steps, frequency))
    turn_x = np.exp(-2j * np.pi * np.outer(rest_px[1] + steps, frequency))
    agreement = (turn_y @ cross @ turn_x.T).real
    i, j = np.unravel_index(int(np.argmax(agreement)), agreement.shape)
    shared = (np.outer(turn_y[i], turn_x[j]) * cross).real
    return (float(rest_px[0] + steps[i]), float(rest_px[1] + steps[j])), shared


def _differences(overlap: Overlap, rest: tuple[float, float]) -> tuple[NDArray, NDArray, NDArray]:
    """Return for each pixel the mean grey level, the squared difference, and what a shift by ``rest`` adds to it."""
    first, second = overlap.first.astype(np.float64), overlap.second.astype(np.float64)
    mean = gaussian_filter((first + second) / 2, 2.0)
    slope_y, slope_x = np.gradient(gaussian_filter((first + second) / 2, 1.0))
    difference = second - first
    difference -= difference.mean()
    inside = (slice(4, -4, 3), slice(4, -4, 3))
    shift = (slope_y * rest[0] + slope_x * rest[1]) ** 2
    return mean[inside].ravel(), (difference**2)[inside].ravel(), shift[inside].ravel()


def _per_grey(mean: NDArray[np.float64], square: NDArray[np.float64], slope: NDArray[np.float64]) -> float:
    """Return how much the variance of one frame grows per grey level: least squares over all pixels."""
    columns = np.column_stack([mean, np.ones_like(mean), slope])
    found, *_ = np.linalg.lstsq(columns, square / 2, rcond=None)
    return float(found[0])
