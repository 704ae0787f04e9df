"""Prepares a frame for correlation: noise between pixels smoothed, shading taken out.

The same steps by OpenCV where the correlation runs on the CPU and by kornia where it runs on a GPU; they agree to 1e-5.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Standard deviation of the Gaussian that counts as shading, as a share of a frame's shorter side.
SHADING_SCALE = 1 / 16


def prepared(image: NDArray[np.float32], smoothing_px: float, device: str) -> Tensor:
    """Return ``image`` on ``device``, smoothed and without its slow variation.

    A light Gaussian lowers noise and keeps the peak of a correlation wide. What varies slowly over a frame is shading,
    vignetting or charging as often as specimen, and would correlate at no shift.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        On the [0, 1] scale; NaN where nothing was imaged.
    smoothing_px : float
        Standard deviation of the Gaussian; 0 leaves it out.
    device : str
        A torch device.

    Returns
    -------
    Tensor of float32, shape (h, w)
        Mean near 0; 0 where ``image`` is NaN.
    """
    valid = np.isfinite(image)
    if not valid.all():
        image = np.where(valid, image, image[valid].mean() if valid.any() else 0)
    image = np.ascontiguousarray(image, np.float32)
    if device == "cpu":
        result = torch.from_numpy(_prepared_on_cpu(image, smoothing_px))
    else:
        result = prepared_by_kornia(torch.from_numpy(image).to(device), smoothing_px)
    if not valid.all():
        result = torch.where(torch.from_numpy(valid).to(device), result, torch.zeros_like(result))
    return result


def _prepared_on_cpu(image: NDArray[np.float32], smoothing_px: float) -> NDArray[np.float32]:
    if smoothing_px > 0:
        size = _kernel_size(smoothing_px)
        image = cv2.GaussianBlur(image, (size, size), smoothing_px, borderType=cv2.BORDER_REFLECT_101)
    step, sigma = _slow_scale(image.shape)
    height, width = image.shape[0] // step, image.shape[1] // step
    small = cv2.resize(image[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA)
    slow = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    prepared_image: NDArray[np.float32] = image - cv2.resize(slow, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return prepared_image


def prepared_by_kornia(frame: Tensor, smoothing_px: float) -> Tensor:
    """Do the same on the device where ``frame`` (h, w) lies; it holds no NaN."""
    from kornia.filters import gaussian_blur2d

    shape = (int(frame.shape[0]), int(frame.shape[1]))
    if smoothing_px > 0:
        size = _kernel_size(smoothing_px)
        frame = gaussian_blur2d(frame[None, None], (size, size), (smoothing_px, smoothing_px), "reflect")[0, 0]
    step, sigma = _slow_scale(shape)
    small = torch.nn.functional.avg_pool2d(frame[None, None], step)
    reach = min(math.ceil(4 * sigma), *(side - 1 for side in small.shape[-2:]))
    slow = gaussian_blur2d(small, (2 * reach + 1, 2 * reach + 1), (sigma, sigma), "reflect") if reach else small
    return frame - torch.nn.functional.interpolate(slow, size=shape, mode="bilinear", align_corners=False)[0, 0]


def _kernel_size(smoothing_px: float) -> int:
    return 2 * math.ceil(3 * smoothing_px) + 1


def _slow_scale(shape: tuple[int, ...]) -> tuple[int, float]:
    """Return the block that is averaged before the wide Gaussian, and its standard deviation in blocks."""
    step = max(1, min(shape) // 32)
    return step, SHADING_SCALE * min(shape) / step
