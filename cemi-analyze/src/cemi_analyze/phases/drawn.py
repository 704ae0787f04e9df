"""What was drawn into a picture or set around it, not imaged: data bars, borders, scale bars."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Edge of the square that must be of one grey level, px, and the smallest area that is looked at.
_FLAT_PX = 5
_SMALLEST_PX = 150
#: Share of a row or column that such an area covers where the whole line is part of a bar or border.
_OF_LINE = 0.4
#: How much of the rectangle about it a bar in the picture fills.
_SOLID = 0.85
#: A picture of which more is flat outside bars has flat phases (made without noise, or saturated).
_FLAT_PICTURE = 0.1


@dataclass(frozen=True)
class Drawn:
    """Pixels that show nothing of the specimen.

    Attributes
    ----------
    mask : ndarray of bool, shape (h, w)
    share : float
        Of the pixels that were imaged at all.
    """

    mask: NDArray[np.bool_]
    share: float


def drawn_on(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> Drawn:
    """Return where a picture holds bars, borders and marks that were drawn.

    A microscope's picture has noise: no 5 x 5 pixels are equal. Areas of one grey level that fill rows or columns from
    an edge on are bars or borders, with all that stands in them; solid rectangles elsewhere are marks such as a scale
    bar. Where flat areas are all over the picture (saturated phases, pictures without noise) nothing is taken.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
    valid : ndarray of bool, shape (h, w)
    """
    mask = np.zeros(image.shape, bool)
    kernel = np.ones((_FLAT_PX, _FLAT_PX), np.uint8)
    same = np.asarray(cv2.dilate(image, kernel) == cv2.erode(image, kernel)) & valid
    if same.sum() < _SMALLEST_PX - 4 * _FLAT_PX:
        return Drawn(mask, 0.0)
    flat = cv2.dilate(same.astype(np.uint8), kernel) > 0
    number, labels, stats, _ = cv2.connectedComponentsWithStats(flat.astype(np.uint8), connectivity=4)
    height, width = image.shape
    for label in range(1, number):
        left, top, wide, high, area = (int(value) for value in stats[label])
        if area < _SMALLEST_PX:
            continue
        part = labels == label
        at_edge = left == 0 or top == 0 or left + wide == width or top + high == height
        if at_edge and (wide >= 0.9 * width or high >= 0.9 * height):
            rows, columns = part.mean(axis=1) > _OF_LINE, part.mean(axis=0) > _OF_LINE
            mask |= part
            if wide >= 0.9 * width:
                mask[_from_edges(rows)] = True
            if high >= 0.9 * height:
                mask[:, _from_edges(columns)] = True
        elif area >= _SOLID * wide * high and float(image[part].min()) in (0.0, 1.0, float(image[valid].max())):
            mask |= part
    if mask[valid].mean() > 0.9 or flat[~mask].mean() > _FLAT_PICTURE:
        return Drawn(np.zeros_like(mask), 0.0)
    around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return Drawn(around, float(mask[valid].mean()))


def _from_edges(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the lines that follow one another from the first or the last on."""
    found = np.zeros_like(lines)
    covered = np.flatnonzero(lines)
    if not len(covered):
        return found
    if covered[0] < 0.05 * len(lines):
        inner = np.flatnonzero(~lines)
        found[: inner[inner > covered[0]][0] if (inner > covered[0]).any() else len(lines)] = True
    if covered[-1] >= 0.95 * len(lines):
        gaps = np.flatnonzero(~lines[: covered[-1]])
        # Ticks and letters break some lines of a bar: what lies between its first and last full line belongs to it.
        start = gaps[-1] + 1 if len(gaps) else 0
        wide = covered[covered >= min(start, int(0.6 * len(lines)))]
        found[int(wide[0]) :] = True
    return found
