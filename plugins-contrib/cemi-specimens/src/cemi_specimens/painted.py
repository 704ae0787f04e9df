"""Things painted one over the other, particles or wires: which of them is on top at each pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box


@dataclass(frozen=True)
class Window:
    """The pixels of a box near one thing, in the axes of that thing.

    Attributes
    ----------
    slices : tuple of slice
        Where they are in an array of the box.
    u, v : ndarray of float64, shape (h, w)
        Offset from the thing's middle along its long axis and across it, px.
    """

    slices: tuple[slice, slice]
    u: NDArray[np.float64]
    v: NDArray[np.float64]


def windows(
    box: Box,
    y_px: NDArray[np.float64],
    x_px: NDArray[np.float64],
    angle: NDArray[np.float64],
    reach_px: NDArray[np.float64],
) -> Iterator[tuple[int, Window]]:
    """Yield index and window of each thing that reaches into a box.

    Parameters
    ----------
    box : Box
        Pixels wanted.
    y_px, x_px : ndarray, shape (n,)
        Middles.
    angle : ndarray, shape (n,)
        Of the long axis against x, towards +y, radians.
    reach_px : ndarray, shape (n,)
        Half the edge of the square window.
    """
    rows = np.arange(box.y, box.y + box.height, dtype=np.float64)
    columns = np.arange(box.x, box.x + box.width, dtype=np.float64)
    for index in range(len(y_px)):
        top, bottom = np.searchsorted(rows, [y_px[index] - reach_px[index], y_px[index] + reach_px[index]])
        left, right = np.searchsorted(columns, [x_px[index] - reach_px[index], x_px[index] + reach_px[index]])
        if top == bottom or left == right:
            continue
        dy, dx = rows[top:bottom, None] - y_px[index], columns[None, left:right] - x_px[index]
        cos, sin = np.cos(angle[index]), np.sin(angle[index])
        here = (slice(int(top), int(bottom)), slice(int(left), int(right)))
        yield index, Window(here, dx * cos + dy * sin, dy * cos - dx * sin)
