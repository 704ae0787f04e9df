"""Multi-band blending: fine detail changes over at a seam, brightness gently around it.

Pyramids are OpenCV's: for a frame of 628 x 1012 px one core takes 0.2 ms a level down and 0.4 ms up, kornia's
``pyrdown`` and ``pyrup`` 26 ms each, and those place pixels half a pixel off OpenCV's grid, on which boxes join without
a seam (`benchmarks/kornia_or_opencv.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.blending.blender import Blender, Image
from cemi_stitch.blending.feather import feather
from cemi_stitch.blending.nearest import take_over
from cemi_stitch.blending.resample import Piece, pieces

#: Bands of one octave each; what is coarser than the last, 2^BANDS px, changes over most gently.
BANDS = 5
#: A pixel depends on what lies this far around it, px: four times the reach of the coarsest band.
MARGIN_PX = 4 * 2**BANDS
_GRID_PX = 2**BANDS


class Multiband(Blender):
    """Blends each band of spatial frequency over a width of its own; see `multiband`."""

    def blend(self, patches: Sequence[Patch], box: Box) -> Image:
        """Return the mosaic in ``box``; see `Blender.blend`."""
        return multiband(patches, box)


def multiband(patches: Sequence[Patch], box: Box) -> Image:
    """Return the mosaic in ``box``, blended band by band of a Laplacian pyramid along the seams of `Nearest`.

    Burt and Adelson, ACM Trans. Graphics 2 (1983) 217, applied to what each frame differs from the feathered mosaic
    by: frames that agree are given back exactly, and nothing need be made up beyond a frame's edge. Boxes join without
    a seam if ``patches`` holds all frames that reach ``box.grown(MARGIN_PX)``: the pyramids of all boxes stand on one
    grid.

    Parameters and result are those of `feather`.
    """
    wide = _on_grid(box.grown(MARGIN_PX))
    base = feather(patches, wide)
    known = np.isfinite(base)
    labels, shown = _seams(patches, wide)
    sizes = _level_sizes((wide.height, wide.width))
    bands = [np.zeros(size, np.float32) for size in sizes]
    weights = [np.zeros(size, np.float32) for size in sizes]
    base[~known] = 0
    for piece in shown:
        _add_bands(piece, base, labels, bands, weights)
    mosaic = base + _joined(bands, weights)
    mosaic[~known] = np.nan
    inner = Box(box.y - wide.y, box.x - wide.x, box.height, box.width)
    return np.ascontiguousarray(mosaic[inner.slices])


def _on_grid(box: Box) -> Box:
    """Return the smallest box around ``box`` whose edges lie on the grid of the coarsest band."""
    top, left = box.y // _GRID_PX * _GRID_PX, box.x // _GRID_PX * _GRID_PX
    bottom, right = -(-(box.y + box.height) // _GRID_PX) * _GRID_PX, -(-(box.x + box.width) // _GRID_PX) * _GRID_PX
    return Box(top, left, bottom - top, right - left)


def _level_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(size[0] >> level, size[1] >> level) for level in range(BANDS + 1)]


def _seams(patches: Sequence[Patch], box: Box) -> tuple[NDArray[np.int32], list[Piece]]:
    """Return the index of the frame whose pixel `Nearest` takes (-1: none), and what the frames show."""
    labels = np.full((box.height, box.width), -1, np.int32)
    best = np.zeros((box.height, box.width), np.float32)
    shown = []
    for piece in pieces(sorted(patches, key=lambda patch: patch.index), box):
        labels[piece.area][take_over(piece, best)] = piece.index
        shown.append(piece)
    return labels, shown


def _add_bands(
    piece: Piece, base: Image, labels: NDArray[np.int32], bands: Sequence[Image], weights: Sequence[Image]
) -> None:
    """Add the weighted bands of one frame's difference from ``base``, and the weights."""
    mine = labels[piece.area] == piece.index
    if not mine.any():
        return
    difference = piece.where_known(piece.image - base[piece.area])
    around = _around(piece, base.shape)
    top, left = piece.area[0].start - around.y, piece.area[1].start - around.x
    bottom = around.height - top - difference.shape[0]
    right = around.width - left - difference.shape[1]
    edges = (top, bottom, left, right)
    detail: Image = np.asarray(cv2.copyMakeBorder(difference, *edges, cv2.BORDER_REPLICATE), np.float32)
    weight: Image = np.asarray(cv2.copyMakeBorder(mine.astype(np.float32), *edges, cv2.BORDER_CONSTANT), np.float32)
    for level in range(BANDS + 1):
        area = tuple(slice(part.start >> level, part.stop >> level) for part in around.slices)
        coarse: Image = detail if level == BANDS else np.asarray(cv2.pyrDown(detail), np.float32)
        band: Image = detail
        if level < BANDS:
            band = np.asarray(detail - cv2.pyrUp(coarse, dstsize=detail.shape[::-1]), np.float32)
        bands[level][area] += weight * band
        weights[level][area] += weight
        if level < BANDS:
            detail, weight = coarse, np.asarray(cv2.pyrDown(weight), np.float32)


def _around(piece: Piece, shape: tuple[int, int]) -> Box:
    """Return the part of the box, on the grid, that a frame's bands reach."""
    rows, columns = piece.area
    area = Box(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    return _on_grid(area.grown(MARGIN_PX)).clipped(shape)


def _joined(bands: Sequence[Image], weights: Sequence[Image]) -> Image:
    """Return the picture that weighted bands make, coarsest last."""
    picture = np.zeros_like(bands[-1])
    for band, weight in zip(reversed(bands), reversed(weights), strict=True):
        own = np.divide(band, weight, out=np.zeros_like(band), where=weight > 1e-6)
        if picture.shape != own.shape:
            picture = np.asarray(cv2.pyrUp(picture, dstsize=own.shape[::-1]), np.float32)
        picture = picture + own
    return picture
