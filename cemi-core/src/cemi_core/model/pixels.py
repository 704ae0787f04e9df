"""Pixels as they come: colour made grey, and which float values are black and white."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def to_grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (h, w) of an image (h, w) or (h, w, channels), same type.

    One or two channels: the first (the second is alpha). Three or four: the first if the first three are equal,
    else their luminance (ITU-R BT.601).
    """
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] < 3 or is_grey(pixels):
        return np.ascontiguousarray(pixels[..., 0])
    luminance = pixels[..., :3].astype(np.float32) @ _LUMINANCE
    return np.rint(luminance).astype(pixels.dtype) if pixels.dtype.kind == "u" else luminance.astype(pixels.dtype)


def luminance(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luminance (h, w) of red, green and blue (3, h, w, or more: the first three count), ITU-R BT.601."""
    return np.tensordot(_LUMINANCE, planes[:3], axes=1).astype(np.float32, copy=False)


def is_grey(pixels: NDArray[Any]) -> bool:
    """Return whether all colour channels of an image (h, w[, channels]) are equal."""
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return True
    first = pixels[..., 0]
    return np.array_equal(first, pixels[..., 1]) and np.array_equal(first, pixels[..., 2])


def finite_range(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and largest finite value; (0, 0) if there is none."""
    low, high = float(np.min(pixels)), float(np.max(pixels))
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    finite = pixels[np.isfinite(pixels)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def common_range(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return (0, 1) if all ranges lie within it, or there are none, else the smallest and the largest value of all."""
    found = list(ranges)
    low, high = min((low for low, _ in found), default=0.0), max((high for _, high in found), default=1.0)
    return (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)
