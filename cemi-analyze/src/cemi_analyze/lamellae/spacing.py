"""Period of lamellae in square tiles: autocorrelation along the normal, its first peak to a fraction of a pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import map_coordinates

from cemi_core.numeric.peak import parabola_peak
from cemi_core.numeric.structure_tensor import StructureTensor

#: Steps of the autocorrelation profile, px.
_STEP_PX = 0.25
#: Pixels within this angle of a tile's main direction are of the same colony.
_SAME_COLONY_RAD = math.radians(20)
#: Share of a tile's window that lags and colonies must have to count.
_MIN_PAIRS = 0.03
LEAST_AREA = 0.08
#: Height of the second peak over the first, and of the first over the correlation at short lags, that lamellae have.
_SECOND = (0.8, 1.25)
_OF_SHORT = 0.8
_SHORT_PX = (1.5, 2.0)


@dataclass(frozen=True)
class TileSpacing:
    """What was measured in each of n tiles.

    Attributes
    ----------
    period_px : ndarray of float64, shape (n,)
        NaN without a first peak, or where the pattern does not go on (`goes_on`).
    peak : ndarray of float64, shape (n,)
        Height of that peak over the depth of the valley before it: near 1 for lamellae.
    area : ndarray of float64, shape (n,)
        Share of the tile (under its window) that the measured colony fills.
    normal_rad : ndarray of float64, shape (n,)
        Direction across the lamellae, from x towards y, in (-pi/2, pi/2].
    colony : ndarray of float32, shape (n, tile, tile)
        Weight of each pixel in the measurement.
    """

    period_px: NDArray[np.float64]
    peak: NDArray[np.float64]
    area: NDArray[np.float64]
    normal_rad: NDArray[np.float64]
    colony: NDArray[np.float32]


def tile_starts(length: int, tile_px: int) -> NDArray[np.int64]:
    """Return where tiles begin so that they cover ``length`` with an overlap of about a third."""
    number = max(1, math.ceil(1.4 * length / tile_px - 0.4))
    return np.linspace(0, length - tile_px, number).round().astype(np.int64)


def cut_tiles(image: NDArray[np.floating], tile_px: int) -> NDArray[np.floating]:
    """Return overlapping square tiles, shape (n, tile_px, tile_px), row by row."""
    starts_y, starts_x = (tile_starts(length, tile_px) for length in image.shape)
    view = np.lib.stride_tricks.sliding_window_view(image, (tile_px, tile_px))
    return view[starts_y[:, None], starts_x[None, :]].reshape(-1, tile_px, tile_px)


def measure_spacing(
    image: NDArray[np.float32], tensor: StructureTensor, lamellar: NDArray[np.bool_], tile_px: int
) -> TileSpacing:
    """Return the period in each tile of a picture.

    In a tile only the pixels of its main colony count: lamellar ones whose direction is that of the tile.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Without shading; both edges at least ``tile_px``.
    tensor : StructureTensor
        Of the image.
    lamellar : ndarray of bool, shape (h, w)
        Where there are regular lamellae.
    tile_px : int
        Edge of a tile: several periods. Periods up to 0.4 of it are found.
    """
    ramp = np.hanning(tile_px + 2)[1:-1].astype(np.float32)
    window = ramp[:, None] * ramp[None, :]
    length = np.maximum(np.hypot(tensor.difference, tensor.product), np.float32(1e-15))
    share = np.where(lamellar, 1 / length, 0).astype(np.float32)
    cosine, sine = cut_tiles(tensor.difference * share, tile_px), cut_tiles(tensor.product * share, tile_px)
    doubled = np.arctan2(np.einsum("nyx,yx->n", sine, window), np.einsum("nyx,yx->n", cosine, window))
    along = cosine * np.cos(doubled)[:, None, None].astype(np.float32)
    along += sine * np.sin(doubled)[:, None, None].astype(np.float32)
    colony = window * (along > math.cos(2 * _SAME_COLONY_RAD))
    area = colony.sum(axis=(1, 2), dtype=np.float64) / float(window.sum())

    lags = np.arange(0, 0.45 * tile_px, _STEP_PX)
    period, peak = np.full(len(area), np.nan), np.zeros(len(area))
    tiles = cut_tiles(image, tile_px)
    for i in np.flatnonzero(area >= LEAST_AREA):
        profile = autocorrelation_along(tiles[i], colony[i], 0.5 * doubled[i], lags)
        period[i], peak[i] = first_peak(profile, lags)
        if not goes_on(profile, lags, period[i]):
            period[i] = np.nan
    period[period > 0.4 * tile_px] = np.nan
    return TileSpacing(period, peak, area, 0.5 * doubled, colony)


def autocorrelation_along(
    tile: NDArray[np.float32], weight: NDArray[np.float32], angle_rad: float, lags_px: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the autocorrelation of the weighted pixels of a tile along one direction, shape (lags,).

    The autocorrelation of the weights is divided out: else its fall would draw every peak to shorter lags. Lags for
    which too few pairs of pixels are left are NaN.
    """
    mean = float((tile * weight).sum() / weight.sum())
    size = fft.next_fast_len(int(tile.shape[0] + lags_px[-1] + 3), real=True)
    pair = np.stack([(tile - np.float32(mean)) * weight, weight])
    spectrum = fft.rfft2(pair, (size, size))
    both = fft.irfft2(spectrum.real**2 + spectrum.imag**2, (size, size))
    reach = int(lags_px[-1]) + 2
    around = np.arange(-reach, reach + 1) % size
    correlation, pairs = both[:, around[:, None], around[None, :]]
    enough = pairs > _MIN_PAIRS * pairs[reach, reach]
    ratio = np.where(enough, correlation / np.where(enough, pairs, 1), 0)
    at = reach + math.sin(angle_rad) * lags_px, reach + math.cos(angle_rad) * lags_px
    profile = map_coordinates(ratio, at, order=3, mode="nearest", output=np.float64)
    known = map_coordinates(enough.astype(np.float32), at, order=1, mode="nearest") > 0.99
    return np.where(known, profile, np.nan)


