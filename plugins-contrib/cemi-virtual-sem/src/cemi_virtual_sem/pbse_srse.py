"""PbSe-SrSe-like gradient: a dark Sr-rich phase in a bright Pb-rich matrix, its share growing along x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import lattice_uniform, smooth_noise
from cemi_virtual_sem.colonies import tessellate


class PbseSrseSettings(SpecimenSettings):
    """What a PbSe-SrSe-like gradient specimen looks like."""

    sr_start: float = Field(0.1, gt=0, lt=1, description="Share of the Sr-rich phase at x = 0.")
    sr_end: float = Field(0.6, gt=0, lt=1, description="Share of the Sr-rich phase at the far end.")
    feature_um: float = Field(0.6, gt=0, description="Width of the phases' features (deviation of the blur), um.")
    grain_um: float = Field(15.0, gt=0, description="Mean width of a grain, um.")
    pb_grey: float = Field(0.66, ge=0, le=1, description="Grey level of the bright, Pb-rich phase.")
    sr_grey: float = Field(0.36, ge=0, le=1, description="Grey level of the dark, Sr-rich phase.")


class PbseSrse(Plane):
    """A virtual PbSe-SrSe gradient specimen.

    Parameters
    ----------
    settings : PbseSrseSettings
        Shares, sizes, grey levels.
    seed : int
        Another seed gives another specimen.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("sr",)

    settings: PbseSrseSettings

    def __init__(self, settings: PbseSrseSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self._key = int(lattice_uniform(seed, [7], [13])[0, 0] * 2**24) * 64

    def sr_fraction(self, x_px: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the planted share of the Sr-rich phase at x, px."""
        s = self.settings
        return s.sr_start + (s.sr_end - s.sr_start) * np.clip(np.asarray(x_px) / self.extent_px[1], 0, 1)

    def properties(self) -> Mapping[str, float]:
        """Return the shares of the Sr-rich phase at the two ends."""
        return {"sr_start": self.settings.sr_start, "sr_end": self.settings.sr_end}

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s = self.settings
        grains = tessellate(box, s.grain_um / self.pixel_size_um, self._key, step=2)
        grey = grains.spread((grains.random(self._key + 5) - np.float32(0.5)) * np.float32(0.06), box)
        grey = grey + np.float32(s.pb_grey) - np.float32(s.pb_grey - s.sr_grey) * self._coverage(box)
        grey += np.float32(0.012) * smooth_noise(self._key + 6, box, 1.5)
        grey += np.float32(0.015) * smooth_noise(self._key + 7, box, 60.0)
        return grey

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the Sr-rich phase of a box."""
        return SpecimenTruth(masks={"sr": self._coverage(box) >= 0.5})

    def _coverage(self, box: Box) -> NDArray[np.float32]:
        sigma = max(self.settings.feature_um / self.pixel_size_um, 0.8)
        level = ndtri(1 - self.sr_fraction(box.x + np.arange(box.width))).astype(np.float32)
        field = smooth_noise(self._key + 8, box, sigma)
        # A second, finer field roughens the boundaries; together they still have variance 1.
        field = np.float32(0.95) * field + np.float32(0.3122) * smooth_noise(self._key + 9, box, max(sigma / 3, 0.8))
        return np.clip((field - level) * np.float32(1.2 * sigma) + np.float32(0.5), 0.0, 1.0)


def make_pbse_srse(settings: PbseSrseSettings, runtime: Runtime) -> PbseSrse:
    """Return the specimen; the seed is that of the runtime."""
    return PbseSrse(settings, runtime.seed)
