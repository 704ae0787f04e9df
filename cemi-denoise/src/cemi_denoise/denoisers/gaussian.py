"""The Gaussian filter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.picture_filter import PictureFilter


class GaussianSettings(Settings):
    """Settings of the denoiser ``gaussian``."""

    sigma_px: float = Field(1.0, gt=0, le=50, description="Standard deviation of the Gaussian, px.")


@dataclass(frozen=True)
class GaussianDenoiser(PictureFilter):
    """Replaces every pixel by the Gaussian mean of its neighbourhood.

    Parameters
    ----------
    sigma_px : float
        Standard deviation of the Gaussian, px.
    """

    sigma_px: float = 1.0

    @property
    def reach(self) -> int:
        """Four standard deviations."""
        return math.ceil(4 * self.sigma_px)

    def filter(self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return the blurred picture."""
        size = 2 * self.reach + 1
        return cv2.GaussianBlur(image, (size, size), self.sigma_px, borderType=cv2.BORDER_REFLECT)


def make(settings: GaussianSettings, runtime: Runtime) -> GaussianDenoiser:
    """Make the denoiser from checked settings."""
    return GaussianDenoiser(settings.sigma_px, threads=runtime.threads)
