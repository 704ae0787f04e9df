"""Flat field: shading that all frames share, kept as a coarse picture, and its removal from a frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def flattened(image: NDArray[np.float32], flat_field: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a frame without its shading, float32 of the same shape.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        In [0, 1]; NaN stays NaN.
    flat_field : ndarray of float64, shape (m, n)
        Relative brightness of an evenly lit picture, above 0, at points spread evenly from the first pixel to the last.
    """
    return image * _correction(flat_field.tobytes(), flat_field.shape, image.shape)


def spread_over(flat_field: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the flat field (m, n) at every pixel of a frame of ``shape`` (h, w), by linear interpolation."""
    rows, columns = (_between(size, points) for size, points in zip(shape, flat_field.shape, strict=True))
    full: NDArray[np.float64] = rows @ flat_field @ columns.T
    return full


@lru_cache(maxsize=4)
def _correction(values: bytes, points: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
    correction = (1 / spread_over(np.frombuffer(values).reshape(points), shape)).astype(np.float32)
    correction.flags.writeable = False
    return correction


def _between(size: int, points: int) -> NDArray[np.float64]:
    """Return the weights, shape (size, points), that interpolate ``points`` values to ``size`` places."""
    place = np.linspace(0, points - 1, size)[:, None]
    weights: NDArray[np.float64] = np.clip(1 - np.abs(place - np.arange(points)), 0, 1)
    return weights
