"""Between pixels of the pipeline (float32 in [0, 1], NaN where nothing was imaged) and pixels on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import from_unit_range
from cemi_core.model.mosaic import Box

#: Types in which pictures are stored.
PIXEL_TYPES = ("uint8", "uint16", "float32")


def check_pixel_type(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` if pictures can be stored in it.

    Raises
    ------
    InputError
        It is none of uint8, uint16 and float32.
    """
    checked: np.dtype[Any] = np.dtype(dtype)
    if checked.name not in PIXEL_TYPES:
        raise InputError(f"pictures are stored as {', '.join(PIXEL_TYPES)}, not as {checked.name}; convert them first")
    return checked


def encode(
    image: NDArray[np.float32], dtype: np.dtype[Any], float_range: tuple[float, float]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return an image in its stored type (0 on the [0, 1] scale where it is NaN) and its validity, 0 or 1."""
    missing = np.isnan(image)
    if missing.any():
        image = np.where(missing, np.float32(0), image)
    return from_unit_range(image, dtype, float_range), (~missing).view(np.uint8)


def check_inside(box: Box, shape: tuple[int, int], what: str) -> None:
    """Raise IndexError unless ``box`` lies in a picture of ``shape``."""
    if box != box.clipped(shape):
        raise IndexError(f"{box} does not lie in {what} of {shape[0]} x {shape[1]} px")


def along_chunks(box: Box, height: int, width: int) -> Iterator[Box]:
    """Yield the part of ``box`` in each chunk of ``height`` x ``width`` that it touches, row by row."""
    top, left = box.y // height * height, box.x // width * width
    for tile in Box(top, left, box.y + box.height - top, box.x + box.width - left).tiles(height, width):
        y, x = max(tile.y, box.y), max(tile.x, box.x)
        yield Box(y, x, tile.y + tile.height - y, tile.x + tile.width - x)
