"""How strong the noise of a picture is, from the picture alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_denoise.picture_filter import box_mean

#: A setting: standard deviation of the noise on the [0, 1] scale, or "auto" for `noise_map`.
Noise = Annotated[float, Field(gt=0, le=1)] | Literal["auto"]
NOISE_DESCRIPTION = (
    "Standard deviation of the noise, where 1 is the full grey range; 'auto' measures it around every pixel."
)

#: Pixels around a pixel that `noise_map` looks at.
NOISE_REACH_PX = 33
_LAPLACIAN_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_SCALE = float(np.sqrt(np.pi / 2) / 6)


def noise_map(image: NDArray[np.float32], imaged: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return the standard deviation of the noise around every pixel, (h, w), in the units of ``image``.

    The picture is filtered with the difference of two Laplacians, which answers neither to slopes nor to straight
    edges along y or x, but to noise with a standard deviation 6 times its own; the mean of its magnitude over
    65 x 65 px gives the estimate (Immerkaer, Comput. Vis. Image Underst. 64 (1996) 300). Since it is local it follows
    noise that grows with brightness, and tiles of a picture give what the whole gives.

    It is too high where the picture has diagonal detail of two or three pixels, and too low (by a third for a
    correlation of 0.4 between neighbours) where the detector has smeared the noise along the scan line.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite everywhere.
    imaged : ndarray of bool, shape (h, w), optional
        Pixels that count; None for all.
    """
    magnitude = np.abs(cv2.filter2D(image, cv2.CV_32F, _LAPLACIAN_DIFFERENCE, borderType=cv2.BORDER_REFLECT_101))
    width = 2 * NOISE_REACH_PX - 1
    if imaged is None:
        return box_mean(magnitude, (width, width)) * np.float32(_SCALE)
    whole = cv2.erode(imaged.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    weight = box_mean(whole, (width, width))
    total = box_mean(magnitude * whole, (width, width))
    some = weight > 0.5 / width**2
    return np.divide(total, weight, out=np.zeros_like(total), where=some) * np.float32(_SCALE)


def noise_of(noise: float | str, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return the noise that a setting means: a map, or an array of one number that broadcasts like one."""
    return noise_map(image, imaged) if isinstance(noise, str) else np.full((1, 1), noise, np.float32)
