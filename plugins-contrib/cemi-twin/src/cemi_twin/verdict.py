"""What the repeats say: bias, scatter, and how often the interval held the truth, each with an interval of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from cemi_core.model.result import GridMap, profile_along_x
from cemi_core.numeric.fields import Interval
from cemi_core.numeric.significance import NORMAL_975
from cemi_twin.repeat import Told

#: Stretches of a repeat whose means count as independent.
_STRETCHES = 4


@dataclass(frozen=True)
class Trust:
    """How far off a recipe is in one quantity, on specimens like the run's.

    Attributes
    ----------
    name, label, unit : str
    cells : int
        Cells of all repeats that have a value and a truth.
    measured : float
        Share of the cells with a truth that have a value.
    true_mean, found_mean : float
        Over these cells.
    bias : Interval
        Mean of found minus true.
    scatter : float
        Standard deviation of found minus true over the cells, the bias taken off.
    held : Interval
        Share of the cells whose 95 % interval holds the truth.
    column_scatter : float
        Standard deviation of found minus true over the columns of a profile, the bias taken off.
    columns_held : Interval
        Share of the columns of a profile whose 95 % interval holds the truth of the column.
    columns : int
    rows_of_a_column : int
        Cells of which these columns were made: as many as in the run, put together from neighbouring columns.
    r : float
        Pearson's correlation of found and true over the cells.
    """

    name: str
    label: str
    unit: str
    cells: int
    measured: float
    true_mean: float
    found_mean: float
    bias: Interval
    scatter: float
    held: Interval
    column_scatter: float
    columns_held: Interval
    columns: int
    rows_of_a_column: int
    r: float


def trust_of(repeats: Sequence[Told], rows: int) -> Trust:
    """Return how far one quantity can be trusted, from what the recipe said in each repeat.

    The interval of the bias is Student's over stretches of about a quarter of each repeat: neighbouring cells share
    colonies, stretches hardly do. That of a share is Wilson's with as many independent places as the scatter of the
    stretches shows.

    Parameters
    ----------
    repeats : sequence of Told
        The same quantity in each repeat.
    rows : int
        Rows of cells of the user's run, of which its profiles are means.
    """
    first = repeats[0]
    known = [np.isfinite(told.value) & np.isfinite(told.truth) for told in repeats]
    error = [np.where(ok, told.value - told.truth, np.nan) for told, ok in zip(repeats, known, strict=True)]
    held = [_held(told.low, told.high, told.truth, ok) for told, ok in zip(repeats, known, strict=True)]
    value = np.concatenate([told.value[ok] for told, ok in zip(repeats, known, strict=True)])
    truth = np.concatenate([told.truth[ok] for told, ok in zip(repeats, known, strict=True)])
    with_truth = sum(int(np.isfinite(told.truth).sum()) for told in repeats)
    stacks = [_columns_of(told, rows) for told in repeats]
    column_error = np.concatenate([stack[0] for stack in stacks])
    column_held = [stack[1][None] for stack in stacks]
    bias = _mean_interval(error)
    return Trust(
        name=first.name,
        label=first.label,
        unit=first.unit,
        cells=len(value),
        measured=len(value) / with_truth if with_truth else math.nan,
        true_mean=_mean(truth),
        found_mean=_mean(value),
        bias=bias,
        scatter=float(np.std(value - truth, ddof=1)) if len(value) > 1 else math.nan,
        held=_share_interval(held),
        column_scatter=float(np.nanstd(column_error, ddof=1)) if np.isfinite(column_error).sum() > 1 else math.nan,
        columns_held=_share_interval(column_held),
        columns=int(sum(np.isfinite(share).sum() for share in column_held)),
        rows_of_a_column=first.value.shape[0] * _stacked(first.value.shape, rows),
        r=float(np.corrcoef(value, truth)[0, 1])
        if len(value) > 2 and np.ptp(truth) > 0 and np.ptp(value) > 0
        else math.nan,
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else math.nan


def _held(low: NDArray, high: NDArray, truth: NDArray, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return 1 where an interval holds the truth, 0 where not (or where there is none), NaN where nothing is known."""
    return np.where(known, (low <= truth) & (truth <= high), np.nan)


def _stacked(shape: tuple[int, int], rows: int) -> int:
    """Return how many neighbouring columns are put on top of each other to make one of about ``rows`` cells."""
    return max(1, min(round(rows / shape[0]), shape[1]))


def _columns_of(told: Told, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return found minus true, and whether the interval held the truth, for columns of about ``rows`` cells."""
    height, width = told.value.shape
    times = _stacked((height, width), rows)
    columns = width // times

    def put(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[:, : columns * times].reshape(height, columns, times).transpose(2, 0, 1).reshape(-1, columns)

    value, low, high, systematic = (put(s) for s in (told.value, told.low, told.high, told.systematic))
    shared = None if np.isnan(systematic).all() else np.nan_to_num(systematic)
    stacked = GridMap(told.name, told.label, told.unit, value, low, high, systematic=shared)
    profile = profile_along_x(stacked, np.arange(columns, dtype=np.float64).tolist())
    truth = _mean_of_columns(told.column_truth[: columns * times].reshape(columns, times))
    known = np.isfinite(profile.value) & np.isfinite(truth)
    return np.where(known, profile.value - truth, np.nan), _held(profile.low, profile.high, truth, known)


def _mean_of_columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def _stretches(repeats: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and number of what is known in each stretch of each repeat."""
    means, counts = [], []
    for values in repeats:
        for part in np.array_split(values, min(_STRETCHES, max(values.shape[1] // 2, 1)), axis=1):
            known = part[np.isfinite(part)]
            if known.size:
                means.append(float(known.mean()))
                counts.append(float(known.size))
    return np.array(means), np.array(counts)


def _mean_interval(repeats: Sequence[NDArray[np.float64]]) -> Interval:
    means, counts = _stretches(repeats)
    if not len(means):
        return Interval(math.nan, math.nan, math.nan)
    weight = counts / counts.sum()
    mean = float(weight @ means)
    n = float(1 / (weight @ weight))
    if n < 1.5:
        return Interval(mean, math.nan, math.nan)
    deviation = math.sqrt(float(weight @ (means - mean) ** 2) * n / (n - 1))
    half = float(student_t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def _share_interval(repeats: Sequence[NDArray[np.float64]]) -> Interval:
    means, counts = _stretches(repeats)
    if not len(means):
        return Interval(math.nan, math.nan, math.nan)
    weight = counts / counts.sum()
    share = float(weight @ means)
    n = float(1 / (weight @ weight))
    variance = float(weight @ (means - share) ** 2) / max(n - 1, 1)
    # between one place for each stretch and one for each cell
    places = float(np.clip(share * (1 - share) / variance if variance > 0 else n, n, counts.sum()))
    z2 = NORMAL_975**2
    centre = (share + z2 / (2 * places)) / (1 + z2 / places)
    half = math.sqrt(z2 * (share * (1 - share) / places + z2 / (4 * places**2))) / (1 + z2 / places)
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))
