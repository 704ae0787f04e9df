"""BM3D behind CEMI's contract of a denoiser."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import MissingDependencyError
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.placed_filter import PlacedFilter
from cemi_denoise.noise.level import Noise
from cemi_denoise.noise.model import estimate_noise_sigma
from cemi_denoise_bm3d.windows import filter_in_windows

_LOG = logging.getLogger(__name__)
WINDOW_PX = 256
OVERLAP_PX = 64
#: Below this BM3D's thresholds have nothing to work with; a tenth of a grey level of 255.
_LEAST_NOISE = 0.1 / 255
#: BM3D compares squares of 8 px; thinner pictures are mirrored up to this.
_LEAST_EDGE_PX = 16


class Bm3dSettings(Settings):
    """Settings of the denoiser ``bm3d``."""

    noise: Noise = Field(
        "auto",
        description="Standard deviation of the noise, where 1 is the full grey range; 'auto' measures it in windows of "
        "256 px.",
    )


@dataclass(frozen=True)
class Bm3dDenoiser(PlacedFilter):
    """Finds squares that look alike, filters each group of them as one block, and averages what comes back.

    Dabov, Foi, Katkovnik and Egiazarian, IEEE Trans. Image Process. 16 (2007) 2080. The code is that of the authors'
    package ``bm3d``, for non-commercial use only. It is told that the noise is white.

    Parameters
    ----------
    noise : float or "auto"
        Standard deviation of the noise on the [0, 1] scale.
    """

    noise: float | Literal["auto"] = "auto"

    def prepare(self) -> None:
        """Import the package ``bm3d`` and say what its licence is, before the work starts.

        Raises
        ------
        MissingDependencyError
            The package ``bm3d`` is not installed.
        """
        _bm3d()

    @property
    def reach(self) -> int:
        """How far away missing pixels are filled from: farther than squares are compared (19 px)."""
        return 32

    @property
    def halo(self) -> int:
        """A whole window, and what filling missing pixels in it looks at."""
        return WINDOW_PX + 2 * self.reach

    def filter(self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        """Return the picture filtered in windows."""
        return filter_in_windows(image, self.origin_px, WINDOW_PX, OVERLAP_PX, self._window)

    def _window(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = estimate_noise_sigma(window) if self.noise == "auto" else self.noise
        if noise < _LEAST_NOISE:
            return window
        height, width = window.shape
        extra = ((0, max(0, _LEAST_EDGE_PX - height)), (0, max(0, _LEAST_EDGE_PX - width)))
        padded = np.pad(window, extra, mode="symmetric")
        module = _bm3d()
        profile = module.BM3DProfile()
        profile.num_threads = 1  # with more, sums come in another order each time
        return np.asarray(module.bm3d(padded, noise, profile=profile), np.float32)[:height, :width]


def _bm3d() -> Any:
    try:
        module = import_module("bm3d")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the denoiser 'bm3d' needs the package '{error.name}', which is not installed and has a non-commercial "
            "licence; run: pip install 'cemi-denoise-bm3d[bm3d]'"
        ) from error
    _say_licence()
    return module


@cache
def _say_licence() -> None:
    _LOG.warning("bm3d: the licence of the package 'bm3d' allows non-commercial use only")


def make(settings: Bm3dSettings, runtime: Runtime) -> Bm3dDenoiser:
    """Make the denoiser from checked settings."""
    return Bm3dDenoiser(settings.noise, threads=runtime.threads)
