"""Filters, pyramids and warps of kornia beside those that the stitcher uses: CPU time per frame and error.

    python benchmarks/kornia_or_opencv.py [--frames 8]

One thread. Errors of warps are root mean square against the scene itself (periods of 10 to 13 px, contrast 0.2).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from kornia.geometry import transform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cemi_analyze.picture.orientation import structure_tensor
from cemi_core.model.corrections import straightened
from cemi_core.numeric.cubic import keys_weights

SHAPE = (628, 1012)
SHIFT = (0.3, 0.6)
TURN = math.radians(1.0)

Image = NDArray[np.float32]


def milliseconds(work: Callable[[], object], frames: int) -> float:
    work()
    taken = []
    for _ in range(5):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return 1000 * float(np.median(taken)) / frames


def row(name: str, now: Callable[[], object], kornia: Callable[[], object], frames: int, remark: str = "") -> None:
    print(f"{name:<28}{milliseconds(now, frames):9.2f}{milliseconds(kornia, frames):9.2f}  {remark}")


def scene(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 + 0.2 * np.sin(y / 1.6) * np.cos(x / 2.1) + 0.1 * np.sin((x + y) / 3)


def filters(images: list[Image], batch: torch.Tensor) -> None:
    count, size = len(images), (11, 11)
    small = [cv2.resize(image, (SHAPE[1] // 13, SHAPE[0] // 13), interpolation=cv2.INTER_AREA) for image in images]
    halves = [cv2.pyrDown(image) for image in images]
    small_batch, half_batch = (torch.from_numpy(np.stack(group))[:, None] for group in (small, halves))
    row(
        "Gaussian of 1.5 px",
        lambda: [cv2.GaussianBlur(image, size, 1.5, borderType=cv2.BORDER_REFLECT_101) for image in images],
        lambda: gaussian_blur2d(batch, size, (1.5, 1.5), "reflect"),
        count,
    )
    row(
        "Gaussian of 3 px, 48 x 77",
        lambda: [cv2.GaussianBlur(image, (19, 19), 3.0, borderType=cv2.BORDER_REFLECT_101) for image in small],
        lambda: gaussian_blur2d(small_batch, (19, 19), (3.0, 3.0), "reflect"),
        count,
    )
    row("pyramid, down", lambda: [cv2.pyrDown(i) for i in images], lambda: transform.pyrdown(batch), count)
    row(
        "pyramid, up",
        lambda: [cv2.pyrUp(half, dstsize=SHAPE[::-1]) for half in halves],
        lambda: transform.pyrup(half_batch),
        count,
    )

    def by_kornia() -> torch.Tensor:
        slopes = spatial_gradient(gaussian_blur2d(batch[:1], (7, 7), (0.7, 0.7), "reflect"))
        gx, gy = slopes[:, 0, 0], slopes[:, 0, 1]
        parts = torch.stack([gx * gx - gy * gy, 2 * gx * gy, gx * gx + gy * gy], 1)
        return gaussian_blur2d(parts, (49, 49), (6.0, 6.0), "reflect")

    row("structure tensor, 6 px", lambda: structure_tensor(images[0], 6.0), by_kornia, 1)


def warps() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    image = scene(y, x).astype(np.float32)
    batch = torch.from_numpy(image)[None, None]
    inner = slice(30, -30), slice(30, -30)

    def error(found: Image, truth: NDArray[np.float64]) -> float:
        return float(np.sqrt(np.mean((found - truth)[inner] ** 2)))

    weights = [keys_weights(part).astype(np.float32) for part in SHIFT]
    move = torch.tensor([[[1.0, 0.0, -SHIFT[1]], [0.0, 1.0, -SHIFT[0]]]])
    shifted = scene(y + SHIFT[0], x + SHIFT[1])
    affine = np.array([[math.cos(TURN), -math.sin(TURN)], [math.sin(TURN), math.cos(TURN)]])
    middle = (np.array(SHAPE) - 1) / 2
    place = np.einsum("ij,jyx->iyx", affine.T, np.stack([y, x]) - middle[:, None, None]) + middle[:, None, None]
    offset = middle - affine @ middle
    turn = torch.tensor([[[affine[1, 1], affine[1, 0], offset[1]], [affine[0, 1], affine[0, 0], offset[0]]]]).float()
    cases = (
        (
            "shift by (0.3, 0.6) px",
            lambda: cv2.sepFilter2D(image, cv2.CV_32F, weights[1], weights[0], anchor=(1, 1)),
            lambda: transform.warp_affine(batch, move, SHAPE, mode="bicubic", align_corners=True),
            shifted,
        ),
        (
            "turn by 1 degree",
            lambda: straightened(image, affine),
            lambda: transform.warp_affine(batch, turn, SHAPE, mode="bicubic", align_corners=True),
            scene(*place),
        ),
    )
    for name, now, kornia, truth in cases:
        errors = error(now(), truth), error(kornia()[0, 0].numpy(), truth)
        row(name, now, kornia, 1, f"errors {errors[0]:.1e} and {errors[1]:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8)
    count = parser.parse_args().frames
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    images = [gaussian_filter(rng.random(SHAPE, dtype=np.float32), 2.0) for _ in range(count)]
    print(f"{'CPU ms per frame':<28}{'now':>9}{'kornia':>9}")
    filters(images, torch.from_numpy(np.stack(images))[:, None])
    warps()


if __name__ == "__main__":
    main()
