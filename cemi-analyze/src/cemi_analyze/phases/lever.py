"""The lever rule: the share of a phase from the mean grey level, where phases are finer than any threshold can tell.

Blur and noise move a threshold's answer where phases are thinner than two pixels, but not the mean grey level:
``share of dark = (bright - mean) / (bright - dark)``. The levels come from the widest places of each phase.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.uncertainty.blocks import block_means, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval

_BINS = 96
#: Pixels are compared within so many blocks, so that the brightness of grains and shading do not decide.
_BLOCKS = (4, 4)
#: Shares of each phase, the purest first, from whose grey levels that of the pure phase is extrapolated.
_PUREST = 0.1, 0.2
_ROUNDS = 25
#: Deviation of the surroundings by which pixels are sorted, px.
_REACH_PX = 1.5


@dataclass(frozen=True)
class PureLevels:
    """Grey levels of the pure phases."""

    dark: float
    bright: float

    @property
    def contrast(self) -> float:
        """Distance between the phases."""
        return self.bright - self.dark

    def dark_share(self, mean: float) -> float:
        """Return the share of the dark phase where the mean grey level is ``mean``, 0 to 1; NaN without contrast."""
        return float(np.clip((self.bright - mean) / self.contrast, 0, 1)) if self.contrast > 0 else math.nan


def pure_levels(image: NDArray[np.float32], valid: NDArray[np.bool_], reach_px: float = _REACH_PX) -> PureLevels:
    """Return the levels of the pure phases, freed from noise by comparing lines.

    A microscope's noise is white across lines (and may be correlated along them). So pixels are sorted by what the
    lines above and below show, and the mean grey level of the darkest and brightest of them is free of their own
    noise. Taken are the purest tenth and fifth of each phase, where "a tenth" depends on the share that follows: found
    by iteration, and extrapolated to the purest of all, which blurred edges no longer reach.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Without shading.
    valid : ndarray of bool, shape (h, w)
        At least one pixel.
    reach_px : float
        Deviation of the Gaussian over the surroundings.
    """
    count, total, mean = _sorted_grey(image, valid, reach_px)
    share, low, high = 0.5, 0.0, 0.0
    for _ in range(_ROUNDS):
        low, high = _extreme(count, total, share), _extreme(count[:, ::-1], total[:, ::-1], 1 - share)
        new = float(np.clip(high / max(high - low, 1e-9), 0.003, 0.997))
        if abs(new - share) < 1e-5:
            break
        share = new
    return PureLevels(mean + low, mean + high)


def lever_interval(
    image: NDArray[np.float32], valid: NDArray[np.bool_], blocks: tuple[int, int], level_uncertainty: float
) -> Interval:
    """Return the share of the dark phase by the lever rule.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Without shading.
    valid : ndarray of bool, shape (h, w)
    blocks : tuple of int
        From whose scatter the interval comes.
    level_uncertainty : float
        95 % half-width of each level, as a share of the contrast; the two are off independently.

    Returns
    -------
    Interval
        NaN without contrast.
    """
    levels = pure_levels(image, valid)
    share = levels.dark_share(float(image[valid].mean(dtype=np.float64)))
    if not math.isfinite(share):
        return Interval(math.nan, math.nan, math.nan)
    scaled = ((np.float32(levels.bright) - image) / np.float32(levels.contrast)).astype(np.float32)
    means, counts = block_means(scaled, valid, blocks)
    found = fraction_interval(means, counts, systematic_of(share, level_uncertainty))
    return Interval(float(np.clip(found.value, 0, 1)), found.low, found.high)


def systematic_of(share: float, level_uncertainty: float) -> float:
    """Return the 95 % half-width of a share of which both levels are off by a share of the contrast."""
    return level_uncertainty * math.hypot(share, 1 - share)


def _sorted_grey(
    image: NDArray[np.float32], valid: NDArray[np.bool_], reach_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return number and summed grey level (less the mean) of the pixels by their surroundings, and the mean."""
    around = _surroundings(image, reach_px)
    low, high = float(around[valid].min()), float(around[valid].max())
    place = np.clip((around - np.float32(low)) * np.float32((_BINS - 1) / max(high - low, 1e-9)), 0, _BINS - 1)
    rows, columns = (np.arange(n) * number // n for n, number in zip(image.shape, _BLOCKS, strict=True))
    index = place.astype(np.int64) + (rows[:, None] * _BLOCKS[1] + columns[None, :]) * _BINS
    mean = float(image[valid].mean(dtype=np.float64))
    size = _BLOCKS[0] * _BLOCKS[1] * _BINS
    count = np.bincount(index[valid], minlength=size).reshape(-1, _BINS)
    total = np.bincount(index[valid], weights=image[valid], minlength=size).reshape(-1, _BINS) - count * mean
    return count.astype(np.float64), total, mean


def _surroundings(image: NDArray[np.float32], reach_px: float) -> NDArray[np.float32]:
    """Return the Gaussian mean around each pixel, its own line left out."""
    reach = math.ceil(3 * reach_px)
    steps = np.arange(-reach, reach + 1)
    along = np.exp(-0.5 * (steps / reach_px) ** 2).astype(np.float32)
    across = along.copy()
    across[reach] = 0
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, along / along.sum(), across / across.sum()), np.float32)


def _extreme(count: NDArray[np.float64], total: NDArray[np.float64], share: float) -> float:
    """Return the level to which the first bins tend, less the mean."""
    less, more = (_mean_of_first(count, total, part * share) for part in _PUREST)
    return 2 * less - more


def _mean_of_first(count: NDArray[np.float64], total: NDArray[np.float64], share: float) -> float:
    """Return the mean over blocks of the mean grey level of the first ``share`` of a block's pixels."""
    some = count.sum(axis=1) > 0
    count, total = count[some], total[some]
    below = np.cumsum(count, axis=1)
    used = np.clip(share * below[:, -1:] - (below - count), 0, count)
    mean = (used / np.maximum(count, 1) * total).sum(axis=1) / used.sum(axis=1)
    return float(mean.mean())
