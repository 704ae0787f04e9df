"""A period of a plane: structures that are solved once as a whole, on a torus, and then repeated without a seam."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from threading import Lock
from typing import Any, TypeVar, TypeVarTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_specimens.object_numbers import object_numbers

_INDEX_BITS = 20
_Args = TypeVarTuple("_Args")
_T = TypeVar("_T")


def solved_once(function: Callable[[*_Args], _T]) -> Callable[[*_Args], _T]:
    """Keep the last few solutions of this process; threads that ask for the same one wait for it."""
    kept, lock = lru_cache(maxsize=3)(function), Lock()

    @wraps(function)
    def solve(*args: *_Args) -> _T:
        with lock:
            return kept(*args)

    return solve


def repeated(cell: NDArray[Any], box: Box) -> NDArray[Any]:
    """Return a box of the plane that one cell fills by repetition."""
    rows = np.arange(box.y, box.y + box.height) % cell.shape[0]
    columns = np.arange(box.x, box.x + box.width) % cell.shape[1]
    return cell[np.ix_(rows, columns)]


def resampled(cell: NDArray[Any], size_px: int) -> NDArray[np.float32]:
    """Return a square periodic field on a grid of another size, by its Fourier series (exact for a smooth field)."""
    spectrum = scipy.fft.rfft2(cell)
    size = cell.shape[0]
    kept = (min(size, size_px) - 1) // 2  # the highest frequency that both grids hold, below either Nyquist
    wide = np.zeros((size_px, size_px // 2 + 1), spectrum.dtype)
    wide[: kept + 1, : kept + 1] = spectrum[: kept + 1, : kept + 1]
    wide[size_px - kept :, : kept + 1] = spectrum[size - kept :, : kept + 1]
    fine = scipy.fft.irfft2(wide, s=(size_px, size_px)) * (size_px / size) ** 2
    return np.asarray(fine, np.float32)


class PeriodicLabels:
    """Labels of a periodic cell with one number for each copy of each object.

    A copy belongs to the period in which the object's anchor (its middle on the torus) lies, and so do those of its
    pixels that reach over the cell's edge.

    Parameters
    ----------
    labels : ndarray of int, shape (h, w)
        Objects 0 to n - 1, each smaller than half the cell; -1 for none.
    """

    def __init__(self, labels: NDArray[Any]) -> None:
        self.labels = labels.astype(np.int32)
        count = int(labels.max()) + 1
        shifts, away = [], []
        for axis, size in enumerate(labels.shape):
            places = np.arange(size, dtype=np.float64)
            turns = np.exp(2j * np.pi * places / size)
            turns = turns[:, None] if axis == 0 else turns[None, :]
            inside = self.labels >= 0
            flat = np.broadcast_to(turns, labels.shape)[inside]
            index = self.labels[inside]
            middle = np.bincount(index, flat.real, count) + 1j * np.bincount(index, flat.imag, count)
            anchor = np.round(np.angle(middle) / (2 * np.pi) * size) % size
            across = places[:, None] if axis == 0 else places[None, :]
            from_anchor = across - anchor[np.maximum(self.labels, 0)]
            shift = np.round(from_anchor / size)
            shifts.append(shift.astype(np.int8))
            away.append(np.abs(from_anchor - shift * size)[inside].max(initial=0.0))
        self._shift_y, self._shift_x = shifts
        #: No pixel of an object is farther from its centroid, px.
        self.reach_px = math.ceil(2 * max(away)) + 2

    def numbers(self, box: Box) -> NDArray[np.int64]:
        """Return the object numbers of a box, 0 for none."""
        height, width = self.labels.shape
        period_y = (np.arange(box.y, box.y + box.height) // height)[:, None] + repeated(self._shift_y, box)
        period_x = (np.arange(box.x, box.x + box.width) // width)[None, :] + repeated(self._shift_x, box)
        index = repeated(self.labels, box)
        numbers = object_numbers(period_y, period_x, np.maximum(index, 0), _INDEX_BITS)
        return np.where(index >= 0, numbers, 0)


def index_in_period(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which object of its cell each number of `PeriodicLabels` stands for."""
    return numbers & ((1 << _INDEX_BITS) - 1)
