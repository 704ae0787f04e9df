"""Peaks to a fraction of a step: a parabola through three values, a quadratic surface through nine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def parabola_peak(before: float, middle: float, after: float, step: float = 1.0) -> tuple[float, float] | None:
    """Return where the parabola through three values at equal steps is highest, and how much higher than the middle.

    Parameters
    ----------
    before, middle, after : float
        Values at ``-step``, 0 and ``step``.
    step : float
        Distance between the values, in any unit.

    Returns
    -------
    offset : float
        Place of the maximum, in the unit of ``step``.
    rise : float
        How much higher it is than ``middle``.

    None comes back where the values have no maximum.
    """
    bend = before - 2 * middle + after
    if bend >= 0:
        return None
    offset = 0.5 * step * (before - after) / bend
    return float(offset), float(-bend * (offset / step) ** 2 / 2)


def quadratic_peak(
    neighbourhood: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit a quadratic surface to the 3 x 3 values around each peak by least squares.

    Parameters
    ----------
    neighbourhood : ndarray, shape (n, 3, 3)

    Returns
    -------
    offset : ndarray of float64, shape (n, 2)
        (dy, dx) of the vertex from the centre, each within [-1, 1] px; 0 where the surface has no maximum.
    height : ndarray of float64, shape (n,)
        Value at the vertex.
    curvature : ndarray of float64, shape (n,)
        Smaller of the two principal curvatures, 1 / px^2 (positive at a maximum).
    """
    values = np.asarray(neighbourhood, np.float64)
    mean, gy, gx, hyy, hxx, hxy = (values.reshape(-1, 9) @ _QUADRATIC).T
    determinant = hyy * hxx - hxy**2
    maximum = (determinant > 1e-12) & (hyy + hxx < 0)
    safe = np.where(maximum, determinant, 1.0)
    dy = np.where(maximum, np.clip((hxy * gx - hxx * gy) / safe, -1, 1), 0.0)
    dx = np.where(maximum, np.clip((hxy * gy - hyy * gx) / safe, -1, 1), 0.0)
    height = mean - (hyy + hxx) / 3 + (gy * dy + gx * dx) / 2
    half_trace = (hyy + hxx) / 2
    spread = np.sqrt((hyy - hxx) ** 2 / 4 + hxy**2)
    curvature = np.where(maximum, -(half_trace + spread), 0.0)
    return np.stack([dy, dx], 1), np.maximum(height, values[:, 1, 1]), curvature


def _quadratic() -> NDArray[np.float64]:
    """Return what turns nine values into mean, slopes (y, x) and second derivatives (yy, xx, yx), shape (9, 6)."""
    step, bend, even = np.array([-1.0, 0.0, 1.0]), np.array([1.0, -2.0, 1.0]), np.ones(3)
    parts = [(even, even, 9), (step, even, 6), (even, step, 6), (bend, even, 3), (even, bend, 3), (step, step, 4)]
    return np.stack([np.outer(along_y, along_x).ravel() / count for along_y, along_x, count in parts], 1)


_QUADRATIC = _quadratic()
