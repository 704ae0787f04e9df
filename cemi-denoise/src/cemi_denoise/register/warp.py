"""Slowly varying displacements between two pictures of one field, and pictures resampled along them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates


@dataclass(frozen=True)
class Warp:
    """Where each pixel of the first picture lies in the second: its place plus a polynomial of low order.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (2, terms)
        Of y and of x, px; the terms are the products ``v**i * u**j`` with i + j at most ``order``, where v and u run
        from -1 to 1 over the first picture.
    order : int
        0 a shift, 1 also scale, rotation and shear, 2 and 3 slow distortion.
    shape : tuple of int
        (height, width) of the first picture, px.
    """

    coefficients: NDArray[np.float64]
    order: int
    shape: tuple[int, int]

    @classmethod
    def shift(cls, dy: float, dx: float, shape: tuple[int, int]) -> Warp:
        """Return the warp by which pixel (y, x) of the first lies at (y + dy, x + dx) of the second."""
        return cls(np.array([[dy], [dx]], float), 0, shape)

    def raised(self, order: int) -> Warp:
        """Return the same warp with room for higher terms."""
        grown = np.zeros((2, len(powers(order))))
        for term, power in enumerate(powers(self.order)):
            grown[:, powers(order).index(power)] = self.coefficients[:, term]
        return Warp(grown, order, self.shape)

    def displacement(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (dy, dx), shape (2, ...), at pixels (y, x) of the first picture, which broadcast."""
        basis = terms(y, x, self.order, self.shape)
        return np.tensordot(self.coefficients, np.stack(np.broadcast_arrays(*basis)), 1)

    @property
    def magnification(self) -> tuple[float, float]:
        """Length in the second picture over length in the first, along y and x, in the middle."""
        if self.order == 0:
            return 1.0, 1.0
        place = powers(self.order)
        half = [(side - 1) / 2 for side in self.shape]
        along_y, along_x = place.index((1, 0)), place.index((0, 1))
        return 1 + self.coefficients[0, along_y] / half[0], 1 + self.coefficients[1, along_x] / half[1]


def powers(order: int) -> list[tuple[int, int]]:
    """Return the powers of v and u of each term of a polynomial, lowest first."""
    return [(i, total - i) for total in range(order + 1) for i in range(total + 1)]


def terms(
    y: NDArray[np.float64], x: NDArray[np.float64], order: int, shape: tuple[int, int]
) -> list[NDArray[np.float64]]:
    """Return the value of each term of the polynomial at pixels (y, x) of a picture of ``shape``."""
    v, u = (2 * place / max(side - 1, 1) - 1 for place, side in zip((y, x), shape, strict=True))
    return [np.asarray(v**i * u**j) for i, j in powers(order)]


def resampled(
    second: NDArray[np.float32], warp: Warp, top: int, left: int, height: int, width: int
) -> NDArray[np.float32]:
    """Return the second picture on the pixels of a box of the first, by splines of fifth order.

    At a shift of half a pixel their gain is 0.99 at 0.3 and 0.95 at 0.35 cycles per pixel, where cubic convolution has
    0.76 and 0.63: what a beam resolves is not blurred.
    """
    rows = np.arange(top, top + height, dtype=float)[:, None]
    columns = np.arange(left, left + width, dtype=float)[None, :]
    dy, dx = warp.displacement(rows, columns)
    return map_coordinates(second, np.stack([rows + dy, columns + dx]), order=5, mode="mirror").astype(np.float32)


def common_box(warp: Warp, second_shape: tuple[int, int], margin_px: int = 3) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the pixels of the first whose places lie well inside the second."""
    height, width = warp.shape
    edge = np.linspace(0, 1, 33)
    top, left, bottom, right = 0, 0, height, width
    for fraction in edge:
        upper = warp.displacement(np.array(0.0), np.array(fraction * (width - 1)))[0]
        lower = warp.displacement(np.array(height - 1.0), np.array(fraction * (width - 1)))[0]
        first = warp.displacement(np.array(fraction * (height - 1)), np.array(0.0))[1]
        last = warp.displacement(np.array(fraction * (height - 1)), np.array(width - 1.0))[1]
        top, left = max(top, math.ceil(margin_px - upper)), max(left, math.ceil(margin_px - first))
        bottom = min(bottom, math.floor(second_shape[0] - margin_px - lower))
        right = min(right, math.floor(second_shape[1] - margin_px - last))
    return top, left, max(bottom - top, 0), max(right - left, 0)
