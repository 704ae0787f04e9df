"""How strong the noise of a picture is, from the picture alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.numeric.noise import IMMERKAER_MASK
from cemi_denoise.noise.box_mean import box_mean

#: A setting: standard deviation of the noise on the [0, 1] scale, or "auto" for `noise_map`.
Noise = Annotated[float, Field(gt=0, le=1)] | Literal["auto"]
NOISE_DESCRIPTION = (
    "Standard deviation of the noise, where 1 is the full grey range; 'auto' measures it around every pixel."
)

_WINDOW_RADIUS_PX = 32
_GREY_RADIUS_PX = 3
#: Pixels around a pixel that `noise_map` looks at.
NOISE_REACH_PX = _WINDOW_RADIUS_PX + _GREY_RADIUS_PX
_SCALE = float(np.sqrt(np.pi / 2) / 6)


def noise_map(image: NDArray[np.float32], imaged: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return the standard deviation of the noise around every pixel, (h, w), in the units of ``image``.

    The picture is filtered with the difference of two Laplacians, which answers neither to slopes nor to straight
    edges along y or x, but to noise with a standard deviation 6 times its own; the mean of its magnitude gives the
    estimate (Immerkaer, Comput. Vis. Image Underst. 64 (1996) 300). Counted electrons scatter more where it is
    brighter, so a straight line of that magnitude over the mean of 7 x 7 px is fitted in the 65 x 65 px around each
    pixel, and read at the pixel's own mean. All of it is local: tiles of a picture give what the whole gives.

    It is too high where the picture has diagonal detail of two or three pixels, and too low (by a third for a
    correlation of 0.4 between neighbours) where the detector has smeared the noise along the scan line.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite everywhere.
    imaged : ndarray of bool, shape (h, w), optional
        Pixels that count; None for all.
    """
    grey = box_mean(image, (2 * _GREY_RADIUS_PX + 1,) * 2)
    answer = cv2.filter2D(image, cv2.CV_32F, IMMERKAER_MASK, borderType=cv2.BORDER_REFLECT_101)
    noise = np.abs(answer) * np.float32(_SCALE)
    around = _LocalMean(imaged, image.shape)
    mean_noise, mean_grey = around(noise), around(grey)
    covariance = around(noise * grey) - mean_noise * mean_grey
    # what noise alone makes of the spread of the greys, several times: no line is fitted to that
    spread = np.maximum(around(grey * grey) - mean_grey**2, 0) + mean_noise**2 / 10
    slope = np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)
    return np.clip(mean_noise + slope * (grey - mean_grey), mean_noise / 4, mean_noise * 4)


class _LocalMean:
    """The mean of the imaged pixels around every pixel; those beside a missing one do not count."""

    def __init__(self, imaged: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> None:
        self._size = (2 * _WINDOW_RADIUS_PX + 1,) * 2
        self._counted = None
        if imaged is not None:
            self._counted = cv2.erode(imaged.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
            self._weight = box_mean(self._counted, self._size)
            self._some = self._weight > 0.5 / self._size[0] ** 2

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._counted is None:
            return box_mean(image, self._size)
        total = box_mean(image * self._counted, self._size)
        return np.divide(total, self._weight, out=np.zeros_like(total), where=self._some)


def noise_of(noise: float | str, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return the noise that a setting means: a map, or an array of one number that broadcasts like one."""
    return noise_map(image, imaged) if isinstance(noise, str) else np.full((1, 1), noise, np.float32)
