"""What the noise of a microscope is like: how it grows with brightness and how it hangs together along the scan line.

The noise of an electron picture is Poisson-like, white across the scan lines, and, where the detector is slow or its
maker filters, correlated along the line. Of a single picture only high frequencies *across* the lines are looked at,
where a picture blurred by a real beam holds little; of two repeats of one field, all frequencies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.optimize import nnls

from cemi_core.errors import InputError
from cemi_core.numeric.robust import cauchy_weights, irls, mad_std
from cemi_denoise.noise.power import (
    SQUARE_PX,
    band_power,
    correlations,
    cut_squares,
    joined,
    quiet_power,
    saturated_pixels,
)

_MOST_SQUARES = 4096
#: Cycles per pixel across the lines above which a single picture's power is looked at.
_HIGH = 0.36
_SQUARES_PER_FRAME = 1024
_BINS = 8
_SQUARES_PER_BIN = 24
_PIXELS_PER_BIN = 400
_LINE_ROUNDS = 5


@dataclass(frozen=True)
class NoiseModel:
    """The noise of a microscope, on the [0, 1] scale of grey levels.

    Attributes
    ----------
    gain, offset : float
        Variance of the noise = ``gain * grey + offset``; both at least 0. ``1 / gain`` is the number of electrons per
        pixel at white, ``offset`` the electronics.
    line_correlation : tuple of float
        Autocorrelation of the noise at lags 1, 2, 3 px along the scan line (x).
    across_correlation : tuple of float
        The same across the lines (y): near 0 unless the pictures were smoothed or compressed.
    line_jitter_px : float
        Standard deviation of the displacement of each line along x, px; NaN if not measured (it needs repeats).
    """

    gain: float
    offset: float
    line_correlation: tuple[float, ...] = ()
    across_correlation: tuple[float, ...] = ()
    line_jitter_px: float = float("nan")

    def sigma(self, grey: NDArray[np.float32] | float) -> NDArray[np.float32]:
        """Return the standard deviation of the noise at a noise-free ``grey`` of any shape."""
        return np.sqrt(self.gain * np.maximum(grey, 0) + self.offset).astype(np.float32)

    def smoothed_variance(self, grey: float, smoothing_px: float) -> float:
        """Return the variance of the noise that a Gaussian of ``smoothing_px`` leaves, at a noise-free ``grey``.

        The Gaussian's own autocorrelation is a Gaussian wider by the root of two, by which the noise's is weighted.
        """
        left = 1.0
        for correlation in (self.line_correlation, self.across_correlation):
            lags = np.arange(1, len(correlation) + 1)
            sums = 1 + 2 * np.sum(np.array(correlation) * np.exp(-(lags**2) / (4 * smoothing_px**2)))
            left *= max(float(sums), 0.05) / (np.sqrt(4 * np.pi) * smoothing_px)
        return float(self.sigma(grey)) ** 2 * left


def estimate_noise_model(pictures: Iterable[NDArray[np.float32]]) -> NoiseModel:
    """Return the noise of single pictures taken under the same conditions.

    The sum ``gain * grey + offset`` is certain to about 10 %; how it splits into gain and offset only if the pictures
    hold large regions of different brightness. Where they do not, the noise is taken to be that of counted electrons.

    Parameters
    ----------
    pictures : iterable of ndarray of float32, shape (h, w)
        Grey levels in [0, 1], at least 16 px high and wide; squares with NaN or saturated pixels are passed over.

    Raises
    ------
    InputError
        No picture holds a square that can be used.
    """
    parts = [cut_squares(picture, _MOST_SQUARES) for picture in pictures]
    if not parts:
        raise InputError("there is no picture to measure the noise of: give at least one")
    squares = joined(parts)
    power = band_power(squares.tiles, _HIGH)
    gain, offset = _line(*_variance_by_grey(squares.grey, power), scatter=0.05)
    return NoiseModel(gain, offset, *correlations(squares.tiles, _HIGH))


def from_repeats(first: NDArray[np.float32], second: NDArray[np.float32]) -> NoiseModel:
    """Return the noise of two views of one field, which differ by noise alone: more certain than one picture.

    Parameters
    ----------
    first, second : ndarray of float32, shape (h, w)
        Registered to the pixel, in the same grey levels in [0, 1], and not interpolated (that would change the noise).
        A rest of shift of a few tenths of a pixel is borne.

    Raises
    ------
    InputError
        The shapes differ, or the two are the same picture, or no square can be used.
    """
    if first.shape != second.shape:
        raise InputError(
            f"repeats of one field must have the same size, but these have {first.shape[1]} x {first.shape[0]} px "
            f"and {second.shape[1]} x {second.shape[0]} px: crop both to the common field"
        )
    if np.array_equal(first, second, equal_nan=True):
        raise InputError("the two repeats are the same picture, so their noise cannot be told: give two scans")
    saturated = saturated_pixels(first) | saturated_pixels(second)
    difference = (first - second) / np.float32(np.sqrt(2))
    squares = joined([cut_squares(difference, _MOST_SQUARES, saturated)])
    difference[saturated] = np.nan
    gain, offset = _line(*_difference_by_grey((first + second) / 2, difference), scatter=0.02)
    along, across = correlations(squares.tiles, 2 / SQUARE_PX)
    return NoiseModel(gain, offset, along, across, _line_jitter_px(first, second))


def estimate_noise_sigma(image: NDArray[np.float32]) -> float:
    """Return the standard deviation of the noise of one picture, averaged (as variance) over its pixels.

    Unbiased to 15 % for white and for line-correlated noise, also on lamellae of 3 px (measured on virtual specimens
    with noise of 0.02 to 0.3). It is too low where compression has removed the finest noise.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Grey levels in [0, 1]; NaN does not count. Below 16 px a side the second difference of neighbours across the
        lines is taken, which finds structure to be noise.

    Returns
    -------
    float
        On the [0, 1] scale; 0 for an empty or constant picture.
    """
    finite = np.isfinite(image)
    if not finite.any():
        return 0.0
    squares = cut_squares(image, _SQUARES_PER_FRAME)
    if len(squares.grey) == 0:
        return _second_difference_sigma(image)
    greys, variances = _variance_by_grey(squares.grey, band_power(squares.tiles, _HIGH))
    gain, offset = _line(greys, variances, scatter=0.05)
    grey = image.mean(where=finite, dtype=np.float64)
    return float(NoiseModel(gain, offset).sigma(float(np.clip(grey, greys.min(), greys.max()))))


def _second_difference_sigma(image: NDArray[np.float32]) -> float:
    if image.shape[0] < 3:
        return 0.0
    bend = (image[:-2] - 2 * image[1:-1] + image[2:]) / np.sqrt(6)
    bend = bend[np.isfinite(bend)]
    return float(mad_std(bend)) if bend.size else 0.0


def _variance_by_grey(
    grey: NDArray[np.float64], power: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean grey and variance of the noise for groups of squares of like brightness."""
    groups = np.array_split(np.argsort(grey), max(1, min(_BINS, len(grey) // _SQUARES_PER_BIN)))
    variances = [quiet_power(power[group]).mean() for group in groups]
    return np.array([grey[group].mean() for group in groups]), np.array(variances)


def _difference_by_grey(
    mean: NDArray[np.float32], difference: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean grey and variance of the noise for groups of pixels of like brightness of two views."""
    mean, difference = uniform_filter(mean, 3)[1:-1, 1:-1].ravel(), difference[1:-1, 1:-1].ravel()
    known = np.flatnonzero(np.isfinite(mean) & np.isfinite(difference))
    groups = np.array_split(known[np.argsort(mean[known])], max(1, min(_BINS, len(known) // _PIXELS_PER_BIN)))
    spread = [mad_std(difference[group], np.median(difference[group])) for group in groups]
    return np.array([mean[group].mean(dtype=np.float64) for group in groups]), np.square(spread)


def _line(greys: NDArray[np.float64], variances: NDArray[np.float64], scatter: float) -> tuple[float, float]:
    """Return gain and offset (at least 0) of variance over grey, fitted to relative residuals of about ``scatter``.

    The share of the offset is held towards 0 with a standard deviation of a half: counted electrons have none.
    """
    greys = np.maximum(greys, 1e-6)
    if not variances.any():
        return 0.0, 0.0

    def solve(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        design = np.stack([greys, np.ones_like(greys)], 1) * weight[:, None]
        held = [[0.0, 2 * scatter / variances.mean()]]
        return np.asarray(nnls(np.concatenate([design, held]), np.append(variances * weight, 0.0))[0])

    def reweigh(line: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        # structure only ever adds, so what lies far above the line counts little
        fitted = line[0] * greys + line[1]
        above = np.maximum(variances / fitted - 1, 0)
        return np.asarray(cauchy_weights(above, 0.1, 1 / fitted))

    (gain, offset), _ = irls(solve, reweigh, np.full_like(variances, 1 / variances.mean()), _LINE_ROUNDS)
    return float(gain), float(offset)


def _line_jitter_px(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return how far lines jump along x, px, from how the difference of two views follows the slope of each line.

    The jitters of both views add, hence the half. What noise alone gives is seen by comparing each line with the slope
    of a line far away, and taken off. NaN where the structure is too weak.
    """
    known = np.isfinite(first) & np.isfinite(second)
    first, second = np.where(known, first, 0), np.where(known, second, 0)
    slopes = [_smooth_slope(view) * known[:, 3:-3] for view in (first, second)]
    slope, rest = (slopes[0] + slopes[1]) / 2, (first - second)[:, 3:-3]
    plain = (first[:, 4:-2] - first[:, 2:-4]) / 2
    strength = (plain * slopes[1]).sum(1, dtype=np.float64)  # their noises are independent
    power = (slope**2).sum(1, dtype=np.float64)
    lines = len(strength)
    if lines < 16 or strength.mean() < 0.1 * power.mean() or power.mean() == 0:
        return float("nan")
    moved = (rest * slope).sum(1, dtype=np.float64)
    control = (rest * np.roll(slope, lines // 2, axis=0)).sum(1, dtype=np.float64)
    excess = np.var(moved - strength * moved.sum() / strength.sum()) - np.var(control)
    return float(np.sqrt(max(excess / np.mean(strength**2), 0) / 2))


def _smooth_slope(view: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the slope along x, grey levels per px, of a view smoothed over 5 px; 3 px are lost at either end."""
    smooth = (view[:, :-4] + 2 * (view[:, 1:-3] + view[:, 2:-2] + view[:, 3:-1]) + view[:, 4:]) / 8
    return (smooth[:, 2:] - smooth[:, :-2]) / 2
