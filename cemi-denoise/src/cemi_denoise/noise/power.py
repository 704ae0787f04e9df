"""The power of the noise of pictures at each frequency along and across the scan lines, told from that of structure.

A picture is cut into overlapping squares. Structure only ever adds to the power of the noise, and seldom to the same
frequency in all squares: a low quantile over squares and frequencies is noise alone. The power of white noise is
exponentially distributed, so that the quantile gives the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft

from cemi_core.errors import InputError

SQUARE_PX = 32
_SMALLEST_PX = 16
_LAGS = 3
_LOW_QUANTILE = 0.12
#: Samples of the power below which the median is taken: a low quantile of few is nothing.
_ENOUGH = 96
_SATURATED_SHARE = (0.05, 0.3)


@dataclass(frozen=True)
class Squares:
    """Squares cut out of pictures: mean grey (n,) and tapered differences to their own mean (n, side, side)."""

    grey: NDArray[np.float64]
    tiles: NDArray[np.float32]


def cut_squares(image: NDArray[np.float32], most: int, saturated: NDArray[np.bool_] | None = None) -> Squares:
    """Cut about ``most`` overlapping squares without NaN and with at most a few saturated pixels."""
    side = SQUARE_PX
    while side > _SMALLEST_PX and min(image.shape) < 3 * side:
        side //= 2
    if min(image.shape) < side:
        return Squares(np.empty(0), np.empty((0, side, side), np.float32))
    step = max(side // 2, int(np.sqrt(image.size / most)))
    saturated = saturated_pixels(image) if saturated is None else saturated
    tiles, outside = (
        np.lib.stride_tricks.sliding_window_view(array, (side, side))[::step, ::step].reshape(-1, side, side)
        for array in (image, saturated)
    )
    share = outside.mean((1, 2))
    # where every square is clipped a little, the least clipped tell more than nothing
    limit = np.clip(np.quantile(share, 0.2), *_SATURATED_SHARE)
    tiles = tiles[np.isfinite(tiles).all((1, 2)) & (share <= limit)]
    grey = tiles.mean((1, 2), dtype=np.float64)
    taper = hann_taper(side)
    return Squares(grey, (tiles - grey[:, None, None].astype(np.float32)) * (taper[:, None] * taper))


def saturated_pixels(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where the picture is at its own darkest or brightest grey, at which clipped pixels pile up."""
    finite = image[np.isfinite(image)]
    return (image <= finite.min()) | (image >= finite.max()) if finite.size else np.ones(image.shape, bool)


def hann_taper(side: int) -> NDArray[np.float32]:
    """Return a Hann window of unit power."""
    taper = np.hanning(side + 1)[:side].astype(np.float32)
    return taper / np.sqrt((taper**2).sum())


def joined(parts: list[Squares]) -> Squares:
    """Join squares of one size: the largest, because those of smaller pictures do not mix with them."""
    parts = [part for part in parts if len(part.grey)]
    if not parts:
        raise InputError(
            "the noise cannot be measured: no square of 16 px is free of missing and saturated pixels; "
            "give pictures that are larger and neither saturated nor constant"
        )
    side = max(part.tiles.shape[-1] for part in parts)
    same = [part for part in parts if part.tiles.shape[-1] == side]
    return Squares(np.concatenate([p.grey for p in same]), np.concatenate([p.tiles for p in same]))


def band_power(tiles: NDArray[np.float32], low: float) -> NDArray[np.float32]:
    """Return the power, (n, frequencies along y, frequencies along x), at ``low`` cycles/px and more along y.

    The highest frequency is left out: it is real-valued, so that its power is not exponentially distributed.
    """
    side = tiles.shape[-1]
    frequencies = np.arange(int(np.ceil(low * side)), side // 2)
    turns = np.exp(-2j * np.pi / side * np.outer(frequencies, np.arange(side))).astype(np.complex64)
    rows = fft(turns @ tiles, axis=-1)
    return rows.real**2 + rows.imag**2


def quiet_power(power: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power of the noise at each frequency along the last axis, whatever structure adds in some places."""
    flat = power.reshape(-1, power.shape[-1])
    quantile = _LOW_QUANTILE if len(flat) >= _ENOUGH else 0.5
    return np.quantile(flat, quantile, axis=0) / -np.log1p(-quantile)


def correlations(tiles: NDArray[np.float32], low: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the autocorrelation of the noise along and across the lines."""
    along, across = (_autocorrelation(quiet_power(band_power(t, low))) for t in (tiles, tiles.swapaxes(1, 2)))
    return along, across


def _autocorrelation(power: NDArray[np.float64]) -> tuple[float, ...]:
    lags = np.fft.ifft(power).real
    if lags[0] <= 0:
        return (0.0,) * _LAGS
    # the taper of the squares lowers the products of neighbours by its own autocorrelation
    taper = np.hanning(len(power) + 1)[: len(power)]
    own = np.array([(taper[: len(taper) - k] * taper[k:]).sum() for k in range(_LAGS + 1)])
    return tuple(float(lags[k] / lags[0] * own[0] / own[k]) for k in range(1, _LAGS + 1))
