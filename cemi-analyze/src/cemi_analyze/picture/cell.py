"""Pictures on their way into an analyzer: checked, on the unit scale, holes filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import to_unit_range
from cemi_core.model.stages import BlockInfo

#: Smallest edge of a picture or cell that any analyzer measures, px.
SMALLEST_PX = 32


@dataclass(frozen=True)
class Cell:
    """One grid cell with its halo, ready to be measured.

    Attributes
    ----------
    image : ndarray of float32, shape (h, w)
        Finite everywhere: pixels that were not imaged hold the mean of the others.
    valid : ndarray of bool, shape (h, w)
        Where the block was imaged.
    core : tuple of slice
        The cell itself within the block.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    core: tuple[slice, slice]


def as_picture(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return a user's picture as float32 on the unit scale (integers over their range, floats as they are).

    Raises
    ------
    InputError
        It is not a two-dimensional array of real numbers, is smaller than 32 px, or holds no finite pixel.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise InputError(f"a picture to measure must be a grey array (height, width), not of shape {pixels.shape}")
    if pixels.dtype.kind not in "buif":
        raise InputError(f"a picture to measure must hold real numbers, not '{pixels.dtype}'")
    if min(pixels.shape) < SMALLEST_PX:
        raise InputError(
            f"a picture of {pixels.shape[0]} x {pixels.shape[1]} px is too small to measure: "
            f"{SMALLEST_PX} x {SMALLEST_PX} px at least"
        )
    unit = to_unit_range(pixels)
    if not np.isfinite(unit).any():
        raise InputError("the picture holds no finite pixel: nothing to measure")
    return unit


def cell_of(block: NDArray[Any], info: BlockInfo) -> Cell | None:
    """Return the cell of a block, or None where too little of it was imaged to be measured (under half, or 32 px)."""
    pixels = np.asarray(block, np.float32)
    core = info.core if info.core is not None else (slice(0, pixels.shape[0]), slice(0, pixels.shape[1]))
    valid = np.isfinite(pixels)
    if info.valid is not None:
        valid &= info.valid
    inside = valid[core]
    if min(inside.shape, default=0) < SMALLEST_PX or inside.mean() < 0.5:
        return None
    if valid.all():
        return Cell(pixels, valid, core)
    return Cell(np.where(valid, pixels, pixels[valid].mean(dtype=np.float64)).astype(np.float32), valid, core)
