"""Blending: joins frames into a piece of the mosaic, smoothly or along seams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.blending.resample import Piece, pieces


def feather(patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
    """Return the mosaic in ``box``: all frames that see a pixel, weighted by its distance from their edges.

    The weight falls linearly to 0 at a frame's edge along y and along x, so that no seam shows.

    Parameters
    ----------
    patches : sequence of Patch
        Frames, in any order; NaN pixels do not count.
    box : Box
        In mosaic pixels.

    Returns
    -------
    ndarray of float32, shape (box.height, box.width)
        NaN where no frame reaches.
    """
    total = np.zeros((box.height, box.width), np.float32)
    weight = np.zeros_like(total)
    for piece in pieces(patches, box):
        sides = zip(piece.edge_distance(), piece.shape, strict=True)
        rows, columns = (np.maximum(inside / ((size + 1) / 2), np.float32(1e-4)) for inside, size in sides)
        edge = piece.weighted(rows, columns)
        total[piece.area] += edge * piece.image
        weight[piece.area] += edge
    return divided(total, weight)


def nearest(patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
    """Return the mosaic in ``box``: each pixel from the one frame whose edges are farthest from it, nothing mixed.

    Parameters and result are those of `feather`. Where two frames are as good, the one with the smaller index is taken.
    """
    mosaic = np.full((box.height, box.width), np.nan, np.float32)
    best = np.zeros_like(mosaic)
    for piece in pieces(sorted(patches, key=lambda patch: patch.index), box):
        better = take_over(piece, best)
        mosaic[piece.area][better] = piece.image[better]
    return mosaic


def take_over(piece: Piece, best: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where ``piece`` lies farther inside its frame than all before, and raise ``best`` (px, the box) to it."""
    rows, columns = piece.edge_distance()
    distance = piece.where_known(np.minimum(rows[:, None], columns[None, :]))
    better: NDArray[np.bool_] = distance > best[piece.area]
    np.maximum(best[piece.area], distance, out=best[piece.area])
    return better


def divided(total: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``total / weight``, NaN where the weight is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mosaic: NDArray[np.float32] = total / weight
    mosaic[weight == 0] = np.nan
    return mosaic
