"""Pixels of a mosaic as other formats want them: in the stored type, or as 8-bit grey."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import from_unit_range
from cemi_core.model.mosaic import Box, Mosaic

#: Called with (parts done, parts in all).
Progress = Callable[[int, int], None]
#: "keep": black is 0 and white the largest value of the type. "stretch": 0.2 % of the picture is black, 0.2 % white.
Contrast = Literal["keep", "stretch"]

_DARKEST, _BRIGHTEST = 0.2, 99.8


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


def common_type(mosaics: Iterable[Mosaic]) -> tuple[np.dtype[Any], tuple[float, float]]:
    """Return a type that holds the pixels of all mosaics, and the float values that are 0 and 1 of it.

    Their own, where they have one in common; uint16 for uint8 and uint16 (255 becomes 65535, without loss); float32 in
    [0, 1] else.
    """
    kinds = {
        (mosaic.dtype, tuple(mosaic.float_range) if mosaic.dtype.kind == "f" else (0.0, 1.0)) for mosaic in mosaics
    }
    if len(kinds) == 1:
        dtype, (low, high) = kinds.pop()
        return dtype, (low, high)
    whole = all(dtype.kind == "u" for dtype, _ in kinds)
    return np.dtype(np.uint16 if whole else np.float32), (0.0, 1.0)


def grey_range(mosaic: Mosaic, contrast: Contrast) -> tuple[float, float]:
    """Return what becomes black and white in 8-bit grey, on the [0, 1] scale; measured on the smallest level."""
    if contrast == "keep":
        return 0.0, 1.0
    level = len(mosaic.level_shapes) - 1
    box = Box(0, 0, *mosaic.level_shapes[level])
    imaged = mosaic.read(box, level)[mosaic.read_valid(box, level)]
    if not imaged.size:
        return 0.0, 1.0
    low, high = np.percentile(imaged, (_DARKEST, _BRIGHTEST))
    return (float(low), float(high)) if high > low else (0.0, 1.0)


def to_grey(image: NDArray[np.float32], black_white: tuple[float, float]) -> NDArray[np.uint8]:
    """Return an image in [0, 1] as 8-bit grey."""
    black, white = black_white
    grey: NDArray[np.uint8] = from_unit_range(
        (image - np.float32(black)) / np.float32(white - black), np.dtype(np.uint8)
    )
    return grey
