"""Prepares frames for correlation: noise between pixels smoothed, shading taken out.

The same steps by OpenCV where the correlation runs on the CPU, by kornia and torch where it runs on a GPU; they agree
to 1e-4. On one core OpenCV smooths a frame of 628 x 1012 px in 1.2 ms, kornia (batches of 8) in 6.9 ms; the wide
Gaussian of a pooled frame takes 0.02 and 0.25 ms (`benchmarks/kornia_or_opencv.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

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


def pooled(picture: Tensor, factor: int) -> Tensor:
    """Return a picture (h, w) averaged over whole blocks, (h // factor, w // factor)."""
    if picture.device.type not in OPENCV_DEVICES:
        return torch.nn.functional.avg_pool2d(picture[None, None], factor)[0, 0]
    return torch.from_numpy(_block_means(picture.numpy(), factor))


def _block_means(image: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    height, width = image.shape[0] // step, image.shape[1] // step
    whole = image[: height * step, : width * step]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def without_shading(picture: Tensor, sigma_px: float) -> Tensor:
    """Return a picture (h, w) without what varies slowly over it.

    That is shading, vignetting or charging as often as specimen, and would correlate at no shift. Two frames must be
    cut to their overlap first: the filter sees no farther than the edge of the picture, and would put different values
    into the same place of the specimen.
    """
    if picture.device.type not in OPENCV_DEVICES:
        return without_shading_by_torch(picture[None], [(int(picture.shape[0]), int(picture.shape[1]))], sigma_px)[0]
    image = picture.numpy()
    step = shading_block(image.shape, sigma_px)
    small = _block_means(image, step)
    sizes = [2 * _slow_reach(side, sigma_px / step) + 1 for side in small.shape]
    slow = cv2.GaussianBlur(small, sizes[::-1], sigma_px / step, borderType=cv2.BORDER_REFLECT_101)
    return torch.from_numpy(image - cv2.resize(slow, image.shape[::-1], interpolation=cv2.INTER_LINEAR))


def smoothed_by_kornia(picture: Tensor, smoothing_px: float) -> Tensor:
    """Do what `smoothed` does, on the device where ``picture`` (h, w) lies."""
    from kornia.filters import gaussian_blur2d

    size = _kernel_size(smoothing_px)
    return gaussian_blur2d(picture[None, None], (size, size), (smoothing_px, smoothing_px), "reflect")[0, 0]


def without_shading_by_torch(pictures: Tensor, sizes: Sequence[tuple[int, int]], sigma_px: float) -> Tensor:
    """Do what `without_shading` does to a batch, by three matrix products per picture, on any device.

    Parameters
    ----------
    pictures : Tensor of float32, shape (n, h, w)
    sizes : sequence of tuple of int
        Height and width of each picture, at most (h, w); what lies beyond means nothing, before and after. All must
        have the same `shading_block`.
    sigma_px : float
        Standard deviation of the Gaussian, px.
    """
    step = shading_block(sizes[0], sigma_px)
    small = torch.nn.functional.avg_pool2d(pictures[:, None], step)[:, 0]
    spread = []
    for axis in (0, 1):
        lines, blocks = int(pictures.shape[1 + axis]), int(small.shape[1 + axis])
        operators = np.zeros((len(sizes), lines, blocks), np.float32)
        for n, size in enumerate(sizes):
            operators[n, : size[axis], : size[axis] // step] = _slow_operator(size[axis], step, sigma_px / step)
        spread.append(torch.from_numpy(operators).to(pictures.device))
    return pictures - spread[0] @ small @ spread[1].transpose(1, 2)


def _kernel_size(smoothing_px: float) -> int:
    return 2 * math.ceil(3 * smoothing_px) + 1


def shading_block(shape: Sequence[int], sigma_px: float) -> int:
    """Return the edge of the blocks averaged before the wide Gaussian, px: a third of its standard deviation."""
    return max(1, min(int(sigma_px / 3), min(shape) // 4))


def _slow_reach(blocks: int, sigma: float) -> int:
    """Return half the wide Gaussian's kernel, no more than reflection at the edges allows."""
    return min(math.ceil(3 * sigma), blocks - 1)


@lru_cache(maxsize=1024)
def _slow_operator(side: int, step: int, sigma: float) -> NDArray[np.float32]:
    """Return the matrix (side, side // step) from block means along one axis to what varies slowly, pixel by pixel.

    A Gaussian of ``sigma`` blocks, the ends reflected, then linear interpolation between the middles of the blocks.
    """
    blocks = side // step
    away = np.arange(-_slow_reach(blocks, sigma), _slow_reach(blocks, sigma) + 1)
    weight = np.exp(-(away**2) / (2 * sigma**2))
    blur = np.zeros((blocks, blocks))
    for k, share in zip(away.tolist(), (weight / weight.sum()).tolist(), strict=True):
        source = np.abs(np.arange(blocks) + k)
        blur[np.arange(blocks), np.where(source < blocks, source, 2 * (blocks - 1) - source)] += share
    place = np.clip((np.arange(side) + 0.5) * blocks / side - 0.5, 0, blocks - 1)
    below = np.minimum(place.astype(int), max(blocks - 2, 0))
    above = np.minimum(below + 1, blocks - 1)
    share_above = (place - below)[:, None]
    return np.asarray((1 - share_above) * blur[below] + share_above * blur[above], np.float32)
