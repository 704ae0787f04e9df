"""How far the stage moved between scans, measured in the pictures, and which scans to keep for the wanted overlap.

Plain zero-mean normalised cross-correlation (ZNCC) after a light low-pass, not whitened: on periodic lamellae the
maximum of a whitened correlation is unreliable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

#: Shorter side of the picture in which the shift is first looked for, px.
_COARSE_SIDE = 96
#: Smallest share of the picture that two scans must share for their shift to be measured.
LEAST_OVERLAP = 0.12
_LEAST_QUALITY = 0.08


@dataclass(frozen=True, slots=True)
class Shift:
    """Motion of the stage between two scans: place of the second minus place of the first, px.

    Attributes
    ----------
    dy, dx : float
        Sub-pixel.
    quality : float
        ZNCC of the overlap, -1 to 1.
    """

    dy: float
    dx: float
    quality: float


@dataclass(frozen=True)
class Look:
    """A scan as `measure_shift` compares it: a pyramid, background removed, coarsest last."""

    levels: tuple[NDArray[np.float32], ...]


def prepare(pixels: NDArray[np.uint8]) -> Look:
    """Return a scan (h, w) ready for `measure_shift`."""
    image = pixels.astype(np.float32)
    levels = [ndimage.gaussian_filter(image, 1.0, mode="nearest")]
    while min(image.shape) >= 2 * _COARSE_SIDE:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
        levels.append(image)
    coarse = levels[-1]
    background = ndimage.uniform_filter(coarse, max(9, min(coarse.shape) // 3), mode="nearest")
    levels[-1] = coarse - background
    return Look(tuple(levels))


def measure_shift(
    first: Look, second: Look, expected: tuple[float, float] | None = None, reach_y: float = 0.08, reach_x: float = 1.0
) -> Shift | None:
    """Measure how far the stage moved between two scans.

    Parameters
    ----------
    first, second : Look
        The scans, of one shape (h, w).
    expected : tuple of float, optional
        (dy, dx) that is likely, px; it decides between maxima that are nearly alike, as periodic lamellae give them.
    reach_y, reach_x : float
        Largest |dy| and |dx| as a share of height and width.

    Returns
    -------
    Shift or None
        None if nothing fits.
    """
    scale = 2 ** (len(first.levels) - 1)
    start = _coarse_shift(first.levels[-1], second.levels[-1], expected, scale, reach_y, reach_x)
    if start is None:
        return None
    y, x = start
    surface = np.zeros((3, 3))
    for level in range(len(first.levels) - 1, -1, -1):
        if level < len(first.levels) - 1:
            y, x = 2 * y, 2 * x
        y, x, surface = _climb(first.levels[level], second.levels[level], y, x)
    quality = float(surface[1, 1])
    if quality < _LEAST_QUALITY:
        return None
    part_y, part_x = _summit(surface)
    return Shift(y + part_y, x + part_x, quality)


def _coarse_shift(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    expected: tuple[float, float] | None,
    scale: int,
    reach_y: float,
    reach_x: float,
) -> tuple[int, int] | None:
    """Return the integer shift of the most significant ZNCC over all overlaps."""
    zncc, overlap, dy, dx = zncc_surface(first, second)
    height, width = first.shape
    allowed = (np.abs(dy)[:, None] <= max(2.0, reach_y * height)) & (np.abs(dx)[None] <= reach_x * width)
    allowed &= overlap >= LEAST_OVERLAP * height * width
    if not allowed.any():
        return None
    evidence = np.where(allowed, zncc * np.sqrt(overlap), -np.inf)
    best = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    if expected is not None:
        near = (np.abs(dy - expected[0] / scale)[:, None] <= max(2.0, 0.05 * height)) & (
            np.abs(dx - expected[1] / scale)[None] <= max(3.0, 0.12 * width)
        )
        likely = np.where(near, evidence, -np.inf)
        candidate = np.unravel_index(int(np.argmax(likely)), likely.shape)
        if likely[candidate] >= 0.7 * evidence[best]:
            best = candidate
    return int(dy[best[0]]), int(dx[best[1]])


def zncc_surface(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ZNCC of the overlap for every shift of ``second`` against ``first``, by FFT.

    Returns
    -------
    zncc : ndarray, shape (2 h - 1, 2 w - 1)
        0 where the overlap has no contrast.
    overlap : ndarray, same shape
        Pixels in the overlap.
    dy, dx : ndarray of int
        Shifts of rows and columns: place of ``second`` minus place of ``first``.

    Notes
    -----
    D. Padfield, IEEE Trans. Image Process. 21 (2012) 2706, with full masks: the sums of the overlaps are those of
    rectangles, taken from integral images.
    """
    height, width = first.shape
    size = [fft.next_fast_len(2 * height - 1, real=True), fft.next_fast_len(2 * width - 1, real=True)]
    a = first.astype(np.float64) - float(first.mean())
    b = second.astype(np.float64) - float(second.mean())
    product = fft.irfft2(fft.rfft2(a, size) * np.conj(fft.rfft2(b, size)), size)
    dy, dx = np.arange(1 - height, height), np.arange(1 - width, width)
    cross = product[np.ix_(dy % size[0], dx % size[1])]
    overlap = (height - np.abs(dy))[:, None] * (width - np.abs(dx))[None].astype(np.float64)
    sum_a, square_a = _overlap_sums(a, dy, dx), _overlap_sums(a * a, dy, dx)
    sum_b, square_b = _overlap_sums(b, -dy, -dx), _overlap_sums(b * b, -dy, -dx)
    variance = np.maximum(square_a - sum_a**2 / overlap, 0) * np.maximum(square_b - sum_b**2 / overlap, 0)
    floor = 1e-9 * max(float(np.sum(a * a)) * float(np.sum(b * b)), 1e-12)
    zncc = np.where(variance > floor, (cross - sum_a * sum_b / overlap) / np.sqrt(np.maximum(variance, floor)), 0.0)
    return zncc, overlap, dy, dx


