"""Chords and lineal path: how far one stays in a phase along a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Axis = Literal["x", "y"]
#: Steps (dy, dx) of the four directions in which a phase is left, and their lengths, px.
DIRECTIONS = {"x": (0, 1), "y": (1, 0), "down": (1, 1), "up": (1, -1)}


@dataclass(frozen=True)
class Chords:
    """Chords of a phase along one axis.

    Attributes
    ----------
    length_px : ndarray of int64, shape (n,)
        Pixels of each chord that begins inside the image.
    complete : ndarray of bool, shape (n,)
        False where the edge of what was imaged cuts it: it is at least so long.
    """

    length_px: NDArray[np.int64]
    complete: Mask


def _lines(mask: Mask, valid: Mask | None, axis: Axis) -> tuple[Mask, Mask]:
    """Return mask and valid pixels with ``axis`` last, and a pixel that is not valid after each line."""
    known = np.ones(mask.shape, bool) if valid is None else valid
    turned = (mask & known, known) if axis == "x" else ((mask & known).T, known.T)
    padded = tuple(np.pad(array, ((0, 0), (1, 1))) for array in turned)
    return padded[0], padded[1]


def _runs(lines: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of True begin and end (the pixel after), as flat places in the padded lines."""
    flat = lines.ravel().astype(np.int8)
    step = np.diff(flat)
    return np.flatnonzero(step == 1) + 1, np.flatnonzero(step == -1) + 1


def chord_lengths(mask: Mask, valid: Mask | None = None, axis: Axis = "x") -> Chords:
    """Return the chords of a phase along x or y that begin inside the image.

    Those that the near edge cuts are left out: long chords meet an edge more often than short ones, so to keep them
    would make the distribution too long.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        The phase.
    valid : ndarray of bool, shape (h, w), optional
    axis : {"x", "y"}
    """
    phase, known = _lines(mask, valid, axis)
    begin, end = _runs(phase)
    inside, complete = known.ravel()[begin - 1], known.ravel()[end]
    return Chords((end - begin)[inside].astype(np.int64), complete[inside])


def chord_survival(chords: Chords) -> NDArray[np.float64]:
    """Return the share of chords that are longer than 0, 1, 2, ... px, cut ones allowed for.

    Kaplan and Meier's estimate (J. Am. Stat. Assoc. 1958, 53, 457); NaN beyond the longest chord if that is cut.
    """
    if not len(chords.length_px):
        return np.array([math.nan])
    longest = int(chords.length_px.max())
    ended = np.bincount(chords.length_px[chords.complete], minlength=longest + 1).astype(np.float64)
    all_of = np.bincount(chords.length_px, minlength=longest + 1)
    at_risk = np.cumsum(all_of[::-1])[::-1]
    return np.asarray(np.cumprod(1 - ended / np.maximum(at_risk, 1)), np.float64)


def lineal_path(mask: Mask, valid: Mask | None = None, axis: Axis = "x", max_px: int = 64) -> NDArray[np.float64]:
    """Return the chance that a straight segment of 0, 1, ... ``max_px`` px lies in a phase altogether.

    The lineal-path function of B. Lu and S. Torquato, Phys. Rev. A 1992, 45, 922; at 0 it is the phase fraction.
    Every segment that fits what was imaged counts once.

    Parameters
    ----------
    mask, valid, axis
        As in `chord_lengths`.
    max_px : int
        Longest distance between the ends of the segment.
    """
    distance = np.arange(max_px + 1)

    def segments(lines: Mask) -> NDArray[np.float64]:
        begin, end = _runs(lines)
        count = np.bincount(end - begin, minlength=max_px + 2).astype(np.float64)
        length = np.arange(len(count))
        number = np.cumsum(count[::-1])[::-1]
        pixels = np.cumsum((count * length)[::-1])[::-1]
        return np.asarray(pixels[distance + 1] - distance * number[distance + 1])

    phase, known = _lines(mask, valid, axis)
    fit = segments(known)
    return np.where(fit > 0, segments(phase) / np.maximum(fit, 1), np.nan)


def crossings(mask: Mask, valid: Mask | None = None) -> dict[str, tuple[NDArray[np.float32], Mask]]:
    """Return, for each of four directions, where a step changes the phase, per px of the step, and where it is known.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    valid : ndarray of bool, shape (h, w), optional

    Returns
    -------
    dict
        ``"x"``, ``"y"`` (one px), ``"down"``, ``"up"`` (along the diagonals, sqrt 2 px): arrays of shape (h, w); the
        last row or column, from which a step leads out of the image, is not known.
    """
    known = np.ones(mask.shape, bool) if valid is None else valid
    found = {}
    for name, (down, right) in DIRECTIONS.items():
        here = (slice(0, -down or None), slice(1, None) if right < 0 else slice(0, -right or None))
        there = (slice(down, None), slice(0, -1) if right < 0 else slice(right, None))
        change, sure = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, bool)
        sure[here] = known[here] & known[there]
        change[here] = (mask[here] != mask[there]) / np.float32(math.hypot(down, right))
        found[name] = np.where(sure, change, np.float32(0)), sure
    return found


def interface_per_px(mask: Mask, valid: Mask | None = None) -> float:
    """Return the length of the phase boundary per area, 1/px, by Crofton's formula over four directions.

    Boundary per area is pi / 2 times the crossings per length of line (E. E. Underwood, Quantitative Stereology, 1970),
    here the mean over lines at 0, 45, 90 and 135 degrees.
    """
    rates = [float(change[sure].mean()) for change, sure in crossings(mask, valid).values() if sure.any()]
    return math.pi / 2 * float(np.mean(rates)) if rates else math.nan


def mean_chord_px(mask: Mask, valid: Mask | None = None, axis: Axis = "x") -> float:
    """Return the mean chord of a phase along x or y, px: its share of the line over the chords begun per length.

    As every boundary that is crossed counts, wherever a chord began, no chord is cut and none is left out. NaN where
    the phase is never left.
    """
    known = np.ones(mask.shape, bool) if valid is None else valid
    change, sure = crossings(mask, valid)[axis]
    begun = 0.5 * float(change[sure].mean()) if sure.any() else 0.0
    return float(mask[known].mean()) / begun if begun > 0 else math.nan
