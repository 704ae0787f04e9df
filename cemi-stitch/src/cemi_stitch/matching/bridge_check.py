"""Re-checks bridge pairs, the only link between two groups of frames: does the whole overlap support the shift?

A loop confirms the pairs in it. A bridge decides alone where frames lie; and where its overlap shows no more than a
particle that is cut by the edge, that particle may fit as well several pixels away.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_core.numeric.significance import significance
from cemi_stitch.correlation.zncc import overlap_zncc
from cemi_stitch.frames.filters import smoothed
from cemi_stitch.tasks import batches, spread, use_threads

#: Pairs of a stated standard error below this, px, need no re-check.
SURE_PX = 0.12
#: Half the window of the re-check, how far a peak may lie from the shift, and from where on shifts are others, px.
REACH_PX, NEAR_PX, ELSEWHERE_PX = 10, 1.5, 2.5
#: The shift must be more significant than any elsewhere by this: about what chance alone adds (the `significance` of
#: pictures smoothed with 1.5 px has a standard deviation of 5).
CLEARLY = 6.0
#: Pairs that one task re-checks.
PAIRS_PER_TASK = 8


def checked_bridges(
    source: FrameSource,
    pairs: Sequence[PairShift],
    smoothing_px: float,
    threads: int = 1,
    executor: Executor | None = None,
) -> list[PairShift]:
    """Return the pairs; bridges that fit nearly as well at another shift are dropped.

    Parameters
    ----------
    source : FrameSource
    pairs : sequence of PairShift
    smoothing_px : float
        Gaussian before frames are compared, px.
    threads : int
        Threads that one task may use.
    executor : Executor, optional
        Runs the batches; None runs them here.
    """
    result = list(pairs)
    kept = [n for n, pair in enumerate(pairs) if pair.kept]
    alone = bridges([(pairs[n].first, pairs[n].second) for n in kept])
    weak = [n for n, bridge in zip(kept, alone, strict=True) if bridge and _is_weak(pairs[n])]
    parts = batches(weak, PAIRS_PER_TASK)
    calls = [(source, [pairs[n] for n in part], smoothing_px, threads) for part in parts]
    for part, rivals in zip(parts, spread(executor, distances_of_rivals, calls), strict=True):
        for n, away in zip(part, rivals, strict=True):
            if away > 0:
                result[n] = pairs[n].dropped(f"too little to go by: fits about as well {away:.0f} px away")
    return result


def _is_weak(pair: PairShift) -> bool:
    return not pair.sigma_px < SURE_PX and not pair.candidates


def bridges(edges: Sequence[tuple[int, int]]) -> list[bool]:
    """Return which edges of a graph no loop passes through (Tarjan, Inf. Process. Lett. 2 (1974) 160)."""
    near: dict[int, list[tuple[int, int]]] = {}
    for number, (i, j) in enumerate(edges):
        near.setdefault(i, []).append((j, number))
        near.setdefault(j, []).append((i, number))
    found = [False] * len(edges)
    seen: dict[int, int] = {}
    lowest: dict[int, int] = {}
    for root in near:
        if root in seen:
            continue
        seen[root] = lowest[root] = len(seen)
        path = [(root, -1, iter(near[root]))]
        while path:
            node, above, others = path[-1]
            step = next(others, None)
            if step is None:
                path.pop()
                if path:
                    parent = path[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[node])
                    found[above] = lowest[node] > seen[parent]
            elif step[1] != above and step[0] in seen:
                lowest[node] = min(lowest[node], seen[step[0]])
            elif step[1] != above:
                seen[step[0]] = lowest[step[0]] = len(seen)
                path.append((step[0], step[1], iter(near[step[0]])))
    return found


def distances_of_rivals(
    source: FrameSource, pairs: Sequence[PairShift], smoothing_px: float, threads: int
) -> list[float]:
    """Return how far off another shift fits about as well, px, or 0 if none does; module-level, for any executor."""
    use_threads(threads)
    return [_distance_of_rival(source, pair, smoothing_px) for pair in pairs]


def _distance_of_rival(source: FrameSource, pair: PairShift, smoothing_px: float) -> float:
    first, second = (smoothed(source.read(n), smoothing_px, "cpu") for n in (pair.first, pair.second))
    whole = np.rint(pair.shift_px).astype(int)
    parts: list[tuple[slice, slice]] = []
    for axis in (0, 1):
        shift, sizes = int(whole[axis]), (first.shape[axis], second.shape[axis])
        in_first = slice(max(0, shift - REACH_PX), min(sizes[0], shift + sizes[1] + REACH_PX))
        in_second = slice(max(0, -shift - REACH_PX), min(sizes[1], sizes[0] - shift + REACH_PX))
        parts.append((in_first, in_second))
    (rows, rows_second), (columns, columns_second) = parts
    start = [part[0].start - part[1].start for part in parts]
    quality, count = overlap_zncc(
        first[rows, columns][None].contiguous(),
        second[rows_second, columns_second][None].contiguous(),
        torch.tensor([[int(whole[axis]) - start[axis] for axis in (0, 1)]]),
        (REACH_PX, REACH_PX),
        torch.tensor([1]),
    )
    score = significance(quality[0].numpy().astype(np.float64), count[0].numpy().astype(np.float64))
    return _distance_of_highest_elsewhere(score, whole - np.array(pair.shift_px))


def _distance_of_highest_elsewhere(score: NDArray[np.float64], middle_px: NDArray[np.float64]) -> float:
    """Return the distance of the highest score elsewhere, 0 if it is clearly lower; ``middle_px`` is the middle's."""
    y, x = np.mgrid[: score.shape[0], : score.shape[1]] - REACH_PX
    away = np.hypot(y + middle_px[0], x + middle_px[1])
    elsewhere = np.where(away > ELSEWHERE_PX, score, -np.inf)
    highest = int(np.argmax(elsewhere))
    if score[away <= NEAR_PX].max() - elsewhere.ravel()[highest] >= CLEARLY:
        return 0.0
    return float(away.ravel()[highest])
