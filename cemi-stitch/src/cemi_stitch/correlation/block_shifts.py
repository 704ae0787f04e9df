"""Local shifts: how far small blocks of an overlap are off the shift of the pair, which shows how pictures are bent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_core.numeric.peak import quadratic_peak
from cemi_stitch.correlation.zncc import template_zncc
from cemi_stitch.frames.filters import smoothed

#: Sides of a block, the least ones (in thin overlaps), and half the window in which its shift is looked for, px.
BLOCK_PX, MIN_BLOCK_PX, REACH_PX = 48, 12, 4
#: Blocks of one overlap along each axis, at most.
MAX_BLOCKS = 4
#: Correlation below which a block says nothing.
MIN_QUALITY = 0.3
#: Smoothed frames kept, enough for pairs that are ordered along a pass.
FRAMES_KEPT = 8
#: No block is believed better than one of this distance from a perfect correlation.
MIN_DECORRELATION = 0.01


@dataclass(frozen=True)
class LocalShifts:
    """Shifts of blocks in the overlaps of pairs.

    Attributes
    ----------
    pair : ndarray of int, shape (m,)
        Place of the pair in the list that was asked for.
    first_px, second_px : ndarray of float, shape (m, 2)
        Middle of the block in the first and in the second frame, (y, x).
    deviation_px : ndarray of float, shape (m, 2)
        Shift of the block minus that of the pair.
    information : ndarray of float, shape (m, 2, 2)
        How well that is known relative to the other blocks: inverse covariance (y, x) but for a common factor. Along
        straight lamellae a block tells next to nothing.
    """

    pair: NDArray[np.int64]
    first_px: NDArray[np.float64]
    second_px: NDArray[np.float64]
    deviation_px: NDArray[np.float64]
    information: NDArray[np.float64]

    def part(self, chosen: NDArray[np.bool_]) -> LocalShifts:
        """Return the chosen ones of the local shifts."""
        return LocalShifts(*(getattr(self, field.name)[chosen] for field in fields(self)))


def local_shifts(source: FrameSource, pairs: Sequence[PairShift], smoothing_px: float) -> LocalShifts:
    """Return the local shifts of all blocks with enough contrast in the overlaps of ``pairs``."""

    @lru_cache(maxsize=FRAMES_KEPT)
    def prepared(index: int) -> Tensor:
        return smoothed(source.read(index), smoothing_px, "cpu")

    number: list[int] = []
    rows: list[NDArray[np.float64]] = []
    for n, pair in enumerate(pairs):
        found = _of_pair(prepared(pair.first), prepared(pair.second), pair)
        number += [n] * len(found)
        rows.append(found)
    table = np.concatenate(rows) if rows else np.zeros((0, 10))
    information = table[:, 6:].reshape(-1, 2, 2)
    return LocalShifts(np.array(number, np.int64), table[:, :2], table[:, 2:4], table[:, 4:6], information)


def _of_pair(first: Tensor, second: Tensor, pair: PairShift) -> NDArray[np.float64]:
    """Return a line (middle in the first, middle in the second, deviation, information) per block, shape (m, 10)."""
    whole = np.rint(pair.shift_px).astype(int)
    along = [_starts(whole[axis], first.shape[axis], second.shape[axis]) for axis in (0, 1)]
    (rows, height), (columns, width) = along
    corners = [(y, x) for y in rows for x in columns]
    if not corners:
        return np.zeros((0, 10))
    high, wide = height + 2 * REACH_PX, width + 2 * REACH_PX
    patches = [first[y - REACH_PX :, x - REACH_PX :][:high, :wide] for y, x in corners]
    blocks = [second[y - whole[0] :, x - whole[1] :][:height, :width] for y, x in corners]
    quality = template_zncc(torch.stack(patches), torch.stack(blocks), REACH_PX)
    span = 2 * REACH_PX + 1
    best = quality.flatten(1).argmax(1)
    row, column = best // span, best % span
    inside = (row > 0) & (row < span - 1) & (column > 0) & (column < span - 1)
    good = torch.nonzero(inside & (quality.flatten(1).max(1).values > MIN_QUALITY)).flatten()
    if not len(good):
        return np.zeros((0, 10))
    near = torch.stack([quality[n, row[n] - 1 : row[n] + 2, column[n] - 1 : column[n] + 2] for n in good.tolist()])
    offset = quadratic_peak(near.numpy())[0] + np.stack([row[good], column[good]], 1) - REACH_PX
    middle = np.array(corners, np.float64)[good.numpy()] + (np.array([height, width]) - 1) / 2
    known = _information(near.numpy().astype(np.float64), height * width)
    return np.concatenate([middle, middle - whole, offset + whole - pair.shift_px, known.reshape(-1, 4)], axis=1)


def _information(near: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
    """Return pixels x (curvature of the peak) / (1 - height), shape (m, 2, 2), from 3 x 3 values around each peak.

    The Cramér-Rao bound of a shift, but for a factor that smoothing puts to all blocks alike; the curvature of a
    correlation is the mean outer product of the picture's gradient.
    """
    yy = 2 * near[:, 1, 1] - near[:, 0, 1] - near[:, 2, 1]
    xx = 2 * near[:, 1, 1] - near[:, 1, 0] - near[:, 1, 2]
    xy = (near[:, 0, 2] + near[:, 2, 0] - near[:, 0, 0] - near[:, 2, 2]) / 4
    xy = np.clip(xy, -np.sqrt(np.maximum(yy * xx, 0)), np.sqrt(np.maximum(yy * xx, 0)))
    bend = np.stack([np.stack([np.maximum(yy, 0), xy], 1), np.stack([xy, np.maximum(xx, 0)], 1)], 1)
    return np.asarray(pixels * bend / np.maximum(1 - near[:, 1, 1], MIN_DECORRELATION)[:, None, None])


def _starts(shift: int, first: int, second: int) -> tuple[list[int], int]:
    """Return where blocks start along one axis, in the first frame, two thirds shared at most; and their side, px."""
    low, high = max(0, shift) + REACH_PX, min(first, shift + second) - REACH_PX
    side = min(BLOCK_PX, high - low)
    if side < MIN_BLOCK_PX:
        return [], side
    count = min(MAX_BLOCKS, 1 + int((high - side - low) // (BLOCK_PX // 3)))
    return np.unique(np.linspace(low, high - side, count).round().astype(int)).tolist(), side
