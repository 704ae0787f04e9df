"""What one method says of one cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.cell_analyzer import thumbnail
from cemi_analyze.uncertainty.blocks import block_means, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval

MIXTURE, SPOTS, MIDPOINT, OTSU, LEVER = "mixture", "spots", "midpoint", "otsu", "lever"


@dataclass(frozen=True)
class Answer:
    """Shares of all phases by one method.

    Attributes
    ----------
    shares : tuple of Interval
        From dark to bright; 95 % intervals of sampling and method together.
    systematic : tuple of float
        95 % half-width of the method's part, which all cells share.
    thumbnail : ndarray of uint8
        Where the counted phase is.
    """

    shares: tuple[Interval, ...]
    systematic: tuple[float, ...]
    thumbnail: NDArray[np.uint8]


def answer_of(
    coverage: Sequence[NDArray[np.float32]],
    valid: NDArray[np.bool_],
    blocks: tuple[int, int],
    systematic: Sequence[float],
    counted: int,
    shares: Sequence[float] | None = None,
) -> Answer:
    """Return the answer from how much of each pixel is each phase.

    Parameters
    ----------
    coverage : sequence of ndarray of float32, shape (h, w) each
        From dark to bright.
    valid : ndarray of bool, shape (h, w)
        Pixels that count.
    blocks : (int, int)
        From whose scatter the sampling part comes.
    systematic : sequence of float
        95 % half-width of the method's part.
    counted : int
        The phase of the thumbnail.
    shares : sequence of float, optional
        The shares where they are known better than as the mean of ``coverage``.
    """
    intervals: list[Interval] = []
    for index, (part, half_width) in enumerate(zip(coverage, systematic, strict=True)):
        if index == 1 and len(coverage) == 2:
            intervals.append(_rest(intervals[0]))  # of two phases one is what the other is not
            break
        means, counts = block_means(part, valid, blocks)
        found = fraction_interval(means, counts, half_width)
        intervals.append(found if shares is None else _moved(found, float(shares[index]), half_width))
    return Answer(tuple(intervals), tuple(systematic), thumbnail(np.clip(coverage[counted], 0, 1)))


def _rest(share: Interval) -> Interval:
    return Interval(1 - share.value, 1 - share.high, 1 - share.low)


def _moved(found: Interval, share: float, half_width: float) -> Interval:
    """Return an interval about another value; with one block only the method's part is known."""
    if not math.isfinite(found.high - found.low):
        return Interval(share, max(share - half_width, 0.0), min(share + half_width, 1.0)) if half_width else found
    shift = share - found.value
    low, high = max(found.low + shift, 0.0), min(found.high + shift, 1.0)
    return Interval(share, min(low, share), max(high, share))
