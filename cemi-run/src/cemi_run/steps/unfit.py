"""Cells that one analyzer finds unfit, such as out of focus, and that the others leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cemi_core.model.result import GridMap, Result


def unfit_cells(found: Iterable[tuple[Result, Sequence[str]]]) -> dict[tuple[int, int], str]:
    """Return the cells that are left out, each with the reason.

    Parameters
    ----------
    found : iterable of (Result, sequence of str)
        What analyzers found that mask cells, and the names of their classes that are unfit; the first reason counts.
    """
    unfit: dict[tuple[int, int], str] = {}
    for result, names in found:
        for class_map in result.classes[:1]:
            for index, label in enumerate(class_map.classes):
                if label.name not in names:
                    continue
                for row, column in np.argwhere(class_map.value == index).tolist():
                    unfit.setdefault((row, column), label.label or label.name)
    return unfit


def with_reasons(result: Result, unfit: Mapping[tuple[int, int], str]) -> Result:
    """Return a result whose maps say why cells were left out; objects, layers and notes stay as they are."""
    return replace(result, maps=tuple(_with_reasons(grid_map, unfit) for grid_map in result.maps)) if unfit else result


def _with_reasons(grid_map: GridMap, unfit: Mapping[tuple[int, int], str]) -> GridMap:
    reasons = tuple(dict.fromkeys((*grid_map.reasons, *unfit.values())))
    reason_of = np.full(grid_map.value.shape, -1, np.int64) if grid_map.reason_of is None else grid_map.reason_of.copy()
    for place, reason in unfit.items():
        if np.isnan(grid_map.value[place]):
            reason_of[place] = reasons.index(reason)
    return replace(grid_map, reasons=reasons, reason_of=reason_of)
