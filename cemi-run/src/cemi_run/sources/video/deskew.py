"""Correction of the moving-stage shear: every line of a scan is drawn while the stage is a little further on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shear_span_px(shear_px_per_line: float, height: int) -> int:
    """Return how many columns `deskew` loses, px."""
    return math.ceil(abs(shear_px_per_line) * (height - 1) - 1e-9)


def deskew(scan: NDArray[Any], shear_px_per_line: float, lost_columns: int | None = None) -> NDArray[Any]:
    """Return a scan in which every line shows the same columns of the specimen.

    Parameters
    ----------
    scan : ndarray, shape (h, w)
        uint8, uint16 or float; line i shows the specimen from column X + i * shear on.
    shear_px_per_line : float
        Stage speed times line time, px: positive if the stage takes later lines further to larger x. It is the measured
        shift between successive scans times line time over scan time.
    lost_columns : int, optional
        Columns to cut, at least `shear_span_px`; more, so that all frames of a pass get one width.

    Returns
    -------
    ndarray, shape (h, w - lost_columns)
        Same type. Every line shows what the scan's middle line shows from its column ``lost_columns / 2`` on, whatever
        the shear: an error of the shear tilts the picture about its middle and does not move it. Columns that not
        every line has seen are cut, none is made up. Cubic interpolation along x (Catmull-Rom).

    Raises
    ------
    ValueError
        ``lost_columns`` is too small, or nothing would be left.
    """
    height, width = scan.shape
    span = shear_span_px(shear_px_per_line, height)
    lost = span if lost_columns is None else lost_columns
    if lost < span or lost >= width:
        raise ValueError(f"a shear of {span} px in a picture {width} px wide cannot lose {lost} columns")
    middle = np.arange(height) - (height - 1) / 2
    place = lost / 2 - shear_px_per_line * middle  # where in its line each row starts, 0 to lost
    whole = np.floor(place + 1e-9).astype(np.int64)
    part = np.clip(place - whole, 0.0, 1.0).astype(np.float32)[:, None]
    columns = whole[:, None] + np.arange(width - lost)
    rows = np.arange(height)[:, None]
    a, b, c, d = (scan[rows, np.clip(columns + k, 0, width - 1)].astype(np.float32) for k in (-1, 0, 1, 2))
    straight = b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))
    if scan.dtype.kind == "u":
        straight = np.clip(np.rint(straight), 0, np.iinfo(scan.dtype).max)
    return np.asarray(straight, dtype=scan.dtype)


def first_column_px(shear_px_per_line: float, height: int, lost_columns: int) -> float:
    """Return where the first column of `deskew`'s result lies, px, seen from the first pixel of the scan."""
    return lost_columns / 2 + shear_px_per_line * (height - 1) / 2
