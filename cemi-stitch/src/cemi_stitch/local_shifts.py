"""Local shifts: how far small blocks of an overlap are off the shift of the pair, which shows how pictures are bent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_stitch.prepare import smoothed
from cemi_stitch.surface import subpixel_peak
from cemi_stitch.zncc import template_zncc

#: Sides of a block, and half the window in which its shift is looked for, px.
BLOCK_PX, REACH_PX = 48, 4
#: Blocks of one overlap along each axis, at most.
MOST_BLOCKS = 4
#: Correlation below which a block says nothing.
LEAST_QUALITY = 0.3
#: Smoothed frames kept, enough for pairs that are ordered along a pass.
FRAMES_KEPT = 8


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
    """

    pair: NDArray[np.int64]
    first_px: NDArray[np.float64]
    second_px: NDArray[np.float64]
    deviation_px: NDArray[np.float64]


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
    table = np.concatenate(rows) if rows else np.zeros((0, 6))
    return LocalShifts(np.array(number, np.int64), table[:, :2], table[:, 2:4], table[:, 4:])


def _of_pair(first: Tensor, second: Tensor, pair: PairShift) -> NDArray[np.float64]:
    """Return a line (middle in the first, middle in the second, deviation) per block, shape (m, 6)."""
    whole = np.rint(pair.shift_px).astype(int)
    starts = [_starts(whole[axis], first.shape[axis], second.shape[axis]) for axis in (0, 1)]
    corners = [(y, x) for y in starts[0] for x in starts[1]]
    if not corners:
        return np.zeros((0, 6))
    wide = BLOCK_PX + 2 * REACH_PX
    patches = [first[y - REACH_PX :, x - REACH_PX :][:wide, :wide] for y, x in corners]
    blocks = [second[y - whole[0] :, x - whole[1] :][:BLOCK_PX, :BLOCK_PX] for y, x in corners]
    quality = template_zncc(torch.stack(patches), torch.stack(blocks), REACH_PX)
    span = 2 * REACH_PX + 1
    best = quality.flatten(1).argmax(1)
    row, column = best // span, best % span
    inside = (row > 0) & (row < span - 1) & (column > 0) & (column < span - 1)
    good = torch.nonzero(inside & (quality.flatten(1).max(1).values > LEAST_QUALITY)).flatten()
    if not len(good):
        return np.zeros((0, 6))
    near = torch.stack([quality[n, row[n] - 1 : row[n] + 2, column[n] - 1 : column[n] + 2] for n in good.tolist()])
    offset = subpixel_peak(near.numpy())[0] + np.stack([row[good], column[good]], 1) - REACH_PX
    middle = np.array(corners, np.float64)[good.numpy()] + (BLOCK_PX - 1) / 2
    return np.concatenate([middle, middle - whole, offset + whole - pair.shift_px], axis=1)


def _starts(shift: int, first: int, second: int) -> list[int]:
    """Return where blocks start along one axis, in the first frame: evenly, two thirds shared at most."""
    low, high = max(0, shift) + REACH_PX, min(first, shift + second) - BLOCK_PX - REACH_PX
    if high < low:
        return []
    count = min(MOST_BLOCKS, 1 + int((high - low) // (BLOCK_PX // 3)))
    return np.unique(np.linspace(low, high, count).round().astype(int)).tolist()
