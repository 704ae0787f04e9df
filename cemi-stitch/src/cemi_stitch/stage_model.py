"""The stage model: how far the stage moves from frame to frame and from pass to pass, as a weak prior.

It speaks up only where pixels say nothing: its standard errors are hundreds of times those of measured shifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame

#: Frames of a pass, at most, that tie it to the next pass where no measured shift does.
TIES_BETWEEN_PASSES = 8


@dataclass(frozen=True)
class PriorShifts:
    """Shifts that the stage model expects.

    Attributes
    ----------
    edges : ndarray of int, shape (m, 2)
        Frames i, j.
    shifts_px : ndarray of float, shape (m, 2)
        Expected position of j minus position of i.
    sigma_px : ndarray of float, shape (m,)
        Standard errors.
    """

    edges: NDArray[np.int64]
    shifts_px: NDArray[np.float64]
    sigma_px: NDArray[np.float64]


def stage_prior(
    frames: Sequence[Frame],
    nominal_px: NDArray[np.float64],
    edges: NDArray[np.int64],
    shifts_px: NDArray[np.float64],
    sigma_px: float,
) -> PriorShifts:
    """Return the expected shifts along passes and, where passes are not joined by measured shifts, between them.

    The nominal steps are corrected by what was measured: the median of (measured - nominal) per nominal length, for
    each pass (so that a step over a missing frame is right too), and the median of (measured - nominal) between
    neighbouring passes (y step and backlash). Without nominal positions the median measured step takes their place.

    Parameters
    ----------
    frames : sequence of Frame
    nominal_px : ndarray, shape (n, 2)
        NaN where unknown.
    edges : ndarray of int, shape (m, 2)
        Measured pairs (i < j).
    shifts_px : ndarray, shape (m, 2)
    sigma_px : float
        Standard error of one nominal step.
    """
    rows = np.array([frame.row for frame in frames])
    along = _steps_in_passes(rows, nominal_px, edges, shifts_px)
    between = _steps_between_passes(rows, nominal_px, edges, shifts_px)
    expected = along + between
    sigma = [sigma_px] * len(along) + [2 * sigma_px] * len(between)
    return PriorShifts(
        np.array([pair for pair, _ in expected], np.int64).reshape(-1, 2),
        np.array([shift for _, shift in expected], np.float64).reshape(-1, 2),
        np.array(sigma, np.float64),
    )


Expected = list[tuple[tuple[int, int], NDArray[np.float64]]]


def _steps_in_passes(
    rows: NDArray[np.int64], nominal: NDArray[np.float64], edges: NDArray[np.int64], shifts: NDArray[np.float64]
) -> Expected:
    follows = np.flatnonzero(rows[1:] == rows[:-1])
    step = nominal[1:] - nominal[:-1]
    length = np.linalg.norm(step, axis=1)
    measured = {int(i): shift for (i, j), shift in zip(edges, shifts, strict=True) if j == i + 1}
    per_length: dict[int, list[NDArray[np.float64]]] = {}
    plain: dict[int, list[NDArray[np.float64]]] = {}
    for i in follows.tolist():
        if i in measured and length[i] > 0:
            per_length.setdefault(int(rows[i]), []).append((measured[i] - step[i]) / length[i])
        elif i in measured and np.isnan(length[i]):
            plain.setdefault(int(rows[i]), []).append(measured[i])
    expected: Expected = []
    for i in follows.tolist():
        if np.isfinite(length[i]):
            expected.append(((i, i + 1), step[i] + _median_of(per_length, int(rows[i])) * length[i]))
        elif plain:
            expected.append(((i, i + 1), _median_of(plain, int(rows[i]))))
    return expected


def _median_of(samples: dict[int, list[NDArray[np.float64]]], row: int) -> NDArray[np.float64]:
    """Return the median of a pass, or of all passes where it has no samples; 0 without any."""
    own = samples.get(row) or [sample for several in samples.values() for sample in several]
    return np.median(own, axis=0) if own else np.zeros(2)


def _steps_between_passes(
    rows: NDArray[np.int64], nominal: NDArray[np.float64], edges: NDArray[np.int64], shifts: NDArray[np.float64]
) -> Expected:
    known = np.isfinite(nominal).all(axis=1)
    numbers = np.unique(rows)
    next_number = dict(zip(numbers[:-1].tolist(), numbers[1:].tolist(), strict=True))
    deviations: dict[int, list[NDArray[np.float64]]] = {}
    joined = set()
    for (i, j), shift in zip(edges, shifts, strict=True):
        if next_number.get(int(rows[i])) == rows[j]:
            joined.add(int(rows[i]))
            if known[i] and known[j]:
                deviations.setdefault(0, []).append(shift - (nominal[j] - nominal[i]))
    expected: Expected = []
    for row, following in next_number.items():
        if row in joined:
            continue
        ours, theirs = np.flatnonzero(known & (rows == row)), np.flatnonzero(known & (rows == following))
        if not len(ours) or not len(theirs):
            continue
        picks = np.unique(np.linspace(0, len(ours) - 1, TIES_BETWEEN_PASSES).round().astype(int))
        for i in ours[picks].tolist():
            j = int(theirs[np.argmin(np.linalg.norm(nominal[theirs] - nominal[i], axis=1))])
            expected.append(((i, j), nominal[j] - nominal[i] + _median_of(deviations, 0)))
    return expected
