"""Measures how far loops of shifts are from closing, which gives their error without any ground truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.layout import PairShift

#: Loops of one kind that are looked at, at most, spread evenly over the frames.
MAX_LOOPS = 20_000


def loop_closures(pairs: Sequence[PairShift]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far loops of three and of four kept pairs are from closing, px, shapes (n,) and (m,).

    A loop of four counts only where no kept pair joins its opposite frames, so that it holds no loop of three.
    """
    kept = [pair for pair in pairs if pair.kept]
    step = {}
    neighbours: dict[int, set[int]] = defaultdict(set)
    for pair in kept:
        step[pair.first, pair.second] = np.array(pair.shift_px)
        step[pair.second, pair.first] = -np.array(pair.shift_px)
        neighbours[pair.first].add(pair.second)
        neighbours[pair.second].add(pair.first)
    three = [
        (pair.first, pair.second, other)
        for pair in kept
        for other in sorted(neighbours[pair.first] & neighbours[pair.second])
        if other > pair.second
    ]
    between: dict[tuple[int, int], list[int]] = defaultdict(list)
    for middle in sorted(neighbours):
        for ends in combinations(sorted(neighbours[middle]), 2):
            if ends not in step:
                between[ends].append(middle)
    four = [
        (ends[0], one, ends[1], other)
        for ends, middles in between.items()
        for one, other in pairwise(middles)
        if other not in neighbours[one] and ends[0] < one
    ]
    return _closures(_sample(three), step), _closures(_sample(four), step)


def _sample(loops: Sequence[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
    return loops[:: -(-len(loops) // MAX_LOOPS)] if loops else loops


def _closures(
    loops: Sequence[tuple[int, ...]], step: dict[tuple[int, int], NDArray[np.float64]]
) -> NDArray[np.float64]:
    none = np.zeros(2)
    gaps = [sum((step[pair] for pair in zip(loop, loop[1:] + loop[:1], strict=True)), none) for loop in loops]
    return np.asarray(np.linalg.norm(np.reshape(gaps, (-1, 2)), axis=1))
