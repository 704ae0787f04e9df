"""Pictures with a known truth, small enough for any test: texture, stripes, and tiles cut from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def textured_image(shape: tuple[int, int] = (128, 160), seed: int = 0) -> NDArray[np.float32]:
    """Return a smooth random texture, float32 in [0.2, 0.8], the same for the same seed."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = gaussian_filter(noise, 2.0) + 0.5 * gaussian_filter(noise, 6.0)
    low, high = smooth.min(), smooth.max()
    texture: NDArray[np.float32] = (0.2 + 0.6 * (smooth - low) / (high - low)).astype(np.float32)
    return texture


def striped_image(
    shape: tuple[int, int] = (192, 192), period_px: float = 12.0, angle_deg: float = 30.0, dark_share: float = 0.4
) -> NDArray[np.float32]:
    """Return stripes with levels 0.3 (dark) and 0.7, smoothed at their edges; ``angle_deg`` turns their normal."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle = np.deg2rad(angle_deg)
    phase = ((np.cos(angle) * x + np.sin(angle) * y) / period_px) % 1.0
    stripes: NDArray[np.float32] = np.where(phase < dark_share, 0.3, 0.7).astype(np.float32)
    return np.asarray(gaussian_filter(stripes, 0.7), dtype=np.float32)


@dataclass(frozen=True)
class Tiles:
    """Overlapping cuts of one picture: the arrays, where each was cut (y, x, px), and the picture."""

    arrays: tuple[NDArray[np.float32], ...]
    positions_px: NDArray[np.float64]
    picture: NDArray[np.float32]


def cut_tiles(
    rows: int = 2, columns: int = 3, size: tuple[int, int] = (96, 128), overlap: float = 0.4, seed: int = 0
) -> Tiles:
    """Return tiles of a textured picture on a grid whose places deviate by up to 3 px."""
    rng = np.random.default_rng(seed)
    step = [round(edge * (1 - overlap)) for edge in size]
    shape = step[0] * (rows - 1) + size[0] + 8, step[1] * (columns - 1) + size[1] + 8
    picture = textured_image(shape, seed)
    places = np.array(
        [(4 + row * step[0], 4 + column * step[1]) for row in range(rows) for column in range(columns)], dtype=np.int64
    )
    places += rng.integers(-3, 4, places.shape)
    arrays = tuple(picture[y : y + size[0], x : x + size[1]].copy() for y, x in places)
    return Tiles(arrays, places.astype(np.float64), picture)
