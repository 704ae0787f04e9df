"""Lamella width by the rule of Lang et al. 2025: lines counted across the smallest rectangle about each region."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.methods import paper_dark_phase
from cemi_analyze.picture.orientation import structure_tensor

_WINDOW_PX = 6.0
_COHERENCY = 0.5
_SMALLEST_AREA_PX = 900
_STEP_PX = 0.5


def paper_widths(image: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the width of the lamellae in each lamellar region, px, and the number of lines counted there.

    The paper finds the regions with a trained network, we by a coherency of 0.5 or more. About each region lies the
    smallest rectangle; the length of its middle line, divided by the number of dark lines that this crosses, is the
    width (one period). Of the two middle lines the one that crosses more lines is "across".

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)

    Returns
    -------
    widths, lines : ndarray of float64, shape (regions,)
        Empty if there is none of at least 900 px with two lines.
    """
    lamellar = structure_tensor(image, _WINDOW_PX).coherency >= _COHERENCY
    dark = paper_dark_phase(image)
    count, label, stats, _ = cv2.connectedComponentsWithStats(lamellar.astype(np.uint8))
    widths, counted = [], []
    for region in range(1, count):
        if stats[region, cv2.CC_STAT_AREA] < _SMALLEST_AREA_PX:
            continue
        points = cv2.findNonZero((label == region).astype(np.uint8))
        corners = cv2.boxPoints(cv2.minAreaRect(points))
        middles = 0.5 * (corners + np.roll(corners, -1, axis=0))
        lines = [_count_dark_lines(dark, middles[i], middles[i + 2]) for i in (0, 1)]
        crossed, length = max(lines)
        if crossed >= 2:
            widths.append(length / crossed)
            counted.append(crossed)
    return np.array(widths, np.float64), np.array(counted, np.float64)


def _count_dark_lines(
    dark: NDArray[np.bool_], start: NDArray[np.float32], end: NDArray[np.float32]
) -> tuple[int, float]:
    """Return the number of dark runs on a segment (x, y), and its length in px."""
    length = float(np.hypot(*(end - start)))
    along = np.linspace(0, 1, max(2, round(length / _STEP_PX)))[:, None]
    at = np.rint(start + along * (end - start)).astype(int)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < dark.shape[1]) & (at[:, 1] < dark.shape[0])
    seen = dark[at[inside, 1], at[inside, 0]].astype(np.int8)
    return int(np.sum(np.diff(seen, prepend=0) == 1)), length
