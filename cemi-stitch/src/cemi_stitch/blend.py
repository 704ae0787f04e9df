"""Blending: joins frames into a piece of the mosaic, weighted by the distance from their edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box, Patch


def feather(patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
    """Return the mosaic in ``box``: all frames that see a pixel, weighted by its distance from their edges.

    The weight falls linearly to 0 at a frame's edge along y and along x, so that no seam shows. Frames are shifted by
    fractions of a pixel with cubic interpolation (Keys, IEEE Trans. ASSP 29 (1981) 1153, a = -1/2).

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
    for patch in patches:
        _add(patch, box, total, weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        mosaic: NDArray[np.float32] = total / weight
    mosaic[weight == 0] = np.nan
    return mosaic


def _add(patch: Patch, box: Box, total: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
    """Add one frame's weighted pixels and weights."""
    spans = [
        _span(position, size, start, length)
        for position, size, start, length in (
            (patch.y_px, patch.image.shape[0], box.y, box.height),
            (patch.x_px, patch.image.shape[1], box.x, box.width),
        )
    ]
    if spans[0] is None or spans[1] is None:
        return
    top, bottom, y = spans[0]
    left, right, x = spans[1]
    image = _resampled(patch.image, y, bottom - top, x, right - left)
    edge = np.outer(_ramp(y, bottom - top, patch.image.shape[0]), _ramp(x, right - left, patch.image.shape[1]))
    known = np.isfinite(image)
    if not known.all():
        edge[~known] = 0
        image = np.where(known, image, 0)
    area = slice(top - box.y, bottom - box.y), slice(left - box.x, right - box.x)
    if patch.gain != 1.0 or patch.offset != 0.0:
        image = image * np.float32(patch.gain) + np.float32(patch.offset)
    total[area] += edge * image
    weight[area] += edge


def _span(position: float, size: int, start: int, length: int) -> tuple[int, int, float] | None:
    """Return (first mosaic px, one past the last, frame coordinate of the first) of a frame along one axis of a box."""
    low = max(math.ceil(position - 1e-6), start)
    high = min(math.floor(position + size - 1 + 1e-6) + 1, start + length)
    return (low, high, low - position) if high > low else None


def _ramp(start: float, length: int, size: int) -> NDArray[np.float32]:
    """Return the distance to the nearer end of a frame, (0, 1], at frame coordinates start, start + 1, ..."""
    place = start + np.arange(length, dtype=np.float32)
    return np.maximum(np.minimum(place + 1, size - place) / ((size + 1) / 2), np.float32(1e-4))


def _resampled(image: NDArray[np.float32], y: float, height: int, x: float, width: int) -> NDArray[np.float32]:
    """Return ``height`` x ``width`` values of ``image`` from frame coordinate (y, x) on, by cubic interpolation."""
    y0, x0 = math.floor(y + 1e-6), math.floor(x + 1e-6)
    fy, fx = max(y - y0, 0.0), max(x - x0, 0.0)
    if fy < 1e-3 and fx < 1e-3:
        return image[y0 : y0 + height, x0 : x0 + width]
    piece = _with_margin(image, y0 - 1, height + 3, x0 - 1, width + 3)
    known = np.isfinite(piece)
    complete = bool(known.all())
    if not complete:
        piece = np.where(known, piece, np.float32(np.nanmean(piece)) if known.any() else np.float32(0))
    cut = slice(1, 1 + height), slice(1, 1 + width)
    shifted = cv2.sepFilter2D(piece, cv2.CV_32F, _cubic(fx), _cubic(fy), anchor=(1, 1))[cut]
    if complete:
        return shifted
    near = cv2.dilate((~known).astype(np.uint8), np.ones((4, 4), np.uint8), anchor=(1, 1))[cut]
    return np.where(near > 0, np.float32(np.nan), shifted)


def _with_margin(image: NDArray[np.float32], top: int, height: int, left: int, width: int) -> NDArray[np.float32]:
    """Return a piece of ``image`` that may reach two pixels beyond it, continued by Keys' boundary condition."""
    rows = max(top, 0), min(top + height, image.shape[0])
    columns = max(left, 0), min(left + width, image.shape[1])
    inner = image[rows[0] : rows[1], columns[0] : columns[1]]
    if inner.shape == (height, width):
        return np.ascontiguousarray(inner, np.float32)
    piece = np.empty((height, width), np.float32)
    piece[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left] = inner
    for array, first, last in (
        (piece[:, columns[0] - left : columns[1] - left], rows[0] - top, rows[1] - top),
        (piece.T, columns[0] - left, columns[1] - left),
    ):
        b, c = min(1, last - first - 1), min(2, last - first - 1)
        for k in range(first - 1, -1, -1):
            array[k] = 3 * array[k + 1] - 3 * array[k + 1 + b] + array[k + 1 + c]
        for k in range(last, len(array)):
            array[k] = 3 * array[k - 1] - 3 * array[k - 1 - b] + array[k - 1 - c]
    return piece


def _cubic(fraction: float) -> NDArray[np.float32]:
    """Return the four weights of Keys' cubic for a place ``fraction`` of a pixel after the second."""
    f = fraction
    return np.array(
        [
            -0.5 * f + f**2 - 0.5 * f**3,
            1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3,
            -0.5 * f**2 + 0.5 * f**3,
        ],
        np.float32,
    )
