"""The uncertainty budget of each measured quantity: sampling, method, repeatability and magnification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from uncertainties import std_dev, ufloat

from cemi_core.model.budget import Contribution, UncertaintyBudget
from cemi_core.model.result import GridMap, Result, has_budget
from cemi_core.numeric.fields import e562_interval, strip_mean_interval
from cemi_core.numeric.significance import NORMAL_975
from cemi_run.steps.repeats import Repeatability

#: Which power of the pixel size a quantity goes with, by its unit; all others do not depend on it.
_POWER_OF_LENGTH = {"um": 1, "um2": 2, "um3": 3, "1/um": -1, "1/um2": -2, "1/um3": -3}


def budgets_of(
    results: Sequence[Result],
    pixel_size_share: float | None,
    repeatability: Mapping[str, Repeatability] | None = None,
    independent: bool = False,
) -> list[UncertaintyBudget]:
    """Return the budget of every map that has a value; directions of lines have no mean that says anything.

    Parameters
    ----------
    results : sequence of Result
    pixel_size_share : float, optional
        Standard uncertainty of the pixel size, as a share of it; None where nobody has stated it.
    repeatability : mapping of str to Repeatability, optional
        Of one cell, by the name of the map.
    independent : bool
        Whether the cells are images that stand alone, of which each counts fully.
    """
    maps = [grid_map for result in results for grid_map in result.maps if has_budget(grid_map)]
    known = repeatability or {}
    return [_budget(grid_map, pixel_size_share, known.get(grid_map.name), independent) for grid_map in maps]


def _budget(
    grid_map: GridMap, pixel_size_share: float | None, repeatability: Repeatability | None, independent: bool
) -> UncertaintyBudget:
    value = grid_map.value
    used = np.isfinite(value)
    measured, mean = int(used.sum()), float(value[used].mean())
    power = _POWER_OF_LENGTH.get(grid_map.unit, 0)
    parts = [_sampling(grid_map, value, independent), _method(grid_map)]
    if repeatability is not None:
        seen = f"differences of {repeatability.pairs} places that two frames show, each measured alone"
        remark = f"{seen}, for the area of a cell"
        parts.append(Contribution("repeatability", "A", repeatability.standard / math.sqrt(measured), remark))
    if power:
        parts.append(_magnification(mean, power, pixel_size_share))
    return UncertaintyBudget(
        name=grid_map.name,
        label=grid_map.label,
        unit=grid_map.unit,
        value=mean,
        contributions=tuple(parts),
        combined=_combined(mean, parts, power),
        cells=int(value.size),
        measured=measured,
    )


def _sampling(grid_map: GridMap, value: NDArray[np.float64], independent: bool) -> Contribution:
    """Return the standard uncertainty of the mean from the scatter of cells; neighbours may be alike."""
    used = np.isfinite(value)
    if used.sum() == 1:
        half = float((grid_map.high - grid_map.low)[used][0]) / 2
        systematic = 0.0 if grid_map.systematic is None else float(np.nan_to_num(grid_map.systematic[used][0]))
        own = math.sqrt(max(half**2 - systematic**2, 0.0)) / NORMAL_975
        return Contribution("sampling", "A", own, "scatter within the only cell")
    n, what = int(used.sum()), "images" if independent else "cells"
    if independent or n < 4:
        found, how = e562_interval(value), f"scatter of {n} {what}"
    else:
        found, how = strip_mean_interval(value), f"scatter of strips of {n} {what}, since neighbours are alike"
    return Contribution("sampling", "A", (found.high - found.value) / NORMAL_975, how)


def _method(grid_map: GridMap) -> Contribution:
    if grid_map.systematic is None:
        return Contribution("method", "B", math.nan, "the analyzer does not say how far its method may be off")
    half = float(np.nanmean(np.where(np.isfinite(grid_map.value), grid_map.systematic, np.nan)))
    return Contribution("method", "B", half / NORMAL_975, "what the analyzer says is off in all cells alike")


def _magnification(mean: float, power: int, pixel_size_share: float | None) -> Contribution:
    if pixel_size_share is None:
        return Contribution("magnification", "B", math.nan, "not stated; 'uncertainty: {pixel_size: 0.01}' states it")
    return Contribution(
        "magnification", "B", abs(power * mean) * pixel_size_share, f"pixel size known to {pixel_size_share:.2%}"
    )


def _combined(mean: float, parts: Sequence[Contribution], power: int) -> float:
    """Return u_c of (mean + what adds to it) x (scale, 1 on average)^power, by linear propagation (GUM 5.1)."""
    standard = {part.source: part.standard for part in parts if part.standard > 0}
    scale = standard.pop("magnification", 0.0)
    found = mean + sum(ufloat(0.0, size) for size in standard.values())
    if scale > 0:
        found = found * ufloat(1.0, scale / abs(power * mean)) ** power
    return float(std_dev(found))