def goes_on(profile: NDArray[np.float64], lags_px: NDArray[np.float64], period_px: float) -> bool:
    """Return whether a pattern repeats more than once: the second peak is as high as the first, at twice its lag.

    Scratches, stripes of milling, grain boundaries and dendrite arms have a first peak by chance, lower than the
    correlation at short lags and followed by anything. On made ones no more than one tile in twenty has both peaks; of
    lamellae nearly all have.

    Parameters
    ----------
    profile : ndarray of float64, shape (lags,)
        Autocorrelation; NaN from where on it is unknown.
    lags_px : ndarray of float64, shape (lags,)
    period_px : float
        Lag of the first peak.
    """
    if not math.isfinite(period_px):
        return False
    first, second = (_highest(profile, lags_px, times * period_px) for times in (1, 2))
    short = profile[(lags_px >= _SHORT_PX[0]) & (lags_px <= _SHORT_PX[1])]
    if not math.isfinite(second) or first <= 0 or not np.isfinite(short).all():
        return False
    return bool(_SECOND[0] <= second / first <= _SECOND[1] and first >= _OF_SHORT * float(short.max(initial=0.0)))


def _highest(profile: NDArray[np.float64], lags_px: NDArray[np.float64], near_px: float) -> float:
    """Return the highest value within an eighth of a lag; NaN where that is unknown."""
    around = profile[np.abs(lags_px - near_px) < 0.12 * near_px]
    return float(around.max()) if len(around) > 2 and np.isfinite(around).all() else math.nan


def first_peak(profile: NDArray[np.float64], lags_px: NDArray[np.float64]) -> tuple[float, float]:
    """Return the lag of the first peak of an autocorrelation profile and its height.

    The profile falls below zero into its first valley and rises above zero to its first peak: crossings of zero, not
    slopes, mark them, so that ripples of noise are not peaks. Noise, white or correlated over a few pixels, sits at
    shorter lags and does not move the peak. The lag is that of a parabola through points a tenth of the lag away.

    Parameters
    ----------
    profile : ndarray of float64, shape (lags,)
        NaN from where on it is unknown.
    lags_px : ndarray of float64, shape (lags,)
        At equal steps, from 0.

    Returns
    -------
    lag_px, height : float
        Height over the depth of the valley, whatever the noise: 1 for a sine, more for sharp lamellae of unequal
        width. NaN and 0 without a peak.
    """
    unknown = np.flatnonzero(np.isnan(profile))
    if len(unknown):
        profile = profile[: unknown[0]]
    changes = np.flatnonzero(np.diff(profile > 0)) + 1
    if len(changes) < 2:
        return math.nan, 0.0
    end = changes[2] if len(changes) > 2 else len(profile)
    top = int(changes[1] + np.argmax(profile[changes[1] : end]))
    apart = max(2, round(0.1 * top))
    if top + apart >= len(profile):
        return math.nan, 0.0
    middle = profile[top]
    peak = parabola_peak(profile[top - apart], middle, profile[top + apart], apart)
    if peak is None:
        return math.nan, 0.0
    lag = lags_px[top] + peak[0] * (lags_px[1] - lags_px[0])
    depth = -float(profile[changes[0] : changes[1]].min())
    return float(lag), float(middle / max(depth, 1e-12))
