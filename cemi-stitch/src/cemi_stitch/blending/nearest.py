"""No blending: each pixel of the mosaic from the one frame whose edges are farthest from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.blending.blender import Blender, Image
from cemi_stitch.blending.resample import Piece, pieces


class Nearest(Blender):
    """Takes each pixel from one frame, nothing mixed; see `nearest`."""

    def blend(self, patches: Sequence[Patch], box: Box) -> Image:
        """Return the mosaic in ``box``; see `Blender.blend`."""
        return nearest(patches, box)


def nearest(patches: Sequence[Patch], box: Box) -> Image:
    """Return the mosaic in ``box``: each pixel from the one frame whose edges are farthest from it, nothing mixed.

    Parameters and result are those of `cemi_stitch.blending.feather.feather`. Where two frames are as good, the one
    with the smaller index is taken.
    """
    mosaic = np.full((box.height, box.width), np.nan, np.float32)
    best = np.zeros_like(mosaic)
    for piece in pieces(sorted(patches, key=lambda patch: patch.index), box):
        better = take_over(piece, best)
        mosaic[piece.area][better] = piece.image[better]
    return mosaic


def take_over(piece: Piece, best: Image) -> NDArray[np.bool_]:
    """Return where ``piece`` lies farther inside its frame than all before, and raise ``best`` (px, the box) to it."""
    rows, columns = piece.edge_distance()
    distance = piece.where_known(np.minimum(rows[:, None], columns[None, :]))
    better: NDArray[np.bool_] = distance > best[piece.area]
    np.maximum(best[piece.area], distance, out=best[piece.area])
    return better
