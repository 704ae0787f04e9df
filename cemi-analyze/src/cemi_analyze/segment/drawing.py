"""Cells as people look at them: regions outlined in the colours of their classes, and a heat over the grey levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cemi_core.model.classes import ClassLabel

_HEAT = (213, 94, 0)  # vermilion, of Okabe and Ito
_DEFAULT = "#0072b2"


def outlined(
    grey: NDArray[np.float32],
    classes: NDArray[np.integer],
    labels: Sequence[ClassLabel],
    heat: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Return an image (h, w, 3) with the edges of each region.

    Parameters
    ----------
    grey : ndarray of float32, shape (h, w)
        In [0, 1].
    classes : ndarray of int, shape (h, w)
    labels : sequence of ClassLabel
        The legend; edges of the first class are not drawn.
    heat : ndarray of float32, shape (h, w), optional
        0 to 1, laid over the image.
    """
    image = np.repeat(np.clip(np.nan_to_num(grey), 0, 1)[..., None] * 255, 3, axis=2)
    if heat is not None:
        weight = 0.6 * np.clip(heat, 0, 1)[..., None]
        image = image * (1 - weight) + np.array(_HEAT) * weight
    for index, label in enumerate(labels[1:], start=1):
        mask = classes == index
        colour = label.colour or _DEFAULT
        image[mask & ~ndimage.binary_erosion(mask, iterations=2, border_value=1)] = [
            int(colour[i : i + 2], 16) for i in (1, 3, 5)
        ]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
