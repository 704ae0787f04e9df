"""How strong the noise is around each pixel, for networks that are told: slowly varying, the same in every tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemi_denoise.noise.power import SQUARE_PX, band_power, hann_taper, quiet_power

_HIGH = 0.36  # cycles/px across the lines: above it a picture blurred by a real beam holds little but noise
_STEP_PX = (SQUARE_PX // 2, SQUARE_PX)  # along y and x
_NODE_PX = 64
_WINDOW_PX = 80
_SATURATED_SHARE = 0.3
_FEWEST_SQUARES = 4

#: Pixels around a pixel that `local_noise_map` looks at.
LOCAL_NOISE_REACH_PX = _NODE_PX + _WINDOW_PX


def local_noise_map(
    image: NDArray[np.float32], imaged: NDArray[np.bool_] | None = None, origin: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    """Return the standard deviation of the noise around each pixel, (h, w), NaN where it cannot be told.

    At nodes 64 px apart the power of the picture at high frequencies across the scan lines is taken over squares within
    80 px; a low quantile of it is noise alone (`cemi_denoise.noise.power`), whether or not the detector has smeared it
    along the lines. Between nodes it is interpolated.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        In [0, 1], finite everywhere.
    imaged : ndarray of bool, shape (h, w), optional
        Pixels that count; None for all.
    origin : tuple of int
        Where (y, x) the array begins in its picture. Squares and nodes lie on a grid of the picture, so that a tile
        with `LOCAL_NOISE_REACH_PX` around it gives what the whole picture gives.
    """
    skipped = tuple(-start % step for start, step in zip(origin, _STEP_PX, strict=True))
    inner = np.s_[skipped[0] :, skipped[1] :]
    image_on_grid, imaged_on_grid = image[inner], None if imaged is None else imaged[inner]
    if min(image_on_grid.shape) < SQUARE_PX:
        return np.full_like(image, np.nan)
    power, usable = _squares(image_on_grid, imaged_on_grid)
    nodes = [_nodes(start, length) for start, length in zip(origin, image.shape, strict=True)]
    windows = [
        [_squares_around(int(node) - skip, length, step) for node in along]
        for along, skip, length, step in zip(nodes, skipped, image_on_grid.shape, _STEP_PX, strict=True)
    ]
    level = np.array([[_noise_of(power[y, x], usable[y, x]) for x in windows[1]] for y in windows[0]], np.float32)
    return _between_nodes(level, nodes, image.shape)


def _squares(
    image: NDArray[np.float32], imaged: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the power of overlapping squares, (rows, columns, frequencies along y, along x), and which can be used."""
    taper = hann_taper(SQUARE_PX)
    power, usable = [], []
    for y in range(0, image.shape[0] - SQUARE_PX + 1, _STEP_PX[0]):
        tiles = _cut(image[y : y + SQUARE_PX])
        whole = ((tiles > 0) & (tiles < 1)).mean((1, 2)) >= 1 - _SATURATED_SHARE
        if imaged is not None:
            whole &= _cut(imaged[y : y + SQUARE_PX]).all((1, 2))
        usable.append(whole)
        power.append(band_power((tiles - tiles.mean((1, 2), keepdims=True)) * (taper[:, None] * taper), _HIGH))
    return np.stack(power), np.stack(usable)


def _cut(strip: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the squares of a strip as high as they are, (n, side, side)."""
    return np.lib.stride_tricks.sliding_window_view(strip, SQUARE_PX, axis=1)[:, :: _STEP_PX[1]].swapaxes(0, 1)


def _nodes(start: int, length: int) -> NDArray[np.int64]:
    """Return where the nodes around an array lie in it; they are multiples of 64 px of the picture."""
    return np.arange(start // _NODE_PX, (start + length - 1) // _NODE_PX + 2) * _NODE_PX - start


def _squares_around(node: int, length: int, step: int) -> slice:
    first = -(-max(0, node - _WINDOW_PX) // step)
    return slice(first, max(first, (min(length, node + _WINDOW_PX) - SQUARE_PX) // step + 1))


def _noise_of(power: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
    squares = power[usable]
    return float(np.sqrt(quiet_power(squares).mean())) if len(squares) >= _FEWEST_SQUARES else np.nan


def _between_nodes(
    level: NDArray[np.float32], nodes: list[NDArray[np.int64]], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return what is interpolated between the nodes that have a number, NaN where none has."""
    known = np.isfinite(level)
    along_y, along_x = (_hats(along, length) for along, length in zip(nodes, shape, strict=True))
    total = along_y @ np.where(known, level, 0) @ along_x.T
    if known.all():
        return total
    weight = along_y @ known.astype(np.float32) @ along_x.T
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 1e-6)


def _hats(nodes: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    """Return the weight of each node at each pixel, (length, nodes)."""
    distance = np.abs(np.arange(length)[:, None] - nodes) / _NODE_PX
    return np.maximum(1 - distance, 0).astype(np.float32)
