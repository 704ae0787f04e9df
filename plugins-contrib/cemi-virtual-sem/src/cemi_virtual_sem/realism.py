"""Statistics by which pictures are compared: histogram, noise autocorrelation and spectrum, texture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

PATCH_PX = 32
LAGS = 8
_DARKEST, _BRIGHTEST = 12.0, 243.0


@dataclass(frozen=True)
class NoiseStatistics:
    """Noise of pictures, from their flat patches or from repeats.

    Attributes
    ----------
    deviation : float
        Of the noise, grey levels of 255.
    gain, offset : float
        Variance = gain * mean + offset, grey levels; NaN where the patches' means span less than 15 grey levels.
    along, across : ndarray, shape (LAGS,)
        Autocorrelation at lags 0, 1, 2, ... px along the scan line and across the lines.
    spectrum_along, spectrum_across : ndarray, shape (PATCH_PX // 2,)
        Power spectrum from 1 / PATCH_PX to 0.5 cycles/px, mean 1: flat for white noise.
    patches : int
        Number of patches used.
    """

    deviation: float
    gain: float
    offset: float
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    spectrum_along: NDArray[np.float64]
    spectrum_across: NDArray[np.float64]
    patches: int


def flat_patches(image: NDArray[np.floating], share: float = 0.03) -> NDArray[np.float64]:
    """Return the patches of a picture that have the least structure.

    A patch is flat when little variance is left after a Gaussian of 2 px has taken the noise away; patches near black
    or white are passed over, since their noise is clipped.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        Grey levels, 0 to 255.
    share : float
        Share of the patches to return, at least one.

    Returns
    -------
    ndarray of float64, shape (n, PATCH_PX, PATCH_PX)
        Half-overlapping patches, flattest first; n may be 0.
    """
    pixels = np.asarray(image, np.float32)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 2.0)
    step = PATCH_PX // 2
    windows = _windows(pixels)[::step, ::step].reshape(-1, PATCH_PX, PATCH_PX)
    soft = _windows(smooth)[::step, ::step].reshape(-1, PATCH_PX, PATCH_PX)
    mean = windows.mean(axis=(1, 2))
    usable = (mean > _DARKEST) & (mean < _BRIGHTEST) & (windows.std(axis=(1, 2)) > 0.7)
    usable &= (windows.min(axis=(1, 2)) > 0) & (windows.max(axis=(1, 2)) < 255)
    if not usable.any():
        return np.empty((0, PATCH_PX, PATCH_PX))
    candidates = np.flatnonzero(usable)
    structure = _detrended(soft[candidates].astype(float)).std(axis=(1, 2))
    keep = candidates[np.argsort(structure)][: max(1, round(share * len(windows)))]
    return windows[keep].astype(np.float64)


def noise_of_patches(patches: NDArray[np.float64]) -> NoiseStatistics:
    """Return the noise statistics of flat patches, each with its plane taken off.

    Parameters
    ----------
    patches : ndarray, shape (n, PATCH_PX, PATCH_PX)
        Grey levels, n >= 1.
    """
    residual = _detrended(patches)
    variance = residual.var(axis=(1, 2))
    means = patches.mean(axis=(1, 2))
    gain, offset = _line(means, variance)
    autocovariance = [
        [np.mean(np.sum(residual * _shifted(residual, lag, axis), axis=(1, 2)) / _overlap(lag)) for lag in range(LAGS)]
        for axis in (2, 1)
    ]
    along, across = (np.array(values) / values[0] for values in autocovariance)
    return NoiseStatistics(
        deviation=float(np.sqrt(variance.mean())),
        gain=gain,
        offset=offset,
        along=along,
        across=across,
        spectrum_along=_spectrum(residual, 2),
        spectrum_across=_spectrum(residual, 1),
        patches=len(patches),
    )


def noise_of_pictures(images: Iterable[NDArray[np.generic]], share: float = 0.03) -> NoiseStatistics | None:
    """Return the noise of the flat patches of several pictures (0 to 255), or None where there is no flat patch."""
    found = [flat_patches(np.asarray(image, np.float32), share) for image in images]
    patches = np.concatenate(found) if found else np.empty((0, PATCH_PX, PATCH_PX))
    return noise_of_patches(patches) if len(patches) else None


def noise_of_repeats(frames: Sequence[NDArray[np.generic]], apart: int = 1) -> NoiseStatistics:
    """Return the noise of repeats of one field, from their differences: free of any texture.

    Parameters
    ----------
    frames : sequence of ndarray, shape (h, w)
        Grey levels, 0 to 255; at least ``apart + 1``.
    apart : int
        How many frames lie between the two of a difference: more than 1 where the microscope averages over frames.
    """
    stack = np.asarray(frames, float)
    residuals = []
    for first, second in zip(stack[:-apart], stack[apart:], strict=True):
        difference = (first - second) / np.sqrt(2)
        residuals.append(_windows(difference)[::PATCH_PX, ::PATCH_PX].reshape(-1, PATCH_PX, PATCH_PX))
    found = noise_of_patches(np.concatenate(residuals))
    stack -= stack.mean(axis=(1, 2), keepdims=True) - stack.mean()  # drifting brightness is not noise
    gain, offset = _line(stack.mean(axis=0).ravel(), stack.var(axis=0, ddof=1).ravel())
    return replace(found, gain=gain, offset=offset)


def histogram(images: Iterable[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Return the share of pixels at each of the 256 grey levels."""
    counts = np.zeros(256)
    for image in images:
        counts += np.bincount(np.clip(np.asarray(image), 0, 255).astype(np.uint8).ravel(), minlength=256)
    return counts / counts.sum()


def percentiles(shares: NDArray[np.float64], wanted: Sequence[float]) -> list[int]:
    """Return grey levels below which the wanted percentages of the pixels of a histogram lie."""
    return [int(np.searchsorted(np.cumsum(shares), p / 100)) for p in wanted]


def texture(images: Iterable[NDArray[np.generic]], lags: Sequence[int] = (4, 8, 16, 32)) -> NDArray[np.float64]:
    """Return the autocorrelation of whole pictures at larger lags, mean of both axes, without the shading."""
    rows = []
    for image in images:
        pixels = np.asarray(image, np.float32)
        pixels = pixels - cv2.blur(pixels, (pixels.shape[1] // 5 | 1,) * 2)
        variance = float(np.mean(pixels * pixels))
        along = [np.mean(pixels[:, lag:] * pixels[:, :-lag]) for lag in lags]
        across = [np.mean(pixels[lag:] * pixels[:-lag]) for lag in lags]
        rows.append((np.array(along) + np.array(across)) / 2 / variance)
    return np.mean(rows, axis=0)


def _windows(image: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.lib.stride_tricks.sliding_window_view(image, (PATCH_PX, PATCH_PX))


def _detrended(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return patches without their least-squares plane."""
    ramp = np.linspace(-1, 1, PATCH_PX)
    weight = PATCH_PX * np.sum(ramp**2)
    flat = patches - patches.mean(axis=(1, 2), keepdims=True)
    slope_x = (flat * ramp).sum(axis=(1, 2)) / weight
    slope_y = (flat * ramp[:, None]).sum(axis=(1, 2)) / weight
    return flat - slope_x[:, None, None] * ramp - slope_y[:, None, None] * ramp[:, None]


def _shifted(patches: NDArray[np.float64], lag: int, axis: int) -> NDArray[np.float64]:
    moved = np.zeros_like(patches)
    source, target = [slice(None)] * 3, [slice(None)] * 3
    source[axis], target[axis] = slice(lag, None), slice(0, PATCH_PX - lag)
    moved[tuple(target)] = patches[tuple(source)]
    return moved


def _overlap(lag: int) -> int:
    return PATCH_PX * (PATCH_PX - lag)


def _spectrum(residual: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    window = np.hanning(PATCH_PX)
    shape = (1, 1, -1) if axis == 2 else (1, -1, 1)
    power = np.abs(np.fft.rfft(residual * window.reshape(shape), axis=axis)) ** 2
    mean = power.mean(axis=tuple({0, 1, 2} - {axis}))[1:]
    return np.asarray(mean / mean.mean())


def _line(means: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float]:
    if np.ptp(means) < 15:
        return float("nan"), float("nan")
    gain, offset = np.polyfit(means, variance, 1)
    return float(gain), float(offset)
