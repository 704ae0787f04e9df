"""Decides which measured shifts are accepted: by a threshold from the data, and by whether loops close."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.layout import PairShift
from cemi_core.numeric.robust import mad

#: Significance that chance reaches among the shifts of a window, whatever the specimen: 2 ln(10^5) standard deviations
#: squared, one independent pixel in 28 (what a Gaussian of 1.5 px leaves) and in 9 (thumbnails, which are not
#: smoothed).
FINE_FLOOR, COARSE_FLOOR = 25.0, 14.0


def permutation_threshold(false_matches: NDArray[np.float64], rate: float, floor: float) -> float:
    """Return the significance that a share ``rate`` of pairs that cannot overlap would exceed.

    The best correlation within a window is a maximum over many shifts; its distribution is taken as Gumbel's, fitted to
    the permuted pairs by their median and median absolute deviation (a few of them may overlap after all: a specimen
    repeats itself). Permutation of pairs as a threshold: Muhlich et al. (ASHLAR), Bioinformatics 38 (2022) 4613.

    Parameters
    ----------
    false_matches : ndarray of float, shape (n,)
        `significance` of the best match of each permuted pair.
    rate : float
        Accepted share of false matches, above 0, below 1.
    floor : float
        Smallest threshold, for few permuted pairs.

    Returns
    -------
    float
        At least ``floor``; that alone if there are fewer than three permuted pairs.
    """
    found = false_matches[np.isfinite(false_matches)]
    if len(found) < 3:
        return floor
    median = float(np.median(found))
    beta = float(mad(found, median)) / 0.767  # median absolute deviation of Gumbel's distribution of scale 1
    mode = median + beta * math.log(math.log(2))
    return max(floor, mode - beta * math.log(-math.log1p(-rate)))


def drop_broken_loops(shifts: Sequence[PairShift], tolerance_px: float) -> list[PairShift]:
    """Return the shifts, those dropped that no loop of three or four frames confirms though loops pass through them.

    The shift whose loops break most often (then the one of lowest quality) goes first; what only shared its loops
    stays.

    Parameters
    ----------
    shifts : sequence of PairShift
        Only those with ``kept`` count.
    tolerance_px : float
        Largest closing error of a loop that counts as closed.
    """
    result = list(shifts)
    edge_of = {(s.first, s.second): n for n, s in enumerate(result) if s.kept}
    loops = _loops(result, edge_of)
    through: dict[int, set[int]] = {}
    for number, (members, _) in enumerate(loops):
        for edge in members:
            through.setdefault(edge, set()).add(number)
    closed = {number for number, (_, error) in enumerate(loops) if error <= tolerance_px}
    suspects = {edge for edge, numbers in through.items() if not numbers & closed}
    while suspects:
        worst = max(suspects, key=lambda edge: (len(through[edge]), -result[edge].quality))
        error = float(np.median([loops[number][1] for number in through[worst]]))
        result[worst] = replace(result[worst], kept=False, reason=f"breaks loops by {error:.0f} px")
        for number in list(through[worst]):
            for edge in loops[number][0]:
                through[edge].discard(number)
        suspects = {edge for edge in suspects if through[edge]}
    return result


def _loops(shifts: Sequence[PairShift], edge_of: dict[tuple[int, int], int]) -> list[tuple[tuple[int, ...], float]]:
    """Return the loops of three frames, and of four without a chord, as (edges, closing error in px)."""
    neighbours: dict[int, set[int]] = {}
    for i, j in edge_of:
        neighbours.setdefault(i, set()).add(j)
        neighbours.setdefault(j, set()).add(i)

    def step(i: int, j: int) -> NDArray[np.float64]:
        forward = i < j
        shift = np.array(shifts[edge_of[(i, j) if forward else (j, i)]].shift_px)
        return shift if forward else -shift

    def loop(*nodes: int) -> tuple[tuple[int, ...], float]:
        sides = list(zip(nodes, (*nodes[1:], nodes[0]), strict=True))
        error = float(np.linalg.norm(sum(step(i, j) for i, j in sides)))
        return tuple(edge_of[(min(side), max(side))] for side in sides), error

    found = []
    for i in sorted(neighbours):
        later = sorted(n for n in neighbours[i] if n > i)
        for place, j in enumerate(later):
            found += [loop(i, j, k) for k in later[place + 1 :] if k in neighbours[j]]
            for k in later[place + 1 :]:
                if k not in neighbours[j]:
                    opposite = neighbours[j] & neighbours[k]
                    found += [loop(i, j, m, k) for m in sorted(opposite) if m > i and m not in neighbours[i]]
    return found
