"""One scan: lines read one after the other while the stage moves on."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import Specimen
from cemi_virtual_sem.stage import StagePath


def line_times_s(start_s: float, scan_s: float, lines: int) -> NDArray[np.float64]:
    """Return when each line is drawn: the first at the start, the last at the end of the scan."""
    return start_s + scan_s * np.arange(lines) / (lines - 1)


def ideal_scan(
    specimen: Specimen, y_px: NDArray[np.float64], x_px: NDArray[np.float64], width: int
) -> NDArray[np.float32]:
    """Return a picture without noise whose every line is read at its own stage position.

    Parameters
    ----------
    specimen : Specimen
        What is under the beam.
    y_px, x_px : ndarray, shape (h,)
        Specimen position under pixel (0, 0) of the picture while each line is read: line i shows the specimen's row
        ``y_px[i] + i`` from column ``x_px[i]`` on.
    width : int
        Width of the picture, px.

    Returns
    -------
    ndarray of float32, shape (h, width)
        Cubic interpolation, positions exact to 1/64 px.
    """
    rows = np.asarray(y_px) + np.arange(len(y_px))
    top, left = math.floor(rows.min()) - 2, math.floor(np.min(x_px)) - 2
    bottom, right = math.ceil(rows.max()) + 3, math.ceil(np.max(x_px)) + width + 3
    plane = specimen.render(Box(top, left, bottom - top, right - left))
    map_x = (np.asarray(x_px) - left)[:, None] + np.arange(width)
    map_y = np.broadcast_to((rows - top)[:, None], map_x.shape)
    picture = cv2.remap(plane, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_CUBIC)
    return np.clip(picture, 0.0, 1.0, out=picture)


def scan_pass(
    specimen: Specimen, path: StagePath, start_s: float, scan_s: float, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the noiseless picture of one scan of ``shape`` (h, w) that starts at ``start_s``."""
    y, x = path.position_px(line_times_s(start_s, scan_s, shape[0]))
    return ideal_scan(specimen, y, x, shape[1])
