"""How fine a picture's texture is, and what is done about its noise and its shading."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.numeric.noise import noise_std

#: Width of the local mean in waves of the texture, and its bounds in px.
_LEVELLING_WAVES = 1.2
_LEVELLING_PX = (10.0, 96.0)


def texture_length_px(image: NDArray[np.float32]) -> float:
    """Return the length of one wave of the texture, px: the period for stripes.

    Rice's ratio, 2 pi times the deviation of the grey levels over that of their slope (S. O. Rice, Bell Syst. Tech. J.
    1944, 23, 282), with the picture smoothed by 1 px first.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    slope = 0.5 * (np.mean(np.diff(smooth, axis=0) ** 2) + np.mean(np.diff(smooth, axis=1) ** 2))
    variance = float(smooth.var(dtype=np.float64))
    return 2 * math.pi * math.sqrt(variance / (2 * slope)) if slope > 0 else float("inf")


def smoothed_against_noise(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the picture after a Gaussian of 1 px if white noise is more than a tenth of all its variation.

    Pictures that a denoiser has been over pass untouched.
    """
    if noise_std(image, lines=None, every=2) > 0.1 * float(image.std(dtype=np.float64)):
        return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)
    return image


def levelled(image: NDArray[np.float32], valid: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float32]:
    """Return the picture minus its local mean: shading and the brightness of single grains drop out.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
    valid : ndarray of bool, shape (h, w)
        Pixels that count in the mean.
    sigma_px : float
        Width of the local mean: two box averages of together this deviation.
    """
    edge = 2 * round(sigma_px * math.sqrt(1.5)) + 1
    weight = valid.astype(np.float32)
    for _ in range(2):
        weight = np.asarray(cv2.blur(weight, (edge, edge), borderType=cv2.BORDER_REFLECT), np.float32)
    mean = np.where(valid, image, np.float32(0))
    for _ in range(2):
        mean = np.asarray(cv2.blur(mean, (edge, edge), borderType=cv2.BORDER_REFLECT), np.float32)
    return np.asarray(image - mean / np.maximum(weight, np.float32(1e-6)), np.float32)


def levelled_by_texture(image: NDArray[np.float32], valid: NDArray[np.bool_], length_px: float) -> NDArray[np.float32]:
    """Return the picture minus its mean over about a wave of its texture (`texture_length_px`), 10 to 96 px."""
    return levelled(image, valid, float(np.clip(_LEVELLING_WAVES * length_px, *_LEVELLING_PX)))
