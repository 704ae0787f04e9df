"""Where on the recorded screen the living picture is, and which of its rows carry coloured graphics.

Data bars, tool bars and frozen graphics are pixels that never change while the stage moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cemi_run.sources.video.decode import ScreenFrame

#: Edge of the blocks in which life is judged before the rectangle is refined to pixels, px.
_BLOCK = 4
#: Changes below this are taken for those of the codec, grey levels.
_CODEC_NOISE = 3
#: Larger changes count as this much: the first scan over a dark screen must not outweigh the others, grey levels.
_ENOUGH = 32
#: A pixel lives if it changes this much relative to the typical pixel of the picture.
_LIFE = 0.2
_SAMPLED_COLUMNS = 32
_LEAST_FRAMES, _MOST_FRAMES = 60, 2400


@dataclass(frozen=True, slots=True)
class PictureArea:
    """The part of the screen that shows the specimen: rows y0 to y1, columns x0 to x1, px."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.y1 - self.y0, self.x1 - self.x0

    def cut(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture (h, w) out of a screen."""
        return plane[self.y0 : self.y1, self.x0 : self.x1]

    def cut_chroma(self, chroma: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of the colour planes (2, h/2, w/2) that covers the picture."""
        return chroma[:, self.y0 // 2 : (self.y1 + 1) // 2, self.x0 // 2 : (self.x1 + 1) // 2]


@dataclass(frozen=True)
class Survey:
    """What the first part of a recording tells.

    Attributes
    ----------
    area : PictureArea or None
        The living picture; None if nothing changes.
    fresh, stale : float
        Typical row-wise median of the change between frames, in rows that were refreshed and in those that were not,
        grey levels.
    rolling : bool
        The picture is refreshed line by line; False if it changes all at once.
    neutral : tuple of float
        The colour planes' values for grey.
    """

    area: PictureArea | None
    fresh: float = 0.0
    stale: float = 0.0
    rolling: bool = False
    neutral: tuple[float, float] = (128.0, 128.0)

    @property
    def threshold(self) -> float:
        """Change above which a row counts as refreshed, grey levels."""
        return row_threshold(self.fresh, self.stale)


def row_threshold(fresh: float, stale: float) -> float:
    """Return the change that separates refreshed rows from the codec's residual in the others."""
    return stale + 0.4 * (fresh - stale)


def survey(frames: Iterable[ScreenFrame], area: PictureArea | None = None) -> Survey:
    """Look at a recording until every living row has been refreshed three times on average.

    Parameters
    ----------
    frames : iterable of ScreenFrame
        Frames in order; damaged ones are passed over, at most 2400 are used.
    area : PictureArea, optional
        The picture, if it is known; else it is found.
    """
    activity: NDArray[np.uint32] | None = None
    samples: list[NDArray[np.uint8]] = []
    neutral = (128.0, 128.0)
    refreshed = _Refreshes()
    for before, frame in pairwise(frame for frame in frames if frame.intact):
        change = absolute_difference(frame.luma, before.luma)
        sample = np.ascontiguousarray(change[:, :: max(1, change.shape[1] // _SAMPLED_COLUMNS)])
        if activity is None:
            activity = np.zeros(change.shape, np.uint32)
            neutral = _neutral(frame.chroma)
        change[change < _CODEC_NOISE] = 0
        activity += np.minimum(change, _ENOUGH)
        samples.append(sample)
        times_refreshed = refreshed.count(sample)
        if len(samples) >= _MOST_FRAMES or (len(samples) >= _LEAST_FRAMES and times_refreshed >= 3):
            break
    if activity is None:
        return Survey(area)
    found = area or find_picture(activity / len(samples))
    if found is None:
        return Survey(None, neutral=neutral)
    return _levels(samples, activity.shape[1], found, neutral)


class _Refreshes:
    """Counts how often each row was refreshed: not the codec's later refinements, nor the pulse of a key frame."""

    def __init__(self) -> None:
        self._peaks: list[float] = []
        self._last: NDArray[np.int64] | None = None
        self._events: NDArray[np.int64] | None = None
        self._number = 0

    def count(self, change: NDArray[np.uint8]) -> float:
        """Take the change (h, n) of some columns since the frame before; return the mean count of living rows."""
        rows = np.percentile(change, 75, axis=1)
        if self._last is None or self._events is None:
            self._last, self._events = np.full(len(rows), -100), np.zeros(len(rows), np.int64)
        self._number += 1
        if rows.max() >= _CODEC_NOISE:
            self._peaks.append(float(rows.max()))
        strong = rows >= 0.4 * float(np.median(self._peaks or [np.inf]))
        self._events += strong & (self._number - self._last > 5)
        self._last[strong] = self._number
        living = self._events > 0
        return float(self._events[living].mean()) if living.any() else 0.0


def _levels(samples: list[NDArray[np.uint8]], width: int, area: PictureArea, neutral: tuple[float, float]) -> Survey:
    step = max(1, width // _SAMPLED_COLUMNS)
    columns = slice(-(-area.x0 // step), max(-(-area.x1 // step), -(-area.x0 // step) + 1))
    rows = np.stack([np.median(sample[area.y0 : area.y1, columns], axis=1) for sample in samples])
    smooth = np.apply_along_axis(np.convolve, 1, rows, np.full(5, 0.2), mode="same")
    peaks = smooth.max(axis=1)
    if peaks.max() < 0.5:
        return Survey(area, neutral=neutral)
    changing = peaks > 0.3 * np.median(peaks[peaks >= min(1.0, peaks.max())])  # the others are repeats
    # A low percentile: in the first scan over a dark screen everything changes by much more than by noise.
    fresh = float(np.percentile(peaks[changing], 20))
    stale = float(np.median(np.percentile(rows[changing], 15, axis=1)))
    share = (rows[changing] > 0.4 * fresh).mean(axis=1)
    rolling = bool(np.median(share) < 0.9)
    return Survey(area, fresh, min(stale, 0.3 * fresh) if rolling else 0.0, rolling, neutral)


def _neutral(chroma: NDArray[np.uint8] | None) -> tuple[float, float]:
    return (128.0, 128.0) if chroma is None else (float(np.median(chroma[0])), float(np.median(chroma[1])))


def absolute_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return |first - second| without overflow, uint8."""
    return np.maximum(first, second) - np.minimum(first, second)


def find_picture(activity: NDArray[np.floating]) -> PictureArea | None:
    """Return the largest rectangle of pixels that change, or None if nothing does.

    Parameters
    ----------
    activity : ndarray, shape (h, w)
        Mean change of each pixel between frames, grey levels, the codec's noise left out.
    """
    height, width = activity.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    blocks = activity[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    life = np.median(blocks.transpose(0, 2, 1, 3).reshape(rows, columns, -1), axis=2)
    typical = np.percentile(life[life > 0], 70) if (life > 0).any() else 0.0
    if typical <= 0:
        return None
    alive = _fill_gaps(life > _LIFE * typical)
    y0, y1, x0, x1 = _largest_rectangle(alive)
    if y1 - y0 < 4 or x1 - x0 < 4:
        return None
    area = PictureArea(y0 * _BLOCK, y1 * _BLOCK, x0 * _BLOCK, x1 * _BLOCK)
    return _refine(activity > _LIFE * typical, area)


def _fill_gaps(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close holes of a few blocks: dark or saturated places of the specimen, which do not flicker."""
    from scipy import ndimage

    padded = np.pad(alive, 3, mode="edge")
    closed = ndimage.binary_closing(padded, np.ones((5, 5), bool))[3:-3, 3:-3]
    filled: NDArray[np.bool_] = ndimage.binary_opening(closed, np.ones((3, 3), bool))
    return filled


def _largest_rectangle(alive: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return y0, y1, x0, x1 of the largest rectangle of true cells (largest rectangle in a histogram, row by row)."""
    best, found = 0, (0, 0, 0, 0)
    heights = np.zeros(alive.shape[1], np.int64)
    for y, line in enumerate(alive):
        heights = (heights + 1) * line
        stack: list[tuple[int, int]] = []  # (start column, height), heights rising
        for x, height in enumerate([*heights.tolist(), 0]):
            start = x
            while stack and stack[-1][1] >= height:
                start, tall = stack.pop()
                if tall * (x - start) > best:
                    best, found = tall * (x - start), (y + 1 - tall, y + 1, start, x)
            stack.append((start, height))
    return found


def _refine(alive: NDArray[np.bool_], area: PictureArea) -> PictureArea:
    """Move each edge by up to a block, to where as many pixels along it live as elsewhere in the picture."""
    rows = alive[:, area.x0 : area.x1].mean(axis=1)
    columns = alive[area.y0 : area.y1].mean(axis=0)
    y0, y1 = _refine_span(rows >= 0.9 * np.median(rows[area.y0 : area.y1]), area.y0, area.y1, _BLOCK)
    x0, x1 = _refine_span(columns >= 0.9 * np.median(columns[area.x0 : area.x1]), area.x0, area.x1, _BLOCK)
    return PictureArea(y0, y1, x0, x1)


def _refine_span(alive: NDArray[np.bool_], start: int, stop: int, reach: int) -> tuple[int, int]:
    low, high = max(0, start - reach), min(len(alive), stop + reach)
    while start > low and alive[start - 1]:
        start -= 1
    while stop < high and alive[stop]:
        stop += 1
    while start < stop - 1 and not alive[start] and start < low + 2 * reach:
        start += 1
    while stop > start + 1 and not alive[stop - 1] and stop > high - 2 * reach:
        stop -= 1
    return start, stop


def coloured(chroma: NDArray[np.uint8], neutral: tuple[float, float], rows: slice = slice(None)) -> bool:
    """Return whether rows of a picture carry coloured graphics.

    Parameters
    ----------
    chroma : ndarray of uint8, shape (2, h/2, w/2)
        Colour planes of the picture.
    neutral : tuple of float
        Their values for grey.
    rows : slice
        Rows of the picture (not of the colour planes) to look at.

    Notes
    -----
    Lang et al. (2025) look for the hue of green. Here any colour counts that is 20 levels or more away from grey in the
    sum of both planes; a codec's errors on grey stay below 10. Four such samples are needed.
    """
    first, last, _ = rows.indices(2 * chroma.shape[1])
    planes = chroma[:, first // 2 : last // 2 + 1].astype(np.int16)
    distance = np.abs(planes[0] - round(neutral[0])) + np.abs(planes[1] - round(neutral[1]))
    return int(np.count_nonzero(distance >= 20)) >= 4
