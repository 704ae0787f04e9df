"""Correlation lengths and mean chords of two phases, and what each block of a cell changes in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.cell_analyzer import UNKNOWN
from cemi_analyze.texture.chords import Mask, crossings
from cemi_analyze.texture.correlation import correlation_length, two_point_correlation
from cemi_analyze.uncertainty.blocks import block_means, blocks_along
from cemi_analyze.uncertainty.intervals import Interval, e562_interval, effective_fields, likeness_of_neighbours

_E = math.e

#: The lengths that are measured, in the order of the maps: name and words.
LENGTHS = {
    "correlation_length": "Correlation length of the phases",
    "correlation_length_x": "Correlation length along x",
    "correlation_length_y": "Correlation length along y",
    "dark_chord": "Mean chord of the dark phase",
    "dark_chord_x": "Mean chord of the dark phase along x",
    "dark_chord_y": "Mean chord of the dark phase along y",
    "bright_chord": "Mean chord of the bright phase",
    "bright_chord_x": "Mean chord of the bright phase along x",
    "bright_chord_y": "Mean chord of the bright phase along y",
}


@dataclass(frozen=True)
class Length:
    """A length that was measured in one cell.

    Attributes
    ----------
    value_px : float
        NaN where it is unknown.
    change_px : ndarray of float64, shape (rows, columns)
        What each block of the cell changes in it; its mean is 0.
    """

    value_px: float
    change_px: NDArray[np.float64]


def lengths_of(dark: Mask, valid: Mask) -> dict[str, Length]:
    """Return correlation lengths and mean chords by the names of `LENGTHS`, and what each block changes in them.

    A mean chord is a ratio of two means (share of the phase over chords begun per length), and a correlation length
    solves an equation between means; what a block changes in them is linearised (W. G. Cochran, Sampling Techniques,
    1977, 6).

    Parameters
    ----------
    dark, valid : ndarray of bool, shape (h, w)
    """
    share = float(dark[valid].mean())
    found = crossings(dark, valid)
    rates = {name: float(change[sure].mean()) if sure.any() else 0.0 for name, (change, sure) in found.items()}
    rate = {"": float(np.mean(list(rates.values()))), "_x": rates["x"], "_y": rates["y"]}
    if rate[""] <= 0:
        return dict.fromkeys(LENGTHS, _NO_LENGTH)
    blocks = blocks_along(dark.shape, 4 / rate[""])
    mean_share, _ = block_means(dark.astype(np.float32), valid, blocks)
    per_block = {name: block_means(change, sure, blocks)[0] for name, (change, sure) in found.items()}
    rate_of = {"": np.mean(list(per_block.values()), axis=0), "_x": per_block["x"], "_y": per_block["y"]}
    lengths = {}
    for phase, part, in_block in (("dark", share, mean_share), ("bright", 1 - share, 1 - mean_share)):
        for axis, begun in rate.items():
            value = 2 * part / begun if begun > 0 else math.nan
            change = (2 * in_block - value * rate_of[axis]) / begun if begun > 0 else _NO_LENGTH.change_px
            lengths[f"{phase}_chord{axis}"] = Length(value, change)
    lengths |= _correlation_lengths(dark, valid, blocks)
    return {name: lengths[name] for name in LENGTHS}


_NO_LENGTH = Length(math.nan, np.full((1, 1), np.nan))


def length_intervals(lengths: Sequence[Length | None]) -> list[Interval]:
    """Return a length of several cells with 95 % intervals from the scatter of their blocks, px.

    How alike neighbouring blocks are is pooled over the cells: the few blocks of one cell hardly tell.
    """
    known = [length.change_px for length in lengths if length is not None and math.isfinite(length.value_px)]
    likeness = likeness_of_neighbours(known)
    intervals = []
    for length in lengths:
        if length is None or not math.isfinite(length.value_px):
            intervals.append(UNKNOWN)
            continue
        used = np.isfinite(length.change_px)
        spread = e562_interval(length.change_px, None, max(effective_fields(used, likeness), 2.0) if used.any() else 0)
        half = 0.5 * (spread.high - spread.low)
        intervals.append(Interval(length.value_px, max(length.value_px - half, 0.0), length.value_px + half))
    return intervals


def _correlation_lengths(dark: Mask, valid: Mask, blocks: tuple[int, int]) -> dict[str, Length]:
    found = two_point_correlation(dark, valid, min(dark.shape) // 3)
    steps = np.arange(found.max_px + 1, dtype=np.float64)
    curves = {"": found.radial(), "_x": (steps, found.along_x), "_y": (steps, found.along_y)}
    return {
        f"correlation_length{axis}": _correlation_length(dark, valid, curve, axis, blocks)
        for axis, curve in curves.items()
    }


def _correlation_length(
    dark: Mask, valid: Mask, curve: tuple[NDArray[np.float64], NDArray[np.float64]], axis: str, blocks: tuple[int, int]
) -> Length:
    value = correlation_length(*curve)
    if not math.isfinite(value):
        return _NO_LENGTH
    slope = float(np.interp(value + 0.5, *curve) - np.interp(value - 0.5, *curve))
    centred = np.where(valid, dark - np.float32(dark[valid].mean()), np.float32(0)).astype(np.float32)
    kernel = _ring(value, axis)
    there = cv2.filter2D(centred, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.filter2D(valid.astype(np.float32), cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    seen = valid & (weight > 0.5)
    change = centred * (there / np.maximum(weight, 0.5) - centred / np.float32(_E))
    means, _ = block_means(change, seen, blocks)
    return Length(value, means / max(abs(slope), 1e-9))


def _ring(radius_px: float, axis: str) -> NDArray[np.float32]:
    """Return the weights of the pixels at a distance, in all directions or along one axis to both sides."""
    reach = math.ceil(radius_px) + 1
    offset = np.arange(-reach, reach + 1)
    if axis:
        line = np.maximum(1 - np.abs(np.abs(offset) - radius_px), 0).astype(np.float32)
        return np.asarray((line / line.sum())[None, :] if axis == "_x" else (line / line.sum())[:, None])
    ring = np.maximum(1 - np.abs(np.hypot(offset[:, None], offset[None, :]) - radius_px), 0).astype(np.float32)
    return np.asarray(ring / ring.sum())
