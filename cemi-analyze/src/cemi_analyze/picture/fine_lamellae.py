"""Lamellae of two to five pixels per period: lines in the spectra of many small windows, seen together.

Under the noise of a fast scan a period of 3 px cannot be followed from line to line, and an autocorrelation does not
show it: its first peak lies where the noise still is. In the spectrum of a window the lamellae are one line, in one
direction, far above what noise and irregular texture put there (Welch, IEEE Trans. Audio Electroacoust. 1967, 15, 70,
for averaged spectra of overlapping windows; Thomson, Proc. IEEE 1982, 70, 1055, for lines against a background).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

#: Edge of a window, and the distance from one to the next, px.
WINDOW_PX = 32
STEP_PX = 16
#: Bins kept around the half plane of frequencies, so that every peak has neighbours.
_PAD = 3
_BLOCKS = (WINDOW_PX // 4, WINDOW_PX // 8)
_HALF = WINDOW_PX // 2
#: Longest period of fine lamellae, px. Lines are looked for up to a longer one: the stronger of two decides.
FINE_PX = 4.5
_LONGEST_PX = 8.0
#: Shortest period, px, and below which one a line may be seen as its mirror image.
_SHORTEST_PX, _ALIASED_PX = 1.6, 2.1
#: Mirror images of such lines lie at periods below this, px.
_MIRRORED_PX = 2.7
#: Windows whose line exceeds the background this many times are sure (0.1 % of windows of noise or texture do).
_SURE = 9.0
#: The same for a line of known frequency in the mean of nine neighbouring windows.
_SEEN = 2.5
#: Weight of a window in the mean period: none at the first, full from the second on of its own line over background.
_FULL = (2.0, 5.0)
#: Periods of one kind of lamellae, as a ratio: colonies differ by some per cent, waves bend them by 10 %.
_ALIKE = 0.12
_BAND = 0.2
#: Share of the windows, and number, in which a sure line must be.
_MIN_SHARE, _MIN_SURE = 0.01, 3
#: How many times denser sure lines must be at the common period than beside it: irregular texture has all periods.
_NARROW = 2.0
#: How many more lines an alias must explain than the frequency itself.
_ALIAS = 1.3


@dataclass(frozen=True)
class FineLamellae:
    """Fine lamellae in overlapping square windows.

    Attributes
    ----------
    period_px : ndarray of float64, shape (rows, columns)
        Local period, NaN where the window shows none.
    normal_rad : ndarray of float64, shape (rows, columns)
        Direction across the lamellae, from x towards y.
    weight : ndarray of float64, shape (rows, columns)
        0 to 1: how much of the window is lamellae, roughly; 0 where ``period_px`` is NaN.
    starts_y, starts_x : ndarray of int64, shape (rows,) and (columns,)
        First row and column of the windows, px.
    aliased : bool
        The lines are mirror images at the sampling limit of finer ones, whose period is given.
    """

    period_px: NDArray[np.float64]
    normal_rad: NDArray[np.float64]
    weight: NDArray[np.float64]
    starts_y: NDArray[np.int64]
    starts_x: NDArray[np.int64]
    aliased: bool = False

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Windows with lamellae."""
        return np.isfinite(self.period_px)


