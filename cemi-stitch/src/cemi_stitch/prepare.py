"""Prepares frames for correlation: noise between pixels smoothed, shading taken out.

The same steps by OpenCV where the correlation runs on the CPU and by kornia where it runs on a GPU; they agree to 1e-4.
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
#: Where OpenCV filters; kornia does it everywhere else.
OPENCV_DEVICES: tuple[str, ...] = ("cpu",)


def shading_sigma_px(shape: tuple[int, ...]) -> float:
    """Return the standard deviation of the Gaussian that counts as shading in frames of ``shape``, px."""
    return max(1.0, SHADING_SCALE * min(shape))


def smoothed(image: NDArray[np.float32], smoothing_px: float, device: str) -> Tensor:
    """Return ``image`` on ``device``, smoothed: it lowers noise and keeps the peak of a correlation wide.

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
        Finite; the mean of the frame where ``image`` is NaN.
    """
    valid = np.isfinite(image)
    if not valid.all():
        image = np.where(valid, image, image[valid].mean() if valid.any() else 0)
    image = np.ascontiguousarray(image, np.float32)
    if smoothing_px == 0:
        return torch.from_numpy(image).to(device)
    if device not in OPENCV_DEVICES:
        return smoothed_by_kornia(torch.from_numpy(image).to(device), smoothing_px)
    size = _kernel_size(smoothing_px)
    return torch.from_numpy(cv2.GaussianBlur(image, (size, size), smoothing_px, borderType=cv2.BORDER_REFLECT_101))


def without_shading(picture: Tensor, sigma_px: float) -> Tensor:
    """Return a picture (h, w) without what varies slowly over it.

    That is shading, vignetting or charging as often as specimen, and would correlate at no shift. Two frames must be
    cut to their overlap first: the filter sees no farther than the edge of the picture, and would put different values
    into the same place of the specimen.
    """
    if picture.device.type not in OPENCV_DEVICES:
        return without_shading_by_kornia(picture, sigma_px)
    image = picture.numpy()
    step = _block(image.shape, sigma_px)
    height, width = image.shape[0] // step, image.shape[1] // step
    small = cv2.resize(image[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA)
    sizes = _slow_kernel(small.shape, sigma_px / step)
    slow = cv2.GaussianBlur(small, sizes[::-1], sigma_px / step, borderType=cv2.BORDER_REFLECT_101)
    return torch.from_numpy(image - cv2.resize(slow, image.shape[::-1], interpolation=cv2.INTER_LINEAR))


def smoothed_by_kornia(picture: Tensor, smoothing_px: float) -> Tensor:
    """Do what `smoothed` does, on the device where ``picture`` (h, w) lies."""
    from kornia.filters import gaussian_blur2d

    size = _kernel_size(smoothing_px)
    return gaussian_blur2d(picture[None, None], (size, size), (smoothing_px, smoothing_px), "reflect")[0, 0]


def without_shading_by_kornia(picture: Tensor, sigma_px: float) -> Tensor:
    """Do what `without_shading` does, on the device where ``picture`` (h, w) lies."""
    from kornia.filters import gaussian_blur2d

    step = _block(picture.shape, sigma_px)
    small = torch.nn.functional.avg_pool2d(picture[None, None], step)
    sigma = sigma_px / step
    slow = gaussian_blur2d(small, _slow_kernel(small.shape[-2:], sigma), (sigma, sigma), "reflect")
    shape = (int(picture.shape[0]), int(picture.shape[1]))
    return picture - torch.nn.functional.interpolate(slow, size=shape, mode="bilinear", align_corners=False)[0, 0]


def _kernel_size(smoothing_px: float) -> int:
    return 2 * math.ceil(3 * smoothing_px) + 1


def _block(shape: tuple[int, ...], sigma_px: float) -> int:
    """Return the edge of the blocks averaged before the wide Gaussian, px: a third of its standard deviation."""
    return max(1, min(int(sigma_px / 3), min(shape) // 4))


def _slow_kernel(shape: tuple[int, ...], sigma: float) -> tuple[int, int]:
    """Return the kernel's (height, width), odd, no more than reflection at the edges allows."""
    reach = [min(math.ceil(3 * sigma), int(side) - 1) for side in shape]
    return 2 * reach[0] + 1, 2 * reach[1] + 1
