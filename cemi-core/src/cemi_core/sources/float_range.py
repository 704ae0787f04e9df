"""Which float values are black and white, when a source gives floats without saying."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
