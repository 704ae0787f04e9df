"""The structure tensor by OpenCV, faster than `cemi_core.numeric.structure_tensor`, and its value by chance."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cemi_core.numeric.structure_tensor import StructureTensor


def slopes(image: NDArray[np.float32], smoothing_px: float = 0.7) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the slopes (gy, gx) of a lightly smoothed picture by Scharr's operator."""
    smooth = cv2.GaussianBlur(image, (0, 0), smoothing_px) if smoothing_px > 0 else image
    scale = 1 / 32
    gy, gx = (cv2.Scharr(smooth, cv2.CV_32F, *order, scale=scale) for order in ((0, 1), (1, 0)))
    return np.asarray(gy, np.float32), np.asarray(gx, np.float32)


def structure_tensor(image: NDArray[np.float32], window_px: float, smoothing_px: float = 0.7) -> StructureTensor:
    """Return the structure tensor with a Gaussian window, as `cemi_core.numeric.structure_tensor` defines it.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
    window_px : float
        Deviation of the window; about one period of the lines.
    smoothing_px : float
        Deviation of the smoothing before the slopes are taken.
    """
    gy, gx = slopes(image, smoothing_px)
    xx, yy = gx * gx, gy * gy
    parts = (xx - yy, 2 * gx * gy, xx + yy)
    averaged = [np.asarray(cv2.GaussianBlur(part, (0, 0), window_px), np.float32) for part in parts]
    return StructureTensor(averaged[0], averaged[1], averaged[2])


def isotropic_twin(image: NDArray[np.float32], size_px: int, seed: int = 0) -> NDArray[np.float32]:
    """Return a random picture that has the spectrum of ``image`` averaged over all directions, and nothing else of it.

    It holds the same noise and the same fineness of texture but no preferred direction: what a coherency is to be
    measured against (surrogates as of Theiler et al., Physica D 1992, 58, 77).

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Its middle ``size_px`` (or what there is) is looked at.
    size_px : int
        Edge of the twin.
    seed : int
    """
    size_y, size_x = min(size_px, image.shape[0]), min(size_px, image.shape[1])
    top, left = (image.shape[0] - size_y) // 2, (image.shape[1] - size_x) // 2
    part = image[top : top + size_y, left : left + size_x]
    window = np.hanning(size_y)[:, None].astype(np.float32) * np.hanning(size_x)[None, :].astype(np.float32)
    spectrum = fft.rfft2((part - part.mean()) * window, (size_px, size_px))
    power = spectrum.real**2 + spectrum.imag**2
    ring = np.rint(np.hypot(fft.fftfreq(size_px)[:, None], fft.rfftfreq(size_px)[None, :]) * size_px).astype(np.int64)
    mean_power = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    noise = fft.rfft2(np.random.default_rng(seed).standard_normal((size_px, size_px), np.float32))
    return np.asarray(fft.irfft2(noise * np.sqrt(mean_power).astype(np.float32)[ring], (size_px, size_px)))
