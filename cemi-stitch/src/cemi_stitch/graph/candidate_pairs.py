"""Chooses which frames are compared, and the window of shifts for each pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cemi_core.model.frame import Frame

#: Up to this many frames without any position, all pairs are tried.
MAX_FRAMES_FOR_ALL_PAIRS = 40


@dataclass(frozen=True, slots=True)
class Window:
    """Two frames to compare and the shifts to try.

    Attributes
    ----------
    first, second : int
        Frame indices, ``first < second``.
    shift_px : tuple of float
        Middle of the window: expected (dy, dx), position of ``second`` minus position of ``first``.
    reach_px : tuple of float
        Half the window in y and x.
    spread_px : float
        How far the true shift is expected from the middle; among peaks of like height the nearer one counts more.
        Infinite where nothing is expected.
    wide : bool
        No thumbnails have narrowed the window: all of it is searched at nearly full resolution.
    """

    first: int
    second: int
    shift_px: tuple[float, float]
    reach_px: tuple[float, float]
    spread_px: float = math.inf
    wide: bool = False


def nominal_positions(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Return the nominal positions, shape (n, 2), NaN where a frame has none."""
    unknown = (math.nan, math.nan)
    return np.array([frame.position_px or unknown for frame in frames], np.float64).reshape(-1, 2)


def tolerance_px(frame: Frame, share: float) -> tuple[float, float]:
    """Return how far ``frame`` may lie from its nominal place, (y, x): what the source says, or a share of its size."""
    if frame.position_tolerance_px is not None:
        return (frame.position_tolerance_px, frame.position_tolerance_px)
    return (share * frame.shape[0], share * frame.shape[1])


def overlap_sides(shift: Sequence[float], first: Sequence[int], second: Sequence[int]) -> tuple[float, float]:
    """Return height and width of the overlap of two frames of shapes ``first`` and ``second`` at a shift, px."""
    sides = [max(min(first[axis], shift[axis] + second[axis]) - max(0.0, shift[axis]), 0.0) for axis in (0, 1)]
    # Where one frame lies within the other, rounding may add to its own side.
    height, width = (min(side, a, b) for side, a, b in zip(sides, first, second, strict=True))
    return height, width


def overlap_px(shift: Sequence[float], first: Sequence[int], second: Sequence[int]) -> float:
    """Return the area of the overlap of two frames of shapes ``first`` and ``second`` at a shift, px."""
    height, width = overlap_sides(shift, first, second)
    return height * width


def min_overlap_px(first: Sequence[int], second: Sequence[int], share: float) -> float:
    """Return the smallest overlap worth a comparison: a share of the smaller frame, at least 256 px."""
    return max(256.0, share * min(first[0] * first[1], second[0] * second[1]))


def may_overlap(window: Window, frames: Sequence[Frame], share: float) -> bool:
    """Return whether any shift of the window gives an overlap worth a comparison."""
    first, second = frames[window.first].shape, frames[window.second].shape
    nearest = []
    for axis in (0, 1):
        best = (first[axis] - second[axis]) / 2
        low, high = (window.shift_px[axis] + side * window.reach_px[axis] for side in (-1, 1))
        nearest.append(min(max(best, low), high))
    return overlap_px(nearest, first, second) >= min_overlap_px(first, second, share)


def consecutive_windows(frames: Sequence[Frame], min_overlap: float, tolerance: float) -> list[Window]:
    """Return the windows for frames that follow each other.

    With nominal positions the window is as wide as their tolerance; without, it holds every shift that leaves an
    overlap, and up to 40 frames are compared each with each.
    """
    nominal = nominal_positions(frames)
    known = np.asarray(np.isfinite(nominal).all(axis=1))
    pairs = [(i, i + 1) for i in range(len(frames) - 1)]
    if not known.all() and len(frames) <= MAX_FRAMES_FOR_ALL_PAIRS:
        pairs = [(i, j) for i in range(len(frames)) for j in range(i + 1, len(frames))]
    windows = []
    for i, j in pairs:
        if known[i] and known[j]:
            slack = np.maximum(tolerance_px(frames[i], tolerance), tolerance_px(frames[j], tolerance))
            middle = (float(nominal[j, 0] - nominal[i, 0]), float(nominal[j, 1] - nominal[i, 1]))
            window = Window(i, j, middle, (float(slack[0]), float(slack[1])), float(slack.max()))
        else:
            window = _whole_window(i, j, frames, min_overlap)
        if may_overlap(window, frames, min_overlap):
            windows.append(window)
    return windows


def may_stand_still(frames: Sequence[Frame], min_overlap: float, tolerance: float) -> bool:
    """Return whether "no shift" is a possible answer for frames, all of one shape, that follow each other."""
    if len({frame.shape for frame in frames}) != 1:
        return False
    windows = consecutive_windows(frames, min_overlap, tolerance)
    return any(all(abs(s) <= r for s, r in zip(w.shift_px, w.reach_px, strict=True)) for w in windows)


def _whole_window(i: int, j: int, frames: Sequence[Frame], min_overlap: float) -> Window:
    first, second = frames[i].shape, frames[j].shape
    middle = tuple((first[axis] - second[axis]) / 2 for axis in (0, 1))
    reach = tuple((first[axis] + second[axis]) / 2 - min_overlap * min(first[axis], second[axis]) for axis in (0, 1))
    return Window(i, j, (middle[0], middle[1]), (reach[0], reach[1]))


def overlapping_pairs(
    positions_px: NDArray[np.float64], shapes: NDArray[np.int64], min_overlap: float
) -> list[tuple[int, int]]:
    """Return the pairs whose overlap at the given positions is worth a comparison, in order."""
    centres = positions_px + (shapes - 1) / 2
    largest = shapes.max(axis=0)
    pairs = cKDTree(centres / largest).query_pairs(1.0, p=np.inf, output_type="ndarray")
    found = []
    for i, j in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].tolist():
        shift = positions_px[j] - positions_px[i]
        if overlap_px(shift, shapes[i], shapes[j]) >= min_overlap_px(shapes[i], shapes[j], min_overlap):
            found.append((i, j))
    return found
