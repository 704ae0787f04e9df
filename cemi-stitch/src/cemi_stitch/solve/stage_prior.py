"""The stage model: how far the stage moves from frame to frame and from pass to pass, as a weak prior.

It speaks up only where pixels say nothing: its standard errors are hundreds of times those of measured shifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import Frame
from cemi_core.numeric.robust import mad, mad_std

#: Measured shifts between two passes from whose median the next one is expected.
NEAREST = 5
#: Measured shifts from which a spread or a backlash is estimated, at least.
MIN_SAMPLES = 4
#: No stage is known better than this, px.
MIN_SPREAD_PX = 0.5


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
        Standard errors that the solve takes, generous.
    spread_px : ndarray of float, shape (m, 2)
        How far measured shifts of the same kind lie from what the model expects, (y, x): the true standard error.
    """

    edges: NDArray[np.int64]
    shifts_px: NDArray[np.float64]
    sigma_px: NDArray[np.float64]
    spread_px: NDArray[np.float64]


def stage_prior(
    frames: Sequence[Frame],
    nominal_px: NDArray[np.float64],
    edges: NDArray[np.int64],
    shifts_px: NDArray[np.float64],
    sigma_px: float,
) -> PriorShifts:
    """Return the expected shifts along passes and, for frames that no measured shift joins to the next pass, across.

    The nominal steps are corrected by what was measured: along a pass by the median of (measured - nominal) per
    nominal length (so that a step over a missing frame is right too), drawn towards 0 as far as samples are few or
    disagree; the first step of a pass besides by what first steps fall short of the others (backlash). Across, by the
    median of (measured - nominal) of the nearest measured shifts between the same passes, or any passes (y step).
    Without nominal positions the median measured step takes their place.

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
    along = _steps_in_passes(rows, nominal_px, edges, shifts_px, sigma_px)
    between, spread_between = _steps_between_passes(rows, nominal_px, edges, shifts_px, 2 * sigma_px)
    expected = along + between
    sigma = [sigma_px] * len(along) + [2 * sigma_px] * len(between)
    measured = {(int(i), int(j)): shift for (i, j), shift in zip(edges, shifts_px, strict=True)}
    misfits_along = [measured[pair] - shift for pair, shift in along if pair in measured]
    spread = [_spread(misfits_along, sigma_px)] * len(along) + spread_between
    return PriorShifts(
        np.array([pair for pair, _ in expected], np.int64).reshape(-1, 2),
        np.array([shift for _, shift in expected], np.float64).reshape(-1, 2),
        np.array(sigma, np.float64),
        np.array(spread, np.float64).reshape(-1, 2),
    )


Expected = list[tuple[tuple[int, int], NDArray[np.float64]]]
Samples = dict[int, list[NDArray[np.float64]]]


def _spread(misfits: Sequence[NDArray[np.float64]], otherwise_px: float) -> NDArray[np.float64]:
    """Return the robust standard deviation of misfits, (y, x); the tolerance of the stage where they are few."""
    if len(misfits) < MIN_SAMPLES:
        return np.full(2, otherwise_px)
    found: NDArray[np.float64] = np.maximum(mad_std(misfits, axis=0), MIN_SPREAD_PX)
    return found


def _steps_in_passes(
    rows: NDArray[np.int64],
    nominal: NDArray[np.float64],
    edges: NDArray[np.int64],
    shifts: NDArray[np.float64],
    sigma: float,
) -> Expected:
    follows = np.flatnonzero(rows[1:] == rows[:-1])
    step = nominal[1:] - nominal[:-1]
    length = np.linalg.norm(step, axis=1)
    measured = {int(i): shift for (i, j), shift in zip(edges, shifts, strict=True) if j == i + 1}
    per_length: Samples = {}
    plain: Samples = {}
    for i in follows.tolist():
        if i in measured and length[i] > 0:
            per_length.setdefault(int(rows[i]), []).append((measured[i] - step[i]) / length[i])
        elif i in measured and np.isnan(length[i]):
            plain.setdefault(int(rows[i]), []).append(measured[i])
    spread = sigma / float(np.nanmedian(length[length > 0])) if (length > 0).any() else 0.0
    numbers = np.unique(rows).tolist()
    correction = {row: _drawn_to_zero(_samples_of(per_length, row), spread) for row in numbers}
    median = {row: np.median(_samples_of(plain, row), axis=0) for row in numbers if plain}
    expected: Expected = []
    for i in follows.tolist():
        row = int(rows[i])
        if np.isfinite(length[i]):
            expected.append(((i, i + 1), step[i] + correction[row] * length[i]))
        elif plain:
            expected.append(((i, i + 1), median[row]))
    return _with_backlash(rows, expected, measured)


def _with_backlash(rows: NDArray[np.int64], expected: Expected, measured: dict[int, NDArray[np.float64]]) -> Expected:
    """Return the expected steps, the first of each pass corrected by what first steps fall short of the others."""
    first = set((np.flatnonzero(np.diff(rows, prepend=rows[:1] - 1))).tolist())
    short = [measured[i] - shift for (i, _), shift in expected if i in first and i in measured]
    if len(short) < MIN_SAMPLES:
        return expected
    usual = [measured[i] - shift for (i, _), shift in expected if i not in first and i in measured]
    spread = float(mad(usual)) if usual else 0.0
    lost = _drawn_to_zero(short, spread)
    return [(pair, shift + lost if pair[0] in first else shift) for pair, shift in expected]


def _samples_of(samples: Samples, row: int) -> list[NDArray[np.float64]]:
    """Return the samples of a pass, or of all passes where it has none."""
    return samples.get(row) or [sample for several in samples.values() for sample in several]


def _drawn_to_zero(samples: list[NDArray[np.float64]], spread: float) -> NDArray[np.float64]:
    """Return the median of samples (y, x), times the share of it that is not chance (James and Stein's factor)."""
    if not samples:
        return np.zeros(2)
    median = np.median(samples, axis=0)
    variance = (np.sum((np.array(samples) - median) ** 2, axis=0) + spread**2) / len(samples) ** 2
    factor: NDArray[np.float64] = median * median**2 / np.maximum(median**2 + variance, 1e-30)
    return factor


def _steps_between_passes(
    rows: NDArray[np.int64],
    nominal: NDArray[np.float64],
    edges: NDArray[np.int64],
    shifts: NDArray[np.float64],
    sigma: float,
) -> tuple[Expected, list[NDArray[np.float64]]]:
    """Return the shifts expected for frames that nothing joins to the next pass, and the spread of each."""
    known = np.asarray(np.isfinite(nominal).all(axis=1))
    numbers = np.unique(rows)
    next_number = dict(zip(numbers[:-1].tolist(), numbers[1:].tolist(), strict=True))
    measured: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    joined = set()
    for (i, j), shift in zip(edges.tolist(), shifts, strict=True):
        if next_number.get(int(rows[i])) == rows[j] and known[i] and known[j]:
            joined.add(i)
            measured.setdefault(int(rows[i]), []).append((i, shift - (nominal[j] - nominal[i])))
    deviations = {row: np.median([d for _, d in several], axis=0) for row, several in measured.items()}
    overall = np.median(list(deviations.values()), axis=0) if deviations else np.zeros(2)
    within = _spread([d - deviations[row] for row, several in measured.items() for _, d in several], sigma)
    between = _spread([d - overall for d in deviations.values()], sigma)
    expected: Expected = []
    for i in np.flatnonzero(known).tolist():
        if i in joined or int(rows[i]) not in next_number:
            continue
        theirs = np.flatnonzero(known & (rows == next_number[int(rows[i])]))
        if not len(theirs):
            continue
        j = int(theirs[np.argmin(np.linalg.norm(nominal[theirs] - nominal[i], axis=1))])
        near = sorted(measured.get(int(rows[i]), []), key=lambda sample: abs(sample[0] - i))[:NEAREST]
        deviation = np.median([sample for _, sample in near], axis=0) if near else overall
        expected.append(((i, j), nominal[j] - nominal[i] + deviation))
    # Where nothing was measured between two passes, all shifts between them err alike: together they weigh as one.
    free = [int(rows[i]) for (i, _), _ in expected if int(rows[i]) not in measured]
    spread = [
        between * np.sqrt(free.count(int(rows[i]))) if int(rows[i]) not in measured else within
        for (i, _), _ in expected
    ]
    return expected, spread
