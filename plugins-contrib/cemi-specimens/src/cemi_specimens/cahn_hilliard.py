"""Two phases that came apart by spinodal decomposition and coarsened: the Cahn-Hilliard equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.periodic import repeated, resampled, solved_once
from cemi_specimens.plane import Plane

#: Grid points of the solver in one spacing at the end: the interface, 4 points wide, is then a quarter of it.
GRID_PER_SPACING = 16
MAX_CELL_PX = 4096
_MAX_STEPS = 20000
_KAPPA = 1.0
_STABILISER = 2.0


class CahnHilliardSettings(SpecimenSettings):
    """What a coarsened spinodal structure looks like."""

    fraction: float = Field(0.45, ge=0.25, le=0.75, description="Area fraction of the dark phase.")
    spacing_um: float = Field(2.0, gt=0, description="Spacing: 2 pi over the mean wave number of the structure, um.")
    spacings_across: int = Field(24, ge=8, le=32, description="Spacings along the edge of the square that repeats.")
    dark_grey: float = Field(0.36, ge=0, le=1, description="Grey level of the dark phase.")
    bright_grey: float = Field(0.66, ge=0, le=1, description="Grey level of the bright phase.")


class CahnHilliard(Plane):
    """Spinodal decomposition and coarsening on a torus.

    ``dc/dt = laplacian(c^3 - c - kappa laplacian c)`` (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258), solved by the
    semi-implicit Fourier method of Zhu, Chen, Shen and Tikare, Phys. Rev. E 60 (1999) 3564, until the mean wave number
    of the structure has fallen to the wanted one. The interface is the level of c at which the dark phase has exactly
    its fraction over one period; by the lever rule that level is close to 0.

    Parameters
    ----------
    settings : CahnHilliardSettings
        Fraction, spacing, grey levels.
    seed : int
        Draws the first fluctuations.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("dark",)
    field_names: ClassVar[tuple[str, ...]] = ("composition",)
    settings: CahnHilliardSettings

    def __init__(self, settings: CahnHilliardSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        size = round(settings.spacings_across * self.px(settings.spacing_um))  # to within a spacing
        if not 32 <= size <= MAX_CELL_PX:
            raise UsageError(
                f"{settings.spacings_across} spacings of {self.px(settings.spacing_um):.4g} px are {size} px; a period "
                f"has 32 to {MAX_CELL_PX} px: change spacing_um, spacings_across or pixel_size"
            )

    def properties(self) -> Mapping[str, float]:
        """Return the fraction and the spacing."""
        return {"dark_fraction": self.settings.fraction, "spacing_um": self.settings.spacing_um}

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them: linear in the composition, as backscattering is."""
        s = self.settings
        share = np.clip((repeated(self._cell(), box) + np.float32(1)) / np.float32(2), 0, 1)
        return np.asarray(np.float32(s.dark_grey) + np.float32(s.bright_grey - s.dark_grey) * share, np.float32)

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the dark phase and the composition, -1 (dark) to 1 (bright), 0 at the interface."""
        composition = repeated(self._cell(), box)
        return SpecimenTruth(masks={"dark": composition <= 0}, fields={"composition": composition})

    def _cell(self) -> NDArray[np.float32]:
        s = self.settings
        return _on_pixels(s.fraction, s.spacings_across, self.px(s.spacing_um), self.seed)


@solved_once
def _on_pixels(fraction: float, spacings: int, spacing_px: float, seed: int) -> NDArray[np.float32]:
    """Return one period on pixels, shifted so that exactly the wanted fraction is at or below 0."""
    solved = decompose(fraction, spacings, seed)
    # the solver stops at the first step past the wanted wave number; the period makes up for that step
    composition = resampled(solved, round(spacing_px * spacings_across(solved)))
    rank = min(max(round(fraction * composition.size), 1), composition.size) - 1
    level = np.partition(composition.ravel(), rank)[rank]
    return np.asarray(composition - level, np.float32)


def spacings_across(composition: NDArray[np.floating]) -> float:
    """Return how many spacings a periodic structure has along an edge: its mean wave number, weighted by power."""
    size = composition.shape[0]
    power = np.abs(scipy.fft.fft2(composition)) ** 2
    power[0, 0] = 0
    turns = size * scipy.fft.fftfreq(size)
    return float((power * np.hypot(turns[:, None], turns[None, :])).sum() / power.sum())


@solved_once
def decompose(fraction: float, spacings: int, seed: int) -> NDArray[np.float64]:
    """Return the composition on a torus once it has so many spacings along an edge; mean ``1 - 2 fraction``."""
    size = GRID_PER_SPACING * spacings
    rng = np.random.default_rng([seed, 13])
    start = 0.1 * rng.standard_normal((size, size))
    c_hat = scipy.fft.rfft2(start - start.mean() + (1 - 2 * fraction))
    ky, kx = 2 * np.pi * scipy.fft.fftfreq(size)[:, None], 2 * np.pi * scipy.fft.rfftfreq(size)[None, :]
    k2 = ky**2 + kx**2
    weight = np.where((kx == 0) | (2 * np.abs(kx) == 2 * np.pi), 1.0, 2.0) * np.ones_like(k2)
    dealias = (np.abs(ky) < 2 * np.pi / 3) & (kx < 2 * np.pi / 3)
    target = 2 * np.pi / GRID_PER_SPACING
    step = 0.5
    for number in range(_MAX_STEPS):
        c = scipy.fft.irfft2(c_hat, s=(size, size))
        force = scipy.fft.rfft2(c**3 - (1 + _STABILISER) * c) * dealias
        c_hat = (c_hat - step * k2 * force) / (1 + step * k2 * (_KAPPA * k2 + _STABILISER))
        if number % 10 == 9:
            power = weight * np.abs(c_hat) ** 2
            power[0, 0] = 0
            mean_k = float((power * np.sqrt(k2)).sum() / power.sum())
            if c.std() > 0.4 and mean_k <= target:
                break
            # coarsening slows down as t^(1/3), so the step may grow with it
            step = min(4.0, 0.5 + number / 200)
    return np.asarray(scipy.fft.irfft2(c_hat, s=(size, size)))


def make_cahn_hilliard(settings: CahnHilliardSettings, runtime: Runtime) -> CahnHilliard:
    """Return the specimen; the seed is that of the runtime."""
    return CahnHilliard(settings, runtime.seed)
