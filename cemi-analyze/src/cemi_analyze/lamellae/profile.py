"""The grey-level profile across lamellae, folded at their own local phase, and the dark share that it shows.

A threshold cannot tell how wide thin phases are: blur and noise move it. But the harmonics of the profile can. A wave
of two levels with the dark share ``d`` has harmonics of amplitude ``2 sin(pi k d) / (pi k)``; a beam, and lines that
are followed inexactly, damp the k-th by ``exp(-k^2 q)``. Two ratios of harmonics give ``d`` and ``q``, and noise
averages out over all lines of a cell. Lines are followed by complex demodulation (P. Bloomfield, Fourier Analysis of
Time Series, 2000), so waves and small changes of the period do not smear the profile; and since pixels fall on all
phases, harmonics beyond the pixel grid's own limit are seen too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import t as student_t

from cemi_analyze.uncertainty.intervals import Interval

#: Harmonics that are used.
HARMONICS = 8
#: Deviation of the window in which the phase is followed, periods.
_FOLLOWED = 0.75
#: Damping of the first harmonic, at most: a beam as wide as a third of a period.
_MOST_DAMPED = 2.2
#: Lattice of dark shares and dampings on which the search starts.
_SHARES = np.linspace(0.04, 0.96, 47)
_DAMPINGS = np.concatenate([[0.0], np.geomspace(0.004, _MOST_DAMPED, 23)])
#: What the shape of the profile may differ from two levels by, over its first harmonic.
_UNEVEN = 2e-3
#: Condition of the fit above which share and damping cannot be told apart.
_UNDECIDED = 1e12
#: Groups of tiles from whose differences the interval comes; and what of a width the method itself is off by.
_GROUPS = 8
#: Tiles that are enough, spread over the cell.
_ENOUGH = 48
_FLOOR = 0.01


@dataclass(frozen=True)
class DarkShare:
    """Share of the dark phase across lamellae.

    Attributes
    ----------
    value : float
        0 to 1.
    error : float
        Standard error by the noise of the harmonics.
    damping : float
        ``q``: of the k-th harmonic by ``exp(-k^2 q)``.
    slope : ndarray of float64, shape (HARMONICS,)
        By how much the share changes with each harmonic.
    """

    value: float
    error: float
    damping: float
    slope: NDArray[np.float64]


def harmonics_of(
    tile: NDArray[np.float32], weight: NDArray[np.float32], normal_rad: float, period_px: float
) -> NDArray[np.complex128]:
    """Return the harmonics of the profile across the lamellae of a tile, times the weight of all its pixels.

    Parameters
    ----------
    tile : ndarray of float32, shape (n, n)
        Without shading.
    weight : ndarray of float32, shape (n, n)
        Of each pixel.
    normal_rad : float
        Direction across the lamellae, from x towards y.
    period_px : float

    Returns
    -------
    ndarray of complex128, shape (HARMONICS,)
        The first is real and negative: phase 0 is where the picture is darkest.
    """
    n = tile.shape[0]
    steps = np.arange(n, dtype=np.float32)
    turn_x = np.float32(2 * math.pi * math.cos(normal_rad) / period_px)
    turn_y = np.float32(2 * math.pi * math.sin(normal_rad) / period_px)
    wave = np.exp(-1j * turn_y * steps)[:, None] * np.exp(-1j * turn_x * steps)[None, :]
    level = tile - np.float32((tile * weight).sum() / max(float(weight.sum()), 1e-9))
    turned = (level * wave).astype(np.complex64)
    sigma = _FOLLOWED * period_px
    followed = [cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), sigma) for part in (turned.real, turned.imag)]
    local = followed[0] + 1j * followed[1]
    size = np.maximum(np.abs(local), np.float32(1e-12))
    # The darkest place of the fundamental is where it points to -1.
    step = wave * np.conj(-local / size)
    found = np.empty(HARMONICS, np.complex128)
    power = np.ones_like(step)
    weighted = level * weight
    for k in range(HARMONICS):
        power = power * step
        found[k] = 2 * np.sum(weighted * power, dtype=np.complex128)
    return found


def dark_share(harmonics: NDArray[np.complex128], noise: float) -> DarkShare | None:
    """Return the dark share that harmonics show; None where they show none.

    Parameters
    ----------
    harmonics : ndarray of complex128, shape (HARMONICS,)
        Of the mean profile, from `harmonics_of` over the weight.
    noise : float
        Standard error of each.
    """
    seen = harmonics.real
    if not math.isfinite(noise) or not seen[0] < -4 * noise:
        return None
    scatter = math.hypot(noise, _UNEVEN * abs(float(seen[0])))
    share, damping = np.meshgrid(_SHARES, _DAMPINGS, indexing="ij")
    shape = _shape_of(share.ravel(), damping.ravel())
    contrast = np.maximum((shape @ seen) / np.maximum((shape**2).sum(axis=1), 1e-30), 0.0)
    best = int(((contrast[:, None] * shape - seen) ** 2).sum(axis=1).argmin())

    def residual(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((x[2] * _shape_of(x[:1], x[1:2])[0] - seen) / scatter)

    start = np.array([share.ravel()[best], damping.ravel()[best], max(contrast[best], 1e-9)])
    low, high = np.array([0.02, 0.0, 0.0]), np.array([0.98, _MOST_DAMPED, np.inf])
    start = np.clip(start, low + 1e-9, [0.98 - 1e-9, _MOST_DAMPED - 1e-9, np.inf])
    fit = least_squares(residual, start, bounds=(low, high), x_scale=[0.1, 0.1, start[2]])
    curvature = fit.jac.T @ fit.jac
    size = np.sqrt(np.diag(curvature)) + 1e-30
    if not np.isfinite(curvature).all() or np.linalg.cond(curvature / np.outer(size, size)) > _UNDECIDED:
        return None
    covariance = np.linalg.inv(curvature)
    inflated = max(1.0, 2 * float(fit.cost) / (HARMONICS - 3))
    slope = -(covariance @ fit.jac.T)[0] / scatter
    return DarkShare(float(fit.x[0]), math.sqrt(float(covariance[0, 0]) * inflated), float(fit.x[1]), slope)


def share_of_tiles(
    tiles: NDArray[np.float32],
    colony: NDArray[np.float32],
    normal_rad: NDArray[np.float64],
    period_px: NDArray[np.float64],
    noise: float,
) -> Interval | None:
    """Return the dark share across the lamellae of several tiles, with its 95 % interval; None where none is seen.

    Parameters
    ----------
    tiles, colony : ndarray of float32, shape (n, size, size)
        Without shading; the weight of each pixel.
    normal_rad, period_px : ndarray of float64, shape (n,)
    noise : float
        Deviation of the noise of a pixel.
    """
    if len(tiles) > _ENOUGH:
        some = np.linspace(0, len(tiles) - 1, _ENOUGH).round().astype(int)
        tiles, colony, normal_rad, period_px = tiles[some], colony[some], normal_rad[some], period_px[some]
    found = np.array(
        [harmonics_of(*each) for each in zip(tiles, colony, normal_rad, period_px, strict=True)], np.complex128
    )
    weight = colony.sum(axis=(1, 2), dtype=np.float64)
    squares = float((colony.astype(np.float64) ** 2).sum())
    total = float(weight.sum())
    if total <= 0:
        return None
    mean = found.sum(axis=0) / total
    share = dark_share(mean, noise * math.sqrt(2 * squares) / total)
    if share is None:
        return None
    parts = np.array_split(np.arange(len(found)), min(_GROUPS, len(found)))
    without = [(found.sum(axis=0) - found[part].sum(axis=0)) / max(total - weight[part].sum(), 1e-9) for part in parts]
    scatter = 0.0
    if len(parts) > 1:
        moved = np.array([share.slope @ (each - mean).real for each in without])
        scatter = math.sqrt((len(parts) - 1) / len(parts) * float(((moved - moved.mean()) ** 2).sum()))
    thinner = min(share.value, 1 - share.value)
    half = math.hypot(
        float(student_t.ppf(0.975, max(len(parts) - 1, 3))) * scatter, 1.96 * share.error, _FLOOR * thinner
    )
    return Interval(share.value, share.value - half, share.value + half)


def _shape_of(share: NDArray[np.float64], damping: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the harmonics of waves of contrast 1, shape (n, HARMONICS)."""
    order = np.arange(1, HARMONICS + 1)
    wave = -2 * np.sin(np.pi * order * share[:, None]) / (np.pi * order)
    return np.asarray(wave * np.exp(-(order**2) * damping[:, None]))
