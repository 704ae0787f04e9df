"""Why frames were dropped and pairs were rejected, grouped so that thousands of them can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.layout import Layout

Item = TypeVar("Item")
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class ReasonGroup(Generic[Item]):
    """Items that share a reason; numbers in it that differ between them are shown as ``…``."""

    reason: str
    items: tuple[Item, ...]


def group_by_reason(items: Iterable[tuple[str, Item]]) -> list[ReasonGroup[Item]]:
    """Group ``(reason, item)`` by reason, the largest group first.

    Reasons that differ only in their numbers ("quality 0.12 below 0.30") count as one.
    """
    patterns: dict[str, tuple[set[str], list[Item]]] = {}
    for reason, item in items:
        texts, members = patterns.setdefault(_NUMBER.sub("…", reason), (set(), []))
        texts.add(reason)
        members.append(item)
    groups = [
        ReasonGroup((next(iter(texts)) if len(texts) == 1 else pattern) or "no reason given", tuple(members))
        for pattern, (texts, members) in patterns.items()
    ]
    return sorted(groups, key=lambda group: -len(group.items))


def pair_residuals_px(layout: Layout) -> NDArray[np.float64]:
    """Return the distance between the measured and the solved shift of every pair, px, kept or not, shape (pairs,)."""
    if not layout.pairs:
        return np.empty(0)
    first = np.array([pair.first for pair in layout.pairs])
    second = np.array([pair.second for pair in layout.pairs])
    shift = np.array([pair.shift_px for pair in layout.pairs], dtype=np.float64)
    error = layout.positions_px[second] - layout.positions_px[first] - shift
    return np.asarray(np.hypot(error[:, 0], error[:, 1]), dtype=np.float64)


def kept_mask(layout: Layout) -> NDArray[np.bool_]:
    """Return which pairs the solve used, shape (pairs,)."""
    return np.array([pair.kept for pair in layout.pairs], dtype=bool)
