"""Filters that need to know where in its picture a block lies, so that tiles give what the whole gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from cemi_core.model.stages import BlockInfo
from cemi_denoise.denoisers.picture_filter import PictureFilter


@dataclass(frozen=True)
class PlacedFilter(PictureFilter):
    """A filter whose grid (windows, squares, strides) must lie at the same pixels of the picture in every tile.

    Parameters
    ----------
    origin_px : tuple of int
        (y, x) of the block's first pixel in its picture; each call takes it from the block's `BlockInfo`.
    """

    origin_px: tuple[int, int] = field(default=(0, 0), kw_only=True, repr=False)

    def __call__(self, block: NDArray[Any], info: BlockInfo | None = None) -> NDArray[Any]:
        """Return ``block`` without noise; see `PictureFilter`."""
        return PictureFilter.__call__(replace(self, origin_px=origin_of(info)), block, info)


def origin_of(info: BlockInfo | None) -> tuple[int, int]:
    """Return (y, x) of a block's first pixel, halo included, in its picture; (0, 0) if nothing is known."""
    if info is None or info.box is None or info.core is None:
        return (0, 0)
    rows, columns = info.core
    return info.box.y - (rows.start or 0), info.box.x - (columns.start or 0)