def _overlap_sums(image: NDArray[np.float64], dy: NDArray[np.int64], dx: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of ``image`` over its overlap with a picture of its size placed at (dy, dx), for all shifts."""
    height, width = image.shape
    integral = np.zeros((height + 1, width + 1))
    integral[1:, 1:] = image.cumsum(axis=0).cumsum(axis=1)
    top, bottom = np.maximum(dy, 0), np.minimum(dy + height, height)
    left, right = np.maximum(dx, 0), np.minimum(dx + width, width)
    total: NDArray[np.float64] = integral[np.ix_(bottom, right)] - integral[np.ix_(top, right)]
    total -= integral[np.ix_(bottom, left)] - integral[np.ix_(top, left)]
    return total


def overlap_zncc(first: NDArray[np.float32], second: NDArray[np.float32], dy: int, dx: int) -> float:
    """Return the ZNCC of the overlap at one shift; 0 without overlap or contrast."""
    height, width = first.shape
    a = first[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    b = second[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
    if a.size < 64:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / norm**0.5 if norm > 0 else 0.0


def _climb(
    first: NDArray[np.float32], second: NDArray[np.float32], y: int, x: int
) -> tuple[int, int, NDArray[np.float64]]:
    """Climb to the nearest maximum of the ZNCC; return it with the 3 x 3 values around it."""
    known: dict[tuple[int, int], float] = {}
    for _ in range(12):
        for v in (y - 1, y, y + 1):
            for u in (x - 1, x, x + 1):
                if (v, u) not in known:
                    known[v, u] = overlap_zncc(first, second, v, u)
        best = max(((v, u) for v in (y - 1, y, y + 1) for u in (x - 1, x, x + 1)), key=lambda at: known[at])
        if best == (y, x):
            break
        y, x = best
    around = [[known.get((v, u), 0.0) for u in (x - 1, x, x + 1)] for v in (y - 1, y, y + 1)]
    return y, x, np.array(around)


def _summit(around: NDArray[np.float64]) -> tuple[float, float]:
    """Return (y, x) of the maximum of the quadratic through 3 x 3 values, from their centre, each -0.75 to 0.75.

    With its mixed term: on oblique lamellae the ridge of the correlation is oblique, too.
    """
    gy, gx = (around[2, 1] - around[0, 1]) / 2, (around[1, 2] - around[1, 0]) / 2
    yy, xx = around[2, 1] + around[0, 1] - 2 * around[1, 1], around[1, 2] + around[1, 0] - 2 * around[1, 1]
    yx = (around[2, 2] - around[2, 0] - around[0, 2] + around[0, 0]) / 4
    determinant = yy * xx - yx * yx
    if yy >= 0 or determinant <= 0:
        return 0.0, 0.0
    y, x = (yx * gx - xx * gy) / determinant, (yx * gy - yy * gx) / determinant
    return float(np.clip(y, -0.75, 0.75)), float(np.clip(x, -0.75, 0.75))


def overlap_share(step_px: tuple[float, float], shape: tuple[int, int]) -> float:
    """Return the share of its area that a frame shares with one that lies ``step_px`` (y, x) away."""
    return max(0.0, 1 - abs(step_px[0]) / shape[0]) * max(0.0, 1 - abs(step_px[1]) / shape[1])
