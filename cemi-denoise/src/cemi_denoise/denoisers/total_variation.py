"""Total variation denoising."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.picture_filter import PictureFilter
from cemi_denoise.noise.level import NOISE_DESCRIPTION, NOISE_REACH_PX, Noise, noise_of


class TvSettings(Settings):
    """Settings of the denoiser ``tv``."""

    strength: float = Field(0.7, gt=0, le=20, description="Weight of the total variation in units of the noise.")
    noise: Noise = Field("auto", description=NOISE_DESCRIPTION)
    iterations: int = Field(
        30, ge=5, le=300, description="Steps towards the minimum; also the reach of the filter, px."
    )


@dataclass(frozen=True)
class TvDenoiser(PictureFilter):
    """Finds the picture u near the noisy f that varies least: minimum of 1/2 |u - f|^2 + strength x noise x |grad u|.

    Rudin, Osher and Fatemi, Physica D 60 (1992) 259, solved by fast gradient projection on the dual (Beck and
    Teboulle, IEEE Trans. Image Process. 18 (2009) 2419). The number of steps is fixed, so a pixel depends on no other
    farther away than that: tiles join exactly. The mean grey level is kept exactly.

    Parameters
    ----------
    strength : float
        Weight of the total variation in units of the noise.
    noise : float or "auto"
        Standard deviation of the noise on the [0, 1] scale.
    iterations : int
        Steps towards the minimum.
    """

    strength: float = 0.7
    noise: float | Literal["auto"] = "auto"
    iterations: int = 30

    @property
    def reach(self) -> int:
        """A pixel per step, and what the estimate of the noise looks at."""
        return self.iterations + 1 + (NOISE_REACH_PX if self.noise == "auto" else 0)

    def filter(self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return the picture that the last step reaches."""
        weight = np.broadcast_to(np.float32(self.strength) * noise_of(self.noise, image, imaged), image.shape)
        return minimise_total_variation(image, weight, self.iterations)


def minimise_total_variation(
    image: NDArray[np.float32], weight: NDArray[np.float32], iterations: int
) -> NDArray[np.float32]:
    """Return ``image`` + div p, p the dual field after ``iterations`` steps; all (h, w), ``weight`` bounds |p|."""
    slope = np.zeros((2, *image.shape), np.float32)  # p, along y and x
    ahead, step = slope.copy(), slope.copy()
    u, scale = np.empty_like(image), np.empty_like(image)
    floor = np.maximum(weight, np.float32(1e-12))
    momentum = 1.0
    for _ in range(iterations):
        _add_divergence(image, ahead, out=u)
        _gradient(u, out=step)
        step *= np.float32(1 / 8)
        step += ahead
        _length(step, out=scale, work=u)
        np.maximum(scale, floor, out=scale)
        np.divide(weight, scale, out=scale)
        step *= scale
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        np.subtract(step, slope, out=ahead)
        ahead *= np.float32((momentum - 1) / following)
        ahead += step
        slope, step, momentum = step, slope, following
    _add_divergence(image, slope, out=u)
    return u


def _gradient(image: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the differences to the next pixel along y and x; 0 at the last row and column."""
    np.subtract(image[1:], image[:-1], out=out[0, :-1])
    np.subtract(image[:, 1:], image[:, :-1], out=out[1, :, :-1])
    out[0, -1] = 0
    out[1, :, -1] = 0


def _length(field: NDArray[np.float32], out: NDArray[np.float32], work: NDArray[np.float32]) -> None:
    """Write the length of the vectors ``field``.

    Not `cv2.magnitude`: its last digit depends on where in memory the arrays lie.
    """
    np.multiply(field[0], field[0], out=out)
    np.multiply(field[1], field[1], out=work)
    out += work
    np.sqrt(out, out=out)


def _add_divergence(image: NDArray[np.float32], field: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write ``image`` + div ``field``; div is minus the adjoint of `_gradient`."""
    down, right = field
    np.add(image, down, out=out)
    out += right
    out[1:] -= down[:-1]
    out[:, 1:] -= right[:, :-1]


def make(settings: TvSettings, runtime: Runtime) -> TvDenoiser:
    """Make the denoiser from checked settings."""
    return TvDenoiser(settings.strength, settings.noise, settings.iterations, threads=runtime.threads)