def fine_lamellae(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> FineLamellae | None:
    """Return the lamellae of 1.5 to 4.5 px in an image; None where its spectrum shows no line.

    Each window's power is divided by the background: the median over windows, freed from what single directions add,
    times the window's own strength. A window is sure of its line at 9 times the background; sure windows that agree on
    a period make it the period of the image. With that known, windows whose mean over nine neighbours exceeds 2.5 times
    the background within 20 % of it count. The frequency is the centroid of the power above the background around the
    peak, in the window's own spectrum: a fraction of a bin, and no slope of the background moves it.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite.
    valid : ndarray of bool, shape (h, w)
        Windows of which a tenth was not imaged do not count.

    Returns
    -------
    FineLamellae or None
    """
    if min(image.shape) < 2 * WINDOW_PX:
        return None
    starts_y, starts_x = (_starts(length) for length in image.shape)
    power, used = _powers(image, valid, starts_y, starts_x)
    if used.sum() < _MIN_SURE:
        return None
    background = _background(power[used])
    ratio, local = _whitened(power, background)
    excess = _around(power - local)
    own = _smoothed(_around(ratio))
    line = _common_line(own[used], excess[used])
    if line is None:
        return None
    grid = len(starts_y), len(starts_x)
    mean = _mean_of_neighbours(np.where(used[:, None, None], own, 1.0), grid)
    height, top = _highest(mean, _bins().near(line))
    seen = used & (height > _SEEN)
    frequency = _bins().unfolded(_centroid(excess[seen], top[seen]), line)
    strong = own.reshape(len(own), -1)[seen, top[seen]]
    weight = np.clip((strong - _FULL[0]) / (_FULL[1] - _FULL[0]), 0, 1)
    period, normal, share = (np.full(grid, fill) for fill in (np.nan, np.nan, 0.0))
    at = np.nonzero(seen.reshape(grid))
    period[at], normal[at] = 1 / np.hypot(*frequency), np.arctan2(*frequency)
    share[at] = weight
    return FineLamellae(period, normal, share, starts_y, starts_x, line.aliased)


@dataclass(frozen=True)
class _Line:
    """The period that the windows of an image share, px."""

    period_px: float
    aliased: bool


@dataclass(frozen=True)
class _Bins:
    """Frequencies of the bins of a padded half plane, cycles per px; direct ones first, then those of two aliases.

    A frequency beyond half a cycle per pixel along an axis is seen mirrored, one cycle per pixel less along that axis.
    """

    fy: NDArray[np.float64]  # (3, rows, columns)
    fx: NDArray[np.float64]

    @property
    def length(self) -> NDArray[np.float64]:
        return np.hypot(self.fy, self.fx)

    def near(self, line: _Line) -> NDArray[np.bool_]:
        """Return the bins that may show lamellae of a period."""
        near = np.abs(np.log(self.length * line.period_px)) < math.log1p(_BAND)
        return np.asarray(near.any(axis=0) if line.aliased else near[0])

    def unfolded(
        self, frequency: tuple[NDArray[np.float64], NDArray[np.float64]], line: _Line
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return measured frequencies, or of their aliases those that fit the line best."""
        if not line.aliased:
            return frequency
        fy, fx = _aliases(*frequency)
        best = np.abs(np.log(np.hypot(fy, fx) * line.period_px)).argmin(axis=0)
        each = np.arange(len(best))
        return fy[best, each], fx[best, each]


@cache
def _bins() -> _Bins:
    fy = np.arange(-_HALF, _HALF)[:, None] / WINDOW_PX + np.zeros((1, _HALF + 1))
    fx = np.arange(_HALF + 1)[None, :] / WINDOW_PX + np.zeros((WINDOW_PX, 1))
    fy[_HALF, 0] = 1e-9  # no division by the frequency 0
    return _Bins(*_aliases(fy, fx))


def _aliases(fy: NDArray[np.float64], fx: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies with those of which they may be the mirror images along y and along x."""
    return np.stack([fy, fy - np.copysign(1, fy), fy]), np.stack([fx, fx, fx - np.copysign(1, fx)])


@cache
def _gather() -> NDArray[np.int64]:
    """Return where the bins of the padded half plane lie in a window's power, flat, shape (rows, columns)."""
    ky = np.arange(-_HALF - _PAD, _HALF + _PAD)[:, None]
    kx = np.arange(-_PAD, _HALF + 1 + _PAD)[None, :]
    turned = (kx < 0) | (kx > _HALF)
    ky, kx = np.where(turned, -ky, ky) % WINDOW_PX, np.where(kx > _HALF, WINDOW_PX - kx, np.abs(kx))
    return np.asarray(ky * (_HALF + 1) + kx)


def _around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values on the half plane with the neighbours of its edges, zero frequency in the middle row."""
    return values.reshape(len(values), -1)[:, _gather()]


def _starts(length: int) -> NDArray[np.int64]:
    number = max(1, round((length - WINDOW_PX) / STEP_PX) + 1)
    return np.linspace(0, length - WINDOW_PX, number).round().astype(np.int64)


def _powers(
    image: NDArray[np.float32], valid: NDArray[np.bool_], starts_y: NDArray[np.int64], starts_x: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the power of each window, shape (n, 32, 17), and which windows were imaged."""
    at = starts_y[:, None], starts_x[None, :]
    edge = (WINDOW_PX, WINDOW_PX)
    tiles = np.lib.stride_tricks.sliding_window_view(image, edge)[at].reshape(-1, *edge)
    used = np.ones(len(tiles), bool)
    if not valid.all():
        used = np.lib.stride_tricks.sliding_window_view(valid, edge)[at].reshape(-1, *edge).mean(axis=(1, 2)) > 0.9
    ramp = np.hanning(WINDOW_PX + 1)[:-1].astype(np.float32)
    spectrum = fft.rfft2((tiles - tiles.mean(axis=(1, 2), keepdims=True)) * (ramp[:, None] * ramp[None, :]))
    power = spectrum.real**2 + spectrum.imag**2
    return power, used & (power.sum(axis=(1, 2)) > 0)


@cache
def _rings() -> NDArray[np.int64]:
    frequency = np.hypot(fft.fftfreq(WINDOW_PX)[:, None], fft.rfftfreq(WINDOW_PX)[None, :])
    return np.asarray(np.rint(frequency * WINDOW_PX).astype(np.int64))


def _background(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power that noise and irregular texture have, shape (32, 17).

    The median over windows, with what is neither of all x, of all y nor of all directions taken out (median polish,
    Tukey 1977): noise runs along the scan line and texture all ways, but lamellae run one way.
    """
    typical = np.log(np.maximum(np.median(power[:: max(1, len(power) // 256)], axis=0), 1e-30))
    rest, fitted = typical.copy(), np.zeros_like(typical)
    for _ in range(4):
        for axis in (0, 1):
            common = np.median(rest, axis=axis, keepdims=True)
            rest, fitted = rest - common, fitted + common
    ring = _rings()
    of_ring = np.array([np.median(rest[ring == number]) for number in range(ring.max() + 1)])
    return np.asarray((np.exp(fitted + of_ring[ring]) / math.log(2)).astype(np.float32))


def _whitened(
    power: NDArray[np.float32], background: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each window's power over the background, 1 where there is no line, and the window's own background.

    Noise differs from window to window: where a mosaic was made of several frames, or of frames between pixels, there
    is less of it, the more so the higher the frequency. So each window scales the background, smoothly over frequency.
    """
    ratio = power / background
    blocks = np.minimum(ratio[:, :, :_HALF], 3).reshape(len(power), _BLOCKS[0], 4, _BLOCKS[1], 4).mean(axis=(2, 4))
    blocks /= 1 - math.exp(-3)
    to_y, to_x = _from_blocks()
    local = background * np.maximum(to_y @ blocks @ to_x.T, np.float32(1e-6))
    return power / local, local


@cache
def _from_blocks() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what turns means over blocks of 4 x 4 bins into a smooth field over all bins, along y and x."""
    ky, kx = np.arange(WINDOW_PX)[:, None], np.arange(_HALF + 1)[:, None]
    apart_y = np.abs(ky - (4 * np.arange(_BLOCKS[0]) + 1.5))
    apart_y = np.minimum(apart_y, WINDOW_PX - apart_y)
    apart_x = np.abs(kx - (4 * np.arange(_BLOCKS[1]) + 1.5))
    weights = [np.exp(-0.5 * (apart / 4.0) ** 2) for apart in (apart_y, apart_x)]
    to_y, to_x = ((weight / weight.sum(axis=1, keepdims=True)).astype(np.float32) for weight in weights)
    return to_y, to_x


def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the padded half plane averaged over 3 x 3 bins (1, 2, 1), without its padding."""
    some = values[:, _PAD - 1 : 1 - _PAD, _PAD - 1 : 1 - _PAD]
    some = 0.25 * (some[:, :-2] + some[:, 2:]) + 0.5 * some[:, 1:-1]
    return np.asarray(0.25 * (some[:, :, :-2] + some[:, :, 2:]) + 0.5 * some[:, :, 1:-1])


def _mean_of_neighbours(values: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return the mean over each window and its eight neighbours (1, 2, 1), bin by bin."""
    mean = values.reshape(*grid, -1)
    for axis in (0, 1):
        mean = np.moveaxis(mean, axis, 0)
        padded = np.concatenate([mean[:1], mean, mean[-1:]])
        mean = np.moveaxis(0.25 * (padded[:-2] + padded[2:]) + 0.5 * padded[1:-1], 0, axis)
    return mean.reshape(values.shape)


def _highest(values: NDArray[np.float32], among: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the highest of some bins in each window, and where it lies in the flat half plane."""
    bins = np.flatnonzero(among)
    chosen = values.reshape(len(values), -1)[:, bins]
    best = chosen.argmax(axis=1)
    return chosen[np.arange(len(best)), best], bins[best]


def _centroid(
    excess: NDArray[np.float32], top: NDArray[np.int64], reach: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the frequency (y, x) of the power above the background around a bin, cycles per px."""
    row, column = np.divmod(top, _HALF + 1)
    steps = np.arange(-reach, reach + 1)
    near = np.clip(1.25 - np.hypot(steps[:, None], steps[None, :]) / (reach + 0.5), 0, 1)
    around = excess[
        np.arange(len(top))[:, None, None],
        row[:, None, None] + _PAD + steps[None, :, None],
        column[:, None, None] + _PAD + steps[None, None, :],
    ]
    share = np.clip(around, 0, None) * near
    share = share / np.maximum(share.sum(axis=(1, 2), keepdims=True), 1e-30)
    fy = (row - _HALF + (share * steps[None, :, None]).sum(axis=(1, 2))) / WINDOW_PX
    fx = (column + (share * steps[None, None, :]).sum(axis=(1, 2))) / WINDOW_PX
    return fy.astype(np.float64), fx.astype(np.float64)


def _common_line(own: NDArray[np.float32], excess: NDArray[np.float32]) -> _Line | None:
    """Return the period on which the sure windows agree, or None if there are too few or they have all periods."""
    length = _bins().length[0]
    height, top = _highest(own, (length > 1 / _LONGEST_PX) & (length < 1 / _SHORTEST_PX))
    sure = height > _SURE
    if sure.sum() < _MIN_SURE:
        return None
    size = -np.log(np.hypot(*_aliases(*_centroid(excess[sure], top[sure]))))
    tried = np.arange(math.log(_SHORTEST_PX), math.log(_LONGEST_PX), 0.01)
    size[1:, size[0] > math.log(_MIRRORED_PX)] = np.nan
    alike = np.exp(-0.5 * ((np.nan_to_num(size, nan=9.0)[:, :, None] - tried) / (0.5 * _ALIKE)) ** 2)
    direct, any_alias = alike[0].sum(axis=0), alike.max(axis=0).sum(axis=0)
    best, best_alias = int(direct.argmax()), int(any_alias.argmax())
    aliased = bool(any_alias[best_alias] > _ALIAS * direct[best]) and tried[best_alias] < math.log(_ALIASED_PX)
    here = best_alias if aliased else best
    agreeing = (alike[:, :, here].max(axis=0) if aliased else alike[0, :, here]) > math.exp(-2)
    beside = np.abs(np.abs(size[0] - tried[here]) - 2 * _ALIKE) <= _ALIKE
    few = agreeing.sum() < max(_MIN_SURE, _MIN_SHARE * len(own))
    if few or agreeing.sum() < _NARROW * 0.5 * beside.sum():
        return None
    if aliased:
        return _Line(float(np.exp(tried[here])), aliased=True)
    period_px = float(np.exp(np.median(size[0, agreeing])))
    return _Line(period_px, aliased=False) if _ALIASED_PX <= period_px <= FINE_PX else None
