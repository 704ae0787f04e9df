"""Blocks of a cell: means over equal rectangles, the sample from which an interval is made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.uncertainty.intervals import Interval, spatial_mean_interval


def block_edges(length: int, blocks: int) -> NDArray[np.int64]:
    """Return the ``blocks + 1`` edges that cut ``length`` px into nearly equal parts."""
    return np.linspace(0, length, blocks + 1).round().astype(np.int64)


def blocks_along(shape: tuple[int, int], smallest_px: float) -> tuple[int, int]:
    """Return how many blocks fit a cell in y and x: at most 4 each way, each at least ``smallest_px`` wide.

    Four by four is a compromise: more blocks than that are no longer independent (colonies are wider), with fewer the
    variance between them is hardly known.
    """
    rows, columns = (int(np.clip(length // max(smallest_px, 1.0), 1, 4)) for length in shape)
    return rows, columns


def block_means(
    values: NDArray[np.floating], valid: NDArray[np.bool_], blocks: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the number of valid pixels of each block.

    Parameters
    ----------
    values : ndarray of float, shape (h, w)
        Finite where valid.
    valid : ndarray of bool, shape (h, w)
    blocks : tuple of int
        Number of blocks in y and x.

    Returns
    -------
    mean, count : ndarray of float64, shape ``blocks``
        The mean is NaN in a block that is less than half valid.
    """
    starts_y, starts_x = (block_edges(length, number)[:-1] for length, number in zip(values.shape, blocks, strict=True))

    def total(array: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.add.reduceat(np.add.reduceat(array, starts_x, axis=1, dtype=np.float64), starts_y, axis=0)

    count = total(valid.astype(np.float32))
    area = total(np.ones(values.shape, np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count >= 0.5 * area, total(np.where(valid, values, 0)) / count, np.nan)
    return mean, count


def fraction_interval(means: NDArray[np.float64], counts: NDArray[np.float64], systematic: float = 0.0) -> Interval:
    """Return a fraction with its 95 % interval from blocks, clipped to [0, 1]; ``systematic`` adds in quadrature."""
    interval = spatial_mean_interval(means, counts).widened(systematic)
    return Interval(interval.value, max(interval.low, 0.0), min(interval.high, 1.0))
