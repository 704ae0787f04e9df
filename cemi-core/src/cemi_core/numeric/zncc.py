"""Zero-mean normalised cross-correlation (ZNCC): of two equal pictures, and over all shifts with missing pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

#: Variance per pixel below which a picture holds nothing to compare.
MIN_VARIANCE = 1e-8


def zncc(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the ZNCC of two arrays of one shape (Pearson's r of their pixels), -1 to 1; 0 where one is constant.

    Parameters
    ----------
    first, second : ndarray of float
        Finite.
    """
    a, b = (part - part.mean() for part in (first, second))
    norm = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / math.sqrt(norm) if norm > 0 else 0.0


def overlap_zncc(
    first: NDArray[np.floating], second: NDArray[np.floating], min_pixels: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ZNCC of two pictures at every whole shift, normalised over the true overlap at each.

    Masked normalised cross-correlation: D. Padfield, IEEE Trans. Image Process. 21 (2012) 2706, equations 9 to 12.

    Parameters
    ----------
    first, second : ndarray of float, shapes (h, w) and (h', w')
        NaN pixels do not count. Means near 0 keep float32 transforms exact enough; float64 is transformed as float64.
    min_pixels : float
        Smallest overlap that counts, px.

    Returns
    -------
    quality : ndarray of float64, shape (H, W)
        At ``[dy, dx]``, both modulo (H, W), the ZNCC if pixel ``y`` of the second lies on pixel ``y + dy`` of the
        first; 0 where the overlap is too small or has no contrast. `shift_at` turns an index into a shift.
    count : ndarray of float64, shape (H, W)
        Pixels in the overlap.
    """
    size = tuple(next_fast_len(a + b - 1, True) for a, b in zip(first.shape, second.shape, strict=True))
    spectra = []
    for picture in (first, second):
        valid = np.isfinite(picture)
        filled = picture if valid.all() else np.where(valid, picture, np.zeros((), picture.dtype))
        spectra.append([rfft2(part, size) for part in (valid.astype(picture.dtype), filled, filled * filled)])

    def over_shifts(power_first: int, power_second: int) -> NDArray[np.float64]:
        product = irfft2(spectra[0][power_first] * spectra[1][power_second].conj(), size)
        return np.asarray(product, np.float64)

    count = np.rint(over_shifts(0, 0))
    pixels = np.maximum(count, 1)
    sums, squares = (over_shifts(0, 1), over_shifts(1, 0)), (over_shifts(0, 2), over_shifts(2, 0))
    spread = [np.maximum(q - s * s / pixels, 0) for s, q in zip(sums, squares, strict=True)]
    covariance = over_shifts(1, 1) - sums[0] * sums[1] / pixels
    scale = np.sqrt(spread[0] * spread[1])
    good = (count >= min_pixels) & (scale > MIN_VARIANCE * pixels)
    return np.divide(covariance, scale, out=np.zeros_like(scale), where=good), count


def shift_at(index: int, first: tuple[int, ...], surface: tuple[int, ...]) -> tuple[int, int]:
    """Return the shift (dy, dx) at a flat index into what `overlap_zncc` returns.

    Parameters
    ----------
    index : int
    first, surface : tuple of int
        Shapes of the first picture and of the surface.
    """
    place = np.unravel_index(index, surface)
    # Shifts beyond the first picture are negative ones, wrapped around.
    dy, dx = (int(p) if p < side else int(p) - n for p, side, n in zip(place, first, surface, strict=True))
    return dy, dx
