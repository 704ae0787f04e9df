"""The microscope's screen: the picture as it refreshes, a data bar below it, at times a coloured marker on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BAR_GREY = 18
_INK = 235
#: Green of the marker, R G B: hue 68 in OpenCV's scale of 0 to 179, inside the 35-90 by which Lang et al. find it.
MARKER_RGB = (20, 220, 70)


def data_bar(width: int, height: int, pixel_size_um: float) -> NDArray[np.uint8]:
    """Return the strip below the picture: scale bar and the usual words.

    Parameters
    ----------
    width, height : int
        Size, px; a height of 0 gives no strip.
    pixel_size_um : float
        Edge of a pixel, for the scale bar.

    Returns
    -------
    ndarray of uint8, shape (height, width)
    """
    bar = np.full((height, width), _BAR_GREY, np.uint8)
    if height == 0:
        return bar
    lengths_um = [m * 10.0**e for e in range(-6, 6) for m in (1, 2, 5)]
    length_um = max(length for length in lengths_um if length <= 0.22 * width * pixel_size_um)
    length_px = round(length_um / pixel_size_um)
    middle, scale = height // 2, max(0.3, height / 95)
    cv2.rectangle(bar, (10, middle + 2), (10 + length_px, middle + 4), _INK, -1)
    label = f"{length_um:g} um" if length_um >= 1 else f"{1000 * length_um:g} nm"
    pixel = f"{1000 * pixel_size_um:.0f}" if pixel_size_um >= 1e-3 else f"{1000 * pixel_size_um:.3g}"
    cv2.putText(bar, label, (10, middle - 3), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    words = f"CEMI virtual SEM   BSE   20 kV   pixel {pixel} nm"
    cv2.putText(bar, words, (25 + length_px, middle + 5), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    return bar


def marker_mask(shape: tuple[int, int], y: float, x: float) -> NDArray[np.bool_]:
    """Return the pixels of a cross in a box, as a measuring tool leaves it, at a relative place (0 to 1)."""
    mask = np.zeros(shape, np.uint8)
    size = max(6, shape[0] // 12)
    centre = (int(size + x * (shape[1] - 2 * size)), int(size + y * (shape[0] - 2 * size)))
    cv2.rectangle(mask, (centre[0] - size, centre[1] - size), (centre[0] + size, centre[1] + size), 1, 2)
    cv2.drawMarker(mask, centre, 1, cv2.MARKER_CROSS, size, 2)
    return mask.astype(bool)


def to_yuv420(grey: NDArray[np.uint8], marker: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Return a grey screen with an optional green marker as planar YUV 4:2:0, video range (BT.601).

    Parameters
    ----------
    grey : ndarray of uint8, shape (h, w)
        Both even.
    marker : ndarray of bool, shape (<= h, w), optional
        Where the marker covers the screen, from the top.

    Returns
    -------
    ndarray of uint8, shape (h * 3 / 2, w)
        As `av.VideoFrame.from_ndarray` takes it for ``yuv420p``.
    """
    height, width = grey.shape
    planes = np.empty((height * 3 // 2, width), np.uint8)
    cv2.LUT(grey, _VIDEO_RANGE, planes[:height])
    planes[height:] = 128
    if marker is not None:
        luma, blue, red = _bt601(*MARKER_RGB)
        planes[: len(marker)][marker] = luma
        covered = marker[: len(marker) // 2 * 2].reshape(-1, 2, width // 2, 2).any(axis=(1, 3))
        quarter = height // 4
        for start, value in ((height, blue), (height + quarter, red)):
            plane = planes[start : start + quarter].reshape(height // 2, width // 2)
            plane[: len(covered)][covered] = value
    return planes


_VIDEO_RANGE = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8)


def _bt601(r: int, g: int, b: int) -> tuple[int, int, int]:
    luma = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    blue = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    red = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return round(luma), round(blue), round(red)
