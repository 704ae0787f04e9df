"""Random numbers that belong to a place: the same pixel gets the same number, whatever region is asked for."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cemi_core.model.mosaic import Box

_MEAN_OF_FOUR_BYTES = 510.0
_DEVIATION_OF_FOUR_BYTES = math.sqrt(4 * (256**2 - 1) / 12)
_LARGEST_STEP = 64


def _mix(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble 32-bit integers in place (the "lowbias32" finaliser: two rounds of multiply and xor-shift)."""
    shifted = values >> np.uint32(16)
    values ^= shifted
    values *= np.uint32(0x7FEB352D)
    np.right_shift(values, np.uint32(15), out=shifted)
    values ^= shifted
    values *= np.uint32(0x846CA68B)
    np.right_shift(values, np.uint32(16), out=shifted)
    values ^= shifted
    return values


def number_hash(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return one random 32-bit integer for each whole number, the same wherever that number is met."""
    low, high = (numbers & 0xFFFFFFFF).astype(np.uint32), (numbers >> 32).astype(np.uint32)
    return _mix(_mix(high * np.uint32(0x9E3779B1) + np.uint32(seed & 0xFFFFFFFF)) + low * np.uint32(0x85EBCA77))


def number_uniform(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return one uniform number in [0, 1) for each whole number; see `number_hash`."""
    return (number_hash(seed, numbers) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def lattice_hash(seed: int, y: ArrayLike, x: ArrayLike) -> NDArray[np.uint32]:
    """Return one random 32-bit integer for each node (y[i], x[j]) of a lattice.

    Parameters
    ----------
    seed : int
        Another seed gives an unrelated lattice.
    y, x : array_like of int, shapes (h,) and (w,)
        Coordinates of the nodes; they may be negative.

    Returns
    -------
    ndarray of uint32, shape (h, w)
    """
    rows = np.asarray(y, np.int64).astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed & 0xFFFFFFFF)
    columns = np.asarray(x, np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    return _mix(_mix(rows)[:, None] + columns[None, :])


def lattice_uniform(seed: int, y: ArrayLike, x: ArrayLike) -> NDArray[np.float32]:
    """Return one uniform number in [0, 1) for each node of a lattice; see `lattice_hash`."""
    return (lattice_hash(seed, y, x) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def lattice_normal(seed: int, y: ArrayLike, x: ArrayLike) -> NDArray[np.float32]:
    """Return one number of mean 0 and variance 1 for each node: a sum of four bytes, so within +-3.5."""
    bits = lattice_hash(seed, y, x)
    pairs = (bits & np.uint32(0x00FF00FF)) + ((bits >> np.uint32(8)) & np.uint32(0x00FF00FF))
    total = (pairs + (pairs >> np.uint32(16))) & np.uint32(0xFFFF)
    return np.asarray(
        (total.astype(np.float32) - np.float32(_MEAN_OF_FOUR_BYTES)) * np.float32(1 / _DEVIATION_OF_FOUR_BYTES),
        np.float32,
    )


def smooth_noise(seed: int, box: Box, sigma_px: float) -> NDArray[np.float32]:
    """Return a Gaussian random field of mean 0 and variance 1.

    White noise on a lattice, blurred by a Gaussian of ``sigma_px`` and interpolated; its autocorrelation is
    ``exp(-r**2 / (4 sigma_px**2))``. The lattice is as coarse as the blur allows, so wide fields cost little.

    Parameters
    ----------
    seed : int
        Another seed gives an independent field.
    box : Box
        The pixels wanted, anywhere in the plane.
    sigma_px : float
        Width of the blur, at least 0.5 px.

    Returns
    -------
    ndarray of float32, shape (box.height, box.width)
    """
    step = min(_LARGEST_STEP, 2 ** max(0, math.floor(math.log2(sigma_px / 1.5))))
    sigma = sigma_px / step
    reach = math.ceil(3.5 * sigma)
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F)
    kernel = kernel / np.float32(np.linalg.norm(kernel))
    margin = 2 if step > 1 else 0
    y0, x0 = box.y // step - margin, box.x // step - margin
    y1, x1 = -(-(box.y + box.height) // step) + margin, -(-(box.x + box.width) // step) + margin
    white = lattice_normal(seed, np.arange(y0 - reach, y1 + reach), np.arange(x0 - reach, x1 + reach))
    field = cv2.sepFilter2D(white, cv2.CV_32F, kernel, kernel)[reach : reach + y1 - y0, reach : reach + x1 - x0]
    if step == 1:
        return np.ascontiguousarray(field)
    field = cv2.resize(field, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    top, left = box.y - y0 * step, box.x - x0 * step
    return np.ascontiguousarray(field[top : top + box.height, left : left + box.width])
