"""Which way texture runs and how much of it runs that way: the structure tensor.

J. Bigun and G. H. Granlund, Proc. First Int. Conf. Computer Vision, London 1987, 433.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter


@dataclass(frozen=True)
class StructureTensor:
    """Smoothed products of the slopes of an image, pixel by pixel.

    Attributes
    ----------
    difference, product, energy : ndarray of float32, shape (h, w)
        Averages of gx^2 - gy^2, 2 gx gy and gx^2 + gy^2.
    """

    difference: NDArray[np.float32]
    product: NDArray[np.float32]
    energy: NDArray[np.float32]

    @property
    def coherency(self) -> NDArray[np.float32]:
        """How much of the texture runs one way, 0 (isotropic) to 1 (straight lines)."""
        # not cv2.magnitude, whose last digit depends on where in memory the arrays lie
        length = np.sqrt(self.difference**2 + self.product**2)
        return np.asarray(np.clip(length / np.maximum(self.energy, np.float32(1e-12)), 0, 1))

    @property
    def normal_rad(self) -> NDArray[np.float32]:
        """Direction across the lines, from x towards y, in (-pi/2, pi/2]."""
        return np.asarray(np.float32(0.5) * np.arctan2(self.product, self.difference))


def structure_tensor(image: NDArray[np.float32], window_px: float, smoothing_px: float = 0.7) -> StructureTensor:
    """Return the structure tensor of an image with a Gaussian window; slopes by Scharr's operator.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Finite.
    window_px : float
        Standard deviation of the window; about one period of the lines.
    smoothing_px : float
        Standard deviation of the Gaussian before the slopes are taken.
    """
    smooth = gaussian_filter(image, smoothing_px, mode="mirror") if smoothing_px > 0 else image
    step, across = np.array([-0.5, 0.0, 0.5]), np.array([3.0, 10.0, 3.0]) / 16
    gy, gx = (
        correlate1d(correlate1d(smooth, step, axis, mode="mirror"), across, 1 - axis, mode="mirror") for axis in (0, 1)
    )
    xx, yy = gx * gx, gy * gy
    averaged = [gaussian_filter(part, window_px, mode="mirror") for part in (xx - yy, 2 * gx * gy, xx + yy)]
    return StructureTensor(averaged[0], averaged[1], averaged[2])


def mean_tensor(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the structure tensor averaged over a whole image (h, w), shape (2, 2), (y, x); slopes by differences."""
    gy, gx = np.gradient(image.astype(np.float64))
    return np.array([[np.mean(gy * gy), np.mean(gy * gx)], [np.mean(gy * gx), np.mean(gx * gx)]])


def principal_axis(tensor: NDArray[np.float64]) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Return the unit vector (y, x), y >= 0, along which an image changes most, and both eigenvalues, smaller first."""
    normal = np.linalg.eigh(tensor)[1][:, 1]
    normal = normal if normal[0] > 0 else -normal
    return (float(normal[0]), float(normal[1])), np.asarray(np.linalg.eigvalsh(tensor), np.float64)
