"""Objects from their labels: area, centroid and outline of every grain, counted pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects, joined_objects

_PART_PX = 1024


def lies_in(box: Box, y_px: NDArray[np.float64], x_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points lie in a box: from the outer edge of its first pixel up to, not including, that of its last.

    A pixel reaches half a pixel to each side of its centre, so boxes that cover a plane share it out without overlap.
    """
    inside_y = (y_px >= box.y - 0.5) & (y_px < box.y + box.height - 0.5)
    inside: NDArray[np.bool_] = inside_y & (x_px >= box.x - 0.5) & (x_px < box.x + box.width - 0.5)
    return inside


def number_column(numbers: NDArray[np.int64]) -> ObjectColumn:
    """Return the column ``number``: the value of each object in the labels."""
    return ObjectColumn("number", "Number in the labels", "1", numbers.astype(np.float64))


def diameter_column(area_px: NDArray[np.float64], pixel_size_um: float) -> ObjectColumn:
    """Return the column ``diameter_um``: the diameter of a circle of the same area."""
    return ObjectColumn("diameter_um", "Equal-area diameter", "um", 2 * np.sqrt(area_px / np.pi) * pixel_size_um)


def label_objects(
    box: Box,
    labels_of: Callable[[Box], NDArray[np.int64]],
    reach_px: int,
    name: str,
    label: str,
    pixel_size_um: float,
) -> Objects:
    """Return the objects whose centroid lies in a box, each whole.

    Parameters
    ----------
    box : Box
        Where to look.
    labels_of : callable
        ``labels_of(box)`` returns the object numbers of a box, 0 for none.
    reach_px : int
        No pixel of an object is farther than this from its centroid.
    name, label : str
        See `cemi_core.model.objects.Objects`.
    pixel_size_um : float
        For the diameter.

    Returns
    -------
    Objects
        With the columns ``number`` and ``diameter_um``, and outlines along the outermost pixels' centres.
    """
    parts = []
    for part in box.tiles(_PART_PX, _PART_PX):
        grown = part.grown(reach_px)
        parts.append(_counted(part, grown, labels_of(grown), name, label, pixel_size_um))
    return joined_objects(parts) if parts else _empty(name, label)


def _counted(part: Box, grown: Box, labels: NDArray[np.int64], name: str, label: str, pixel_size_um: float) -> Objects:
    numbers, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape)
    area = np.bincount(index.ravel(), minlength=len(numbers)).astype(np.float64)
    rows = np.repeat(np.arange(labels.shape[0], dtype=np.float64), labels.shape[1])
    columns = np.tile(np.arange(labels.shape[1], dtype=np.float64), labels.shape[0])
    # sums of whole numbers are exact, so that a centroid is the same to the last bit in every box
    y = (np.bincount(index.ravel(), rows) + area * grown.y) / area
    x = (np.bincount(index.ravel(), columns) + area * grown.x) / area
    keep = np.flatnonzero(lies_in(part, y, x) & (numbers != 0))
    windows = find_objects(index + 1)
    outlines = [_outline(index[windows[k]] == k, windows[k], grown) for k in keep]
    start = np.concatenate([[0], np.cumsum([len(outline) for outline in outlines])]).astype(np.int64)
    return Objects(
        name,
        label,
        y[keep],
        x[keep],
        area[keep],
        columns=(number_column(numbers[keep]), diameter_column(area[keep], pixel_size_um)),
        outline_px=np.concatenate([*outlines, np.empty((0, 2), np.float32)]),
        outline_start=start,
    )


def _outline(mask: NDArray[np.bool_], window: tuple[slice, slice], grown: Box) -> NDArray[np.float32]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    longest = max(contours, key=cv2.contourArea)[:, 0, ::-1].astype(np.float32)
    origin = np.array([window[0].start + grown.y, window[1].start + grown.x], np.float32)
    return np.asarray(longest + origin, np.float32)


def _empty(name: str, label: str) -> Objects:
    nothing = np.empty(0, np.float64)
    columns = (number_column(np.empty(0, np.int64)), diameter_column(nothing, 1.0))
    return Objects(name, label, nothing, nothing, nothing, columns=columns)
