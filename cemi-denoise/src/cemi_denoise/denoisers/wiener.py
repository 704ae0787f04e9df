"""The adaptive Wiener filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.picture_filter import PictureFilter
from cemi_denoise.noise.box_mean import box_mean
from cemi_denoise.noise.level import NOISE_DESCRIPTION, NOISE_REACH_PX, Noise, noise_of


class WienerSettings(Settings):
    """Settings of the denoiser ``wiener``."""

    window_px: Literal[3, 5, 7, 9, 11] = Field(
        5, description="Edge of the square whose mean and variance are used, px."
    )
    noise: Noise = Field("auto", description=NOISE_DESCRIPTION)


@dataclass(frozen=True)
class WienerDenoiser(PictureFilter):
    """Draws every pixel towards its local mean, the more the less the local variance exceeds that of the noise.

    Lim, Two-Dimensional Signal and Image Processing, Prentice Hall 1990, eq. 9.26-9.29 (MATLAB's ``wiener2``,
    ``scipy.signal.wiener``), with the noise measured around each pixel instead of once.

    Parameters
    ----------
    window_px : int
        Edge of the square, px, odd.
    noise : float or "auto"
        Standard deviation of the noise on the [0, 1] scale.
    """

    window_px: int = 5
    noise: float | Literal["auto"] = "auto"

    @property
    def reach(self) -> int:
        """Half the square, or what the estimate of the noise looks at."""
        return max(self.window_px // 2, NOISE_REACH_PX if self.noise == "auto" else 0)

    def filter(self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return local mean + gain x (pixel - local mean)."""
        size = (self.window_px, self.window_px)
        mean = box_mean(image, size)
        # of the difference to a level near the mean, since the variance of large numbers loses digits
        level = np.float32(image.mean())
        variance = (
            cv2.sqrBoxFilter(image - level, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT) - (mean - level) ** 2
        )
        noise = noise_of(self.noise, image, imaged) ** 2
        np.maximum(variance, noise, out=variance)
        gain = np.divide(variance - noise, variance, out=np.zeros_like(variance), where=variance > 0)
        return mean + gain * (image - mean)


def make(settings: WienerSettings, runtime: Runtime) -> WienerDenoiser:
    """Make the denoiser from checked settings."""
    return WienerDenoiser(settings.window_px, settings.noise, threads=runtime.threads)
