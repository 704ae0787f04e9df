"""The scan front: the line at which the picture on the screen is being refreshed.

The row-wise median of |frame - previous frame| tells the band of rows that were refreshed in between: a cyclic band,
which may wrap from the bottom to the top, and which starts where the last one ended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from cemi_run.sources.video.screen import absolute_difference, row_threshold


@dataclass(frozen=True, slots=True)
class Band:
    """Cyclic band of rows: ``length`` rows from ``start`` on; ``strength`` is its summed evidence, in rows."""

    start: int
    length: int
    strength: float


def row_changes(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the row-wise median of |second - first|, float32 (h,), grey levels."""
    change = absolute_difference(first, second)
    middle = change.shape[1] // 2
    return np.partition(change, middle, axis=1)[:, middle].astype(np.float32)


def changed_band(changes: NDArray[np.floating], threshold: float, scale: float) -> Band:
    """Return the cyclic band whose rows changed while those outside did not: the one of largest summed evidence.

    Parameters
    ----------
    changes : ndarray, shape (h,)
        Result of `row_changes`.
    threshold : float
        Change at which a row is undecided.
    scale : float
        Distance from the threshold at which a row counts fully for or against, grey levels.
    """
    evidence = np.clip((changes - threshold) / scale, -1.0, 1.0)
    total = np.concatenate([[0.0], np.cumsum(evidence)])
    stop = int(np.argmax(total - np.minimum.accumulate(total)))
    start = int(np.argmin(total[: stop + 1]))
    inside = float(total[stop] - total[start])
    gap_stop = int(np.argmin(total - np.maximum.accumulate(total)))
    gap_start = int(np.argmax(total[: gap_stop + 1]))
    around = float(total[-1] - (total[gap_stop] - total[gap_start]))
    if around > inside:
        return Band(gap_stop % len(changes), len(changes) - (gap_stop - gap_start), around)
    return Band(start, stop - start, inside)


class Motion(Enum):
    """What the front did between two frames."""

    REPEAT = "nothing was refreshed"
    FOUND = "the front is known from now on"
    MOVED = "the front moved on"
    LOST = "everything was refreshed: where the front is cannot be told"


@dataclass(frozen=True, slots=True)
class Advance:
    """Motion of the front from row ``start`` to ``stop``, counted on over scans: ``stop // height`` scans later.

    ``unseen`` rows from ``start`` on showed no change, though the front must have passed over them.
    """

    motion: Motion
    start: int = 0
    stop: int = 0
    unseen: int = 0


class FrontTracker:
    """Follows the front from frame to frame; robust against rows that do not show a change (dark or saturated ones).

    Parameters
    ----------
    height : int
        Rows of the picture.
    fresh, stale : float
        Typical change in refreshed and in other rows (see `Survey`). Followed downwards, to a third, where the picture
        fades; not upwards, where a higher threshold would gain nothing and could lose the front.
    margin : int
        Rows by which the front may be wrong.
    """

    def __init__(self, height: int, fresh: float, stale: float, margin: int) -> None:
        self._height = height
        self._fresh, self._stale = fresh, stale
        self._most_fresh = fresh
        self._margin = margin
        self._moves: deque[tuple[int, float]] = deque(maxlen=60)  # rows and seconds
        self._front: int | None = None
        self._time_s = 0.0

    @property
    def lines_per_s(self) -> float:
        """Speed of the front over the last moves, px/s; 0 before the first."""
        return sum(rows for rows, _ in self._moves) / sum(s for _, s in self._moves) if self._moves else 0.0

    @property
    def fresh(self) -> float:
        """Change that is expected of refreshed rows, grey levels."""
        return self._fresh

    def forget(self) -> None:
        """Start anew: the front must be found again."""
        self._front = None

    def update(self, changes: NDArray[np.floating], time_s: float) -> Advance:
        """Return what the front did before the frame at ``time_s``, from its `row_changes`."""
        threshold = row_threshold(self._fresh, self._stale)
        band = changed_band(changes, threshold, max(threshold - self._stale, 0.5))
        if band.strength < 1.0:
            if self._front is not None and self.overdue(time_s):
                self._fresh = max(0.9 * self._fresh, self._most_fresh / 3)
            return Advance(Motion.REPEAT)
        if band.length > self._height - 2 * self._margin:
            self._front = None
            return Advance(Motion.LOST)
        if self._front is None:
            return self._found(band, changes, time_s)
        move = (band.start + band.length - self._front) % self._height
        if move > self._height - 2 * self._margin:  # a little behind: an error of the front
            return Advance(Motion.REPEAT)
        if not self._fits(band, move, time_s):
            return self._found(band, changes, time_s)
        start = self._front
        self._front = start + move
        # Not those in which the beam flew back, or rested at the end before it did.
        if start % self._height >= self._margin and start % self._height + move <= self._height - self._margin:
            self._moves.append((move, time_s - self._time_s))
        self._learn(band, changes)
        self._time_s = time_s
        return Advance(Motion.MOVED, start, self._front, max(0, move - band.length))

    def overdue(self, time_s: float) -> bool:
        """Return whether the front has not been seen to move while it should have passed a quarter of the picture.

        Two seconds where its speed is not known yet.
        """
        rate = self.lines_per_s or self._height / 8
        return rate * (time_s - self._time_s) > 0.25 * self._height

    def _fits(self, band: Band, move: int, time_s: float) -> bool:
        """Return whether the band starts at the known front, or at least ends where the front must have got to."""
        if abs(move - band.length) <= max(self._margin, 6):
            return True
        expected = self.lines_per_s * (time_s - self._time_s)
        return bool(self._moves) and abs(move - expected) <= self._margin + 0.5 * expected

    def _found(self, band: Band, changes: NDArray[np.floating], time_s: float) -> Advance:
        self._front = band.start + band.length
        self._time_s = time_s
        self._learn(band, changes)
        return Advance(Motion.FOUND, band.start, self._front)

    def _learn(self, band: Band, changes: NDArray[np.floating]) -> None:
        rows = np.arange(band.start, band.start + band.length) % self._height
        others = np.ones(self._height, bool)
        others[rows] = False
        if band.length >= 3:
            seen = min(float(np.median(changes[rows])), self._most_fresh)
            self._fresh = max(self._fresh + 0.05 * (seen - self._fresh), self._most_fresh / 3)
        if np.count_nonzero(others) >= 3:
            self._stale += 0.05 * (min(float(np.median(changes[others])), 0.4 * self._fresh) - self._stale)
