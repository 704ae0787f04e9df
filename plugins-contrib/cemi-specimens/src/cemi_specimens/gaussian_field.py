"""Two phases parted by a level of a Gaussian random field of known fraction and correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.periodic import repeated, solved_once
from cemi_specimens.plane import Plane

Correlation = Literal["gaussian", "exponential"]
MAX_CELL_PX = 4096
_LENGTHS_IN_CELL = 32


class GaussianFieldSettings(SpecimenSettings):
    """What a two-phase Gaussian random field looks like."""

    fraction: float = Field(0.35, gt=0.001, lt=0.999, description="Area fraction of the dark phase.")
    correlation: Correlation = Field(
        "gaussian", description="Autocorrelation at distance r: exp(-(r/L)^2), smooth, or exp(-r/L), rough."
    )
    correlation_um: float = Field(1.2, gt=0, description="Correlation length L, um.")
    dark_grey: float = Field(0.34, ge=0, le=1, description="Grey level of the dark phase.")
    bright_grey: float = Field(0.66, ge=0, le=1, description="Grey level of the bright phase.")


class GaussianField(Plane):
    """A level-cut Gaussian random field (Cahn, J. Chem. Phys. 42 (1965) 93; Torquato, Random Heterogeneous Materials).

    The field is a Fourier series whose amplitudes are the square root of the wanted power spectrum, exactly, and whose
    phases alone are random. So over one period its autocorrelation *is* the wanted one, and not only on average. The
    period is the specimen's extent, but at least 32 correlation lengths and at most 4096 px along an edge. The level is
    the value below which exactly the wanted fraction of the extent lies (of the period, where that is smaller).

    Parameters
    ----------
    settings : GaussianFieldSettings
        Fraction, correlation, grey levels.
    seed : int
        Draws the phases.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("dark",)
    field_names: ClassVar[tuple[str, ...]] = ("gaussian_field",)
    settings: GaussianFieldSettings

    def __init__(self, settings: GaussianFieldSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        length_px = self.px(settings.correlation_um)
        self._shape = _period_px(settings.extent_px, length_px)

    def properties(self) -> Mapping[str, float]:
        """Return the fraction, the correlation length and, for the smooth field, the interface length per area.

        The latter is Rice's formula in the plane, ``exp(-t^2 / 2) sqrt(-rho''(0)) / 2`` for a cut at level t.
        """
        s = self.settings
        planted = {"dark_fraction": s.fraction, "correlation_length_um": s.correlation_um}
        if s.correlation == "gaussian":
            level = float(ndtri(s.fraction))
            planted["interface_per_um"] = math.exp(-(level**2) / 2) / (math.sqrt(2) * s.correlation_um)
        return planted

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them; a pixel on a smooth interface is shared by both phases."""
        s = self.settings
        field, level = self._solved()
        above = repeated(field, box) - np.float32(level)
        if s.correlation == "gaussian":
            slope = math.sqrt(2) * self.pixel_size_um / s.correlation_um  # rms of the field's gradient, 1/px
            bright = np.clip(above / np.float32(slope) + np.float32(0.5), 0.0, 1.0)
        else:
            bright = (above > 0).astype(np.float32)
        return np.asarray(np.float32(s.dark_grey) + np.float32(s.bright_grey - s.dark_grey) * bright, np.float32)

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the dark phase, where the field lies below its level, and the field (variance 1)."""
        field, level = self._solved()
        values = repeated(field, box)
        return SpecimenTruth(masks={"dark": values <= np.float32(level)}, fields={"gaussian_field": values})

    def _solved(self) -> tuple[NDArray[np.float32], float]:
        s = self.settings
        extent = (min(s.extent_px[0], self._shape[0]), min(s.extent_px[1], self._shape[1]))
        return solve_field(self._shape, extent, self.px(s.correlation_um), s.correlation, s.fraction, self.seed)


def _period_px(extent_px: tuple[int, int], length_px: float) -> tuple[int, int]:
    least = math.ceil(_LENGTHS_IN_CELL * length_px)
    if least > MAX_CELL_PX:
        raise UsageError(
            f"correlation_um is {length_px:.4g} px; a Gaussian field needs at most "
            f"{MAX_CELL_PX // _LENGTHS_IN_CELL} px: shorten it or use a larger pixel_size"
        )
    height, width = (min(max(size, least, 16), MAX_CELL_PX) for size in extent_px)
    return height, width


@solved_once
def solve_field(
    shape: tuple[int, int],
    extent: tuple[int, int],
    length_px: float,
    correlation: Correlation,
    fraction: float,
    seed: int,
) -> tuple[NDArray[np.float32], float]:
    """Return a period of the field (mean 0, variance 1) and the level that parts the wanted fraction of its extent."""
    y, x = (np.minimum(np.arange(size), size - np.arange(size)).astype(np.float32) for size in shape)
    if correlation == "gaussian":
        wanted = np.exp(-((y[:, None] / length_px) ** 2) - (x[None, :] / length_px) ** 2).astype(np.float32)
    else:
        wanted = np.exp(-np.hypot(y[:, None], x[None, :]) / np.float32(length_px))
    amplitude = np.sqrt(np.maximum(scipy.fft.rfft2(wanted).real, 0)).astype(np.float32)
    amplitude[0, 0] = 0
    white = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    spectrum = scipy.fft.rfft2(white)
    spectrum *= amplitude / np.maximum(np.abs(spectrum), np.finfo(np.float32).tiny)
    field = scipy.fft.irfft2(spectrum, s=shape).astype(np.float32)
    field /= field.std(dtype=np.float64)
    inside = field[: extent[0], : extent[1]].ravel()
    below = min(max(round(fraction * inside.size), 1), inside.size) - 1
    level = float(np.partition(inside, below)[below])
    return field, level


def make_gaussian_field(settings: GaussianFieldSettings, runtime: Runtime) -> GaussianField:
    """Return the specimen; the seed is that of the runtime."""
    return GaussianField(settings, runtime.seed)
