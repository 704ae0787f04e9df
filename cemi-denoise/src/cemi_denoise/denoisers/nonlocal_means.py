"""Non-local means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.picture_filter import PictureFilter
from cemi_denoise.noise.level import NOISE_DESCRIPTION, NOISE_REACH_PX, Noise, noise_of

_TILE_PX = 256  # the arrays of a tile stay in the processor's cache


class NlmSettings(Settings):
    """Settings of the denoiser ``nlm``."""

    strength: float = Field(1.0, gt=0, le=10, description="How unlike a place may look, in units of the noise.")
    patch_px: Literal[3, 5, 7, 9] = Field(3, description="Edge of the squares that are compared, px.")
    search_radius_px: int = Field(7, ge=1, le=25, description="How far away along y and x places are compared, px.")
    noise: Noise = Field("auto", description=NOISE_DESCRIPTION)


@dataclass(frozen=True)
class NlmDenoiser(PictureFilter):
    """Replaces every pixel by the mean of the pixels nearby whose neighbourhoods look alike.

    Buades, Coll and Morel, Multiscale Model. Simul. 4 (2005) 490; weights exp(-max(d - 2 noise^2, 0) / h^2) with d the
    mean squared difference of two patches and h = strength x noise, as in their Image Process. On Line 1 (2011) 208.
    Computed offset by offset with running sums (Darbon et al., ISBI 2008, 1331), in float32.

    Parameters
    ----------
    strength : float
        h in units of the noise.
    patch_px : int
        Edge of the patches, px, odd.
    search_radius_px : int
        How far away along y and x places are compared, px.
    noise : float or "auto"
        Standard deviation of the noise on the [0, 1] scale.
    """

    strength: float = 1.0
    patch_px: int = 3
    search_radius_px: int = 7
    noise: float | Literal["auto"] = "auto"

    @property
    def reach(self) -> int:
        """The search radius and half a patch, and what the estimate of the noise looks at."""
        return self._margin + (NOISE_REACH_PX if self.noise == "auto" else 0)

    @property
    def _margin(self) -> int:
        return self.search_radius_px + self.patch_px // 2

    def filter(self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return the weighted means."""
        margin = self._margin
        noise = np.broadcast_to(noise_of(self.noise, image, imaged), image.shape)
        padded = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT)
        result = np.empty_like(image)
        for y in range(0, image.shape[0], _TILE_PX):
            for x in range(0, image.shape[1], _TILE_PX):
                tile = np.s_[y : y + _TILE_PX, x : x + _TILE_PX]
                around = padded[y : y + _TILE_PX + 2 * margin, x : x + _TILE_PX + 2 * margin]
                result[tile] = self._average(around, noise[tile])
        return result

    def _average(self, padded: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the means for the middle of ``padded``, which has the noise's shape and a margin around it."""
        variance = np.maximum(noise**2, np.float32(1e-14))
        fall = -1 / (np.float32(self.strength**2) * variance)
        level = 2 * variance
        half = self.patch_px // 2
        height, width = noise.shape
        size = (self.patch_px, self.patch_px)
        centre = padded[self._margin - half :, self._margin - half :][: height + 2 * half, : width + 2 * half]
        total = centre[half : half + height, half : half + width].copy()
        weights = np.ones_like(total)
        for dy, dx in self._offsets():
            top, left = self._margin - half + dy, self._margin - half + dx
            other = padded[top : top + height + 2 * half, left : left + width + 2 * half]
            difference = cv2.absdiff(centre, other)
            distance = cv2.sqrBoxFilter(difference, cv2.CV_32F, size)[half : half + height, half : half + width]
            weight = cv2.exp(np.minimum((distance - level) * fall, np.float32(0)))
            weights += weight
            total += weight * other[half : half + height, half : half + width]
        return total / weights

    def _offsets(self) -> Iterator[tuple[int, int]]:
        reach = range(-self.search_radius_px, self.search_radius_px + 1)
        return ((dy, dx) for dy in reach for dx in reach if (dy, dx) != (0, 0))


def make(settings: NlmSettings, runtime: Runtime) -> NlmDenoiser:
    """Make the denoiser from checked settings."""
    return NlmDenoiser(
        settings.strength, settings.patch_px, settings.search_radius_px, settings.noise, threads=runtime.threads
    )
