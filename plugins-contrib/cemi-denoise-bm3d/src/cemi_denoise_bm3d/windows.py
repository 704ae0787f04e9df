"""Windows that lie fixed in a picture: what is computed in them is the same in whatever tiles the picture comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]


def filter_in_windows(
    block: Picture, origin_px: tuple[int, int], size_px: int, overlap_px: int, each: Callable[[Picture], Picture]
) -> Picture:
    """Return ``block`` filtered window by window, joined smoothly.

    Window k of each axis covers the picture's pixels from ``k (size - overlap) - overlap`` on. A pixel sees only
    windows that hold it, so it does not depend on the block as long as those lie inside the block or end with the
    picture.

    Parameters
    ----------
    block : ndarray of float32, shape (h, w)
    origin_px : tuple of int
        (y, x) of the block's first pixel in the picture.
    size_px, overlap_px : int
        Edge of a window, and how much of it the next one covers too; at most half.
    each : callable
        ``each(window) -> window`` of the same shape.
    """
    total = np.zeros(block.shape, np.float64)
    weights = np.zeros(block.shape, np.float64)
    for rows, down in _windows(block.shape[0], origin_px[0], size_px, overlap_px):
        for columns, across in _windows(block.shape[1], origin_px[1], size_px, overlap_px):
            weight = down[:, None] * across[None, :]
            total[rows, columns] += weight * each(np.ascontiguousarray(block[rows, columns]))
            weights[rows, columns] += weight
    return (total / weights).astype(np.float32)


def _windows(length: int, origin: int, size: int, overlap: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield each window's part of an axis and its weights, which rise and fall linearly over the overlaps."""
    step = size - overlap
    ramp = (np.arange(overlap) + 0.5) / overlap
    weight = np.concatenate([ramp, np.ones(size - 2 * overlap), ramp[::-1]])
    for number in range(origin // step, (origin + length - 1 + overlap) // step + 1):
        start = number * step - overlap - origin
        low, high = max(start, 0), min(start + size, length)
        if low < high:
            yield slice(low, high), weight[low - start : high - start]
