"""The mean of the pixels around every pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def box_mean(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the mean over a (width, height) box around every pixel; the picture is mirrored at its edges."""
    return cv2.boxFilter(image, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
