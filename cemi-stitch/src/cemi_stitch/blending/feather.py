"""Feathering: all frames that see a pixel, weighted by its distance from their edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.blending.blender import Blender, Image
from cemi_stitch.blending.resample import pieces


class Feather(Blender):
    """Weighs frames by the distance from their edges, so that no seam shows; see `feather`."""

    def blend(self, patches: Sequence[Patch], box: Box) -> Image:
        """Return the mosaic in ``box``; see `Blender.blend`."""
        return feather(patches, box)


def feather(patches: Sequence[Patch], box: Box) -> Image:
    """Return the mosaic in ``box``: all frames that see a pixel, weighted by its distance from their edges.

    The weight falls linearly to 0 at a frame's edge along y and along x.

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


def divided(total: Image, weight: Image) -> Image:
    """Return ``total / weight``, NaN where the weight is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mosaic: Image = total / weight
    mosaic[weight == 0] = np.nan
    return mosaic
