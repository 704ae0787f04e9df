"""AlCoCrFeNi2.1-like eutectic high-entropy alloy: colonies of wavy lamellae, irregular eutectic, primary BCC.

Lang et al., Microstructures 2025, 5, 2025004, report for such an ingot a BCC fraction of 33-35 %, lamellar regions on
15-33 % of the area and a lamella spacing of 550-750 nm, each varying along the ingot. BCC is the dark phase.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import lattice_uniform, smooth_noise
from cemi_virtual_sem.colonies import Tessellation, tessellate
from cemi_virtual_sem.trend import Trend

_TREND_STEP = 16


class EheaSettings(SpecimenSettings):
    """What an AlCoCrFeNi2.1-like specimen looks like."""

    bcc_low: float = Field(0.33, gt=0.05, lt=0.9, description="Lowest BCC fraction along the specimen.")
    bcc_high: float = Field(0.35, gt=0.05, lt=0.9, description="Highest BCC fraction along the specimen.")
    lamella_low: float = Field(0.15, ge=0, le=1, description="Lowest area share of lamellar colonies.")
    lamella_high: float = Field(0.33, ge=0, le=1, description="Highest area share of lamellar colonies.")
    spacing_low_um: float = Field(0.55, gt=0, description="Smallest lamella spacing (one period of two phases), um.")
    spacing_high_um: float = Field(0.75, gt=0, description="Largest lamella spacing, um.")
    spacing_scatter: float = Field(0.04, ge=0, le=0.3, description="Relative scatter of the spacing between colonies.")
    colony_um: float = Field(11.0, gt=0, description="Mean width of a colony, um.")
    waviness: float = Field(0.5, ge=0, le=1, description="Deviation of the lamellae from straight lines, periods.")
    primary_share: float = Field(0.06, ge=0, le=0.25, description="Share of primary BCC in the irregular eutectic.")
    fcc_grey: float = Field(0.60, ge=0, le=1, description="Grey level of the bright FCC phase.")
    bcc_grey: float = Field(0.36, ge=0, le=1, description="Grey level of the dark BCC phase.")
    dots_per_um2: float = Field(0.004, ge=0, description="Small black dots (pores, oxides) per um2.")


@dataclass(frozen=True)
class _Structure:
    """Geometry of a box before it is turned into grey levels or truth; all arrays (h, w)."""

    tessellation: Tessellation
    lamellar: NDArray[np.bool_]
    bcc: NDArray[np.float32]  # coverage of the pixel by BCC, 0 to 1
    wave: NDArray[np.float32]  # displacement of the lamellae, periods
    period_px: NDArray[np.float32]  # one value for each colony
    angle: NDArray[np.float32]  # of the normal of the lamellae, radians, one value for each colony


class Ehea(Plane):
    """A virtual AlCoCrFeNi2.1-like ingot.

    Parameters
    ----------
    settings : EheaSettings
        The paper's ranges by default.
    seed : int
        Another seed gives another specimen.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("bcc", "lamella")
    mean_names: ClassVar[tuple[str, ...]] = ("lamella_spacing_um", "lamella_cos2", "lamella_sin2")

    settings: EheaSettings

    def __init__(self, settings: EheaSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        s, extent_px = settings, settings.extent_px
        self._key = int(lattice_uniform(seed, [7], [11])[0, 0] * 2**24) * 64
        self.bcc_trend = Trend(s.bcc_low, s.bcc_high, extent_px, self._key + 20)
        self.lamella_trend = Trend(s.lamella_low, s.lamella_high, extent_px, self._key + 21)
        self.spacing_trend_um = Trend(s.spacing_low_um, s.spacing_high_um, extent_px, self._key + 22)

    def properties(self) -> Mapping[str, float]:
        """Return the bounds between which the planted trends run."""
        s = self.settings
        names = ("bcc_low", "bcc_high", "lamella_low", "lamella_high", "spacing_low_um", "spacing_high_um")
        return {name: getattr(s, name) for name in names}

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s, structure = self.settings, self._structure(box)
        colony_offset = (structure.tessellation.random(self._key + 9) - np.float32(0.5)) * np.float32(0.05)
        grey = structure.tessellation.spread(colony_offset, box) + np.float32(s.fcc_grey)
        grey -= np.float32(s.fcc_grey - s.bcc_grey) * structure.bcc
        grey += np.float32(0.012) * smooth_noise(self._key + 10, box, 40.0)
        grey += np.float32(0.012) * smooth_noise(self._key + 11, box, 1.5)
        self._draw_dots(grey, box)
        return grey

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return BCC and lamella masks and the local spacing and orientation of the lamellae of a box."""
        grown = box.grown(1)
        structure = self._structure(grown)
        spread = structure.tessellation.spread
        wave_y, wave_x = (np.gradient(structure.wave, axis=axis) for axis in (0, 1))
        frequency_y = spread(np.sin(structure.angle) / structure.period_px, grown) + wave_y
        frequency_x = spread(np.cos(structure.angle) / structure.period_px, grown) + wave_x
        frequency = np.hypot(frequency_y, frequency_x)
        inside = (slice(1, -1), slice(1, -1))
        lamella = structure.lamellar[inside]
        means = {
            "lamella_spacing_um": np.float32(self.pixel_size_um) / frequency,
            "lamella_cos2": (frequency_x**2 - frequency_y**2) / frequency**2,
            "lamella_sin2": 2 * frequency_x * frequency_y / frequency**2,
        }
        return SpecimenTruth(
            masks={"bcc": structure.bcc[inside] >= 0.5, "lamella": lamella},
            means={name: (values[inside].astype(np.float32), lamella) for name, values in means.items()},
        )

    def _structure(self, box: Box) -> _Structure:
        s, key = self.settings, self._key
        colonies = tessellate(box, s.colony_um / self.pixel_size_um, key, step=2)
        at = (colonies.centre_y_px, colonies.centre_x_px)
        lamellar_colony = colonies.spread_rank(key + 5) < self.lamella_trend(*at)
        scatter = 1 + s.spacing_scatter * math.sqrt(3) * (2 * colonies.random(key + 6) - 1)
        period = (self.spacing_trend_um(*at) * scatter / self.pixel_size_um).astype(np.float32)
        angle = (math.pi * colonies.random(key + 7)).astype(np.float32)
        fraction = self._bcc_fraction(box)
        wave = np.float32(s.waviness) * smooth_noise(key + 12, box, 5 * s.spacing_high_um / self.pixel_size_um)
        lamellar = colonies.spread(lamellar_colony, box)

        bcc = self._lamellae(colonies, period, angle, wave, fraction, box)
        np.copyto(bcc, self._irregular(box, fraction), where=~lamellar)
        return _Structure(colonies, lamellar, bcc, wave, period, angle)

    def _bcc_fraction(self, box: Box) -> NDArray[np.float32]:
        """Return the planted BCC fraction at every pixel; it varies slowly, so a coarse lattice is enough."""
        y0, x0 = box.y // _TREND_STEP - 1, box.x // _TREND_STEP - 1
        rows, columns = box.height // _TREND_STEP + 4, box.width // _TREND_STEP + 4
        centre = (_TREND_STEP - 1) / 2
        coarse = self.bcc_trend(
            ((y0 + np.arange(rows)) * _TREND_STEP + centre)[:, None],
            ((x0 + np.arange(columns)) * _TREND_STEP + centre)[None, :],
        )
        fine = cv2.resize(coarse.astype(np.float32), None, fx=_TREND_STEP, fy=_TREND_STEP)
        top, left = box.y - y0 * _TREND_STEP, box.x - x0 * _TREND_STEP
        return fine[top : top + box.height, left : left + box.width]

    def _lamellae(
        self,
        colonies: Tessellation,
        period: NDArray[np.float32],
        angle: NDArray[np.float32],
        wave: NDArray[np.float32],
        fraction: NDArray[np.float32],
        box: Box,
    ) -> NDArray[np.float32]:
        """Return the coverage by dark lamellae as if every colony were lamellar."""
        y = np.arange(box.height, dtype=np.float32)[:, None]
        x = np.arange(box.width, dtype=np.float32)[None, :]
        frequency_y, frequency_x = np.sin(angle) / period, np.cos(angle) / period
        # Counted from the colony's own centre: no large coordinates, so float32 is exact enough anywhere.
        start = (box.y - colonies.centre_y_px) * frequency_y + (box.x - colonies.centre_x_px) * frequency_x
        turns = colonies.spread(frequency_y, box) * y
        turns += colonies.spread(frequency_x, box) * x
        turns += colonies.spread(start.astype(np.float32), box)
        turns += wave
        turns -= np.rint(turns)
        np.abs(turns, out=turns)
        coverage = np.float32(0.5) * fraction - turns
        coverage *= colonies.spread(period, box)
        coverage += np.float32(0.5)
        return np.clip(coverage, 0.0, 1.0, out=coverage)

    def _irregular(self, box: Box, fraction: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the coverage by BCC of irregular eutectic with primary BCC, together of the same fraction."""
        s = self.settings
        mean_spacing_px = (s.spacing_low_um + s.spacing_high_um) / 2 / self.pixel_size_um
        sigma = max(0.28 * mean_spacing_px, 0.8)
        share = np.float32(s.primary_share)
        # The level that a normal variable exceeds with the wanted probability; from a table, as ndtri is slow.
        table = ndtri(1 - np.linspace(0.0, 1.0, 1025).clip(1e-4, 1 - 1e-4)).astype(np.float32)
        wanted = np.clip((fraction - share) / (1 - share), 0.0, 1.0)
        level = table[(wanted * 1024 + np.float32(0.5)).astype(np.int32)]
        coverage = smooth_noise(self._key + 13, box, sigma)
        coverage -= level
        coverage *= np.float32(1.4 * sigma)
        coverage += np.float32(0.5)
        if s.primary_share > 0:
            primary = smooth_noise(self._key + 14, box, 4 * sigma)
            primary -= np.float32(ndtri(1 - s.primary_share))
            primary *= np.float32(5.6 * sigma)
            primary += np.float32(0.5)
            np.maximum(coverage, primary, out=coverage)
        return np.clip(coverage, 0.0, 1.0, out=coverage)

    def _draw_dots(self, grey: NDArray[np.float32], box: Box) -> None:
        """Darken small round dots; a lattice of possible places keeps them where they are in every box."""
        density = self.settings.dots_per_um2 * self.pixel_size_um**2
        if density <= 0:
            return
        mesh = max(8, round(0.5 / math.sqrt(density)))
        nodes_y = np.arange((box.y - 8) // mesh, (box.y + box.height + 8) // mesh + 1)
        nodes_x = np.arange((box.x - 8) // mesh, (box.x + box.width + 8) // mesh + 1)
        present = lattice_uniform(self._key + 15, nodes_y, nodes_x) < density * mesh**2
        where_y, where_x, radius = (lattice_uniform(self._key + 16 + i, nodes_y, nodes_x) for i in range(3))
        for i, j in np.argwhere(present):
            y, x = (nodes_y[i] + where_y[i, j]) * mesh - box.y, (nodes_x[j] + where_x[i, j]) * mesh - box.x
            r = max(0.7, (0.07 + 0.2 * radius[i, j] ** 2) / self.pixel_size_um)
            top, left = max(0, int(y - r - 2)), max(0, int(x - r - 2))
            patch = grey[top : max(0, int(y + r + 3)), left : max(0, int(x + r + 3))]
            if patch.size:
                away = np.hypot(*np.ogrid[top - y : top - y + patch.shape[0], left - x : left - x + patch.shape[1]])
                patch -= (np.clip(r + 0.5 - away, 0, 1) * (patch - 0.08)).astype(np.float32)


def make_ehea(settings: EheaSettings, runtime: Runtime) -> Ehea:
    """Return the specimen; the seed is that of the runtime."""
    return Ehea(settings, runtime.seed)
