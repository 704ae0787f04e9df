"""An image is cut into cells for a network: aligned to the image, with context around them, and blended again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box

#: Neighbouring cells are blended over twice so many pixels.
BLEND_PX = 8


@dataclass(frozen=True)
class Cell:
    """A piece that a network works on at a time.

    Attributes
    ----------
    seen : Box
        What the network is given.
    given : Box
        What is taken of its answer; neighbours overlap in ``2 * BLEND_PX``.
    weight_y, weight_x : ndarray of float32
        Weights of the rows and columns of ``given``; those of all cells add up to 1 in every pixel.
    """

    seen: Box
    given: Box
    weight_y: NDArray[np.float32]
    weight_x: NDArray[np.float32]

    @property
    def weight(self) -> NDArray[np.float32]:
        """Weight of each pixel of ``given``."""
        return self.weight_y[:, None] * self.weight_x

    @property
    def inside(self) -> tuple[slice, slice]:
        """Where ``given`` lies in what the network answers for ``seen``."""
        y, x = self.given.y - self.seen.y, self.given.x - self.seen.x
        return slice(y, y + self.given.height), slice(x, x + self.given.width)


def plan_cells(work: Box, shape: tuple[int, int], cell_px: int, context_px: int, multiple: int) -> Iterator[Cell]:
    """Yield cells that cover ``work``.

    Parameters
    ----------
    work : Box
        What is wanted of an array.
    shape : tuple of int
        (height, width) of the array.
    cell_px : int
        Largest edge of a cell without its context.
    context_px : int
        How far around a pixel the network looks.
    multiple : int
        ``seen`` begins at multiples of it.
    """
    rows = list(_spans(work.y, work.height, shape[0], cell_px, context_px, multiple))
    columns = list(_spans(work.x, work.width, shape[1], cell_px, context_px, multiple))
    for y in rows:
        for x in columns:
            yield Cell(
                Box(y.seen[0], x.seen[0], y.seen[1] - y.seen[0], x.seen[1] - x.seen[0]),
                Box(y.given[0], x.given[0], y.given[1] - y.given[0], x.given[1] - x.given[0]),
                y.weight,
                x.weight,
            )


@dataclass(frozen=True)
class _Span:
    """A cell along one axis."""

    seen: tuple[int, int]
    given: tuple[int, int]
    weight: NDArray[np.float32]


def _spans(start: int, extent: int, length: int, cell_px: int, context_px: int, multiple: int) -> Iterator[_Span]:
    count = -(-extent // cell_px)
    edges = [start + round(extent * index / count) for index in range(count + 1)]
    for low, high in pairwise(edges):
        joins = low > start, high < start + extent
        given = low - BLEND_PX * joins[0], high + BLEND_PX * joins[1]
        seen = max(0, given[0] - context_px), min(length, given[1] + context_px)
        yield _Span((seen[0] - seen[0] % multiple, seen[1]), given, _ramps(given[1] - given[0], *joins))


def _ramps(length: int, rises: bool, falls: bool) -> NDArray[np.float32]:
    """Return weights of 1 that rise over the first and fall over the last ``2 * BLEND_PX``, if asked for."""
    weight = np.ones(length, np.float32)
    ramp = ((np.arange(2 * BLEND_PX) + 0.5) / (2 * BLEND_PX)).astype(np.float32)
    if rises:
        weight[: 2 * BLEND_PX] *= ramp
    if falls:
        weight[-2 * BLEND_PX :] *= ramp[::-1]
    return weight
