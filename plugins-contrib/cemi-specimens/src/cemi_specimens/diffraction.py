"""Electron diffraction patterns of single crystals: the spots of a lattice along a zone axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from cemi_core.errors import UsageError
from cemi_core.model.classes import class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.settings import PositiveLengthUm
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import lies_in, number_column
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import number_uniform

_FCC = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BCC = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
_DIAMOND = _FCC + tuple((x + 0.25, y + 0.25, z + 0.25) for x, y, z in _FCC)
Lattice = Literal["Al", "Cu", "Ni", "Au", "Fe", "W", "Si", "NaCl"]
#: Lattice parameter in nm, and (atomic number, place in the cubic cell) of each atom.
LATTICES: dict[str, tuple[float, tuple[tuple[int, tuple[float, float, float]], ...]]] = {
    "Al": (0.4050, tuple((13, place) for place in _FCC)),
    "Cu": (0.3615, tuple((29, place) for place in _FCC)),
    "Ni": (0.3524, tuple((28, place) for place in _FCC)),
    "Au": (0.4078, tuple((79, place) for place in _FCC)),
    "Fe": (0.2866, tuple((26, place) for place in _BCC)),
    "W": (0.3165, tuple((74, place) for place in _BCC)),
    "Si": (0.5431, tuple((14, place) for place in _DIAMOND)),
    "NaCl": (0.5640, (*((11, p) for p in _FCC), *((17, (x + 0.5, y, z)) for x, y, z in _FCC))),
}  # fmt: skip


class DiffractionSettings(SpecimenSettings):
    """What is diffracted, and how it is recorded; a pixel is one of the detector."""

    pixel_size: PositiveLengthUm = Field(15.0, description="Edge of a detector pixel, such as '15 um'.")
    extent_px: tuple[PositiveInt, PositiveInt] = Field(
        (512, 512), description="(height, width); the direct beam hits its middle."
    )
    blur_px: float = Field(0.0, ge=0, le=8, description="Standard deviation of the detector's point spread, px.")
    lattice: Lattice = Field("Au", description="Crystal.")
    zone_axis: tuple[int, int, int] = Field((0, 0, 1), description="Direction of the beam [u, v, w].")
    rotation_deg: float = Field(12.0, description="Rotation of the pattern against x, towards +y, degrees.")
    energy_kev: float = Field(200.0, ge=20, le=1500, description="Energy of the electrons, keV.")
    camera_length_mm: float = Field(100.0, gt=0, description="Distance from specimen to detector, mm.")
    spot_px: float = Field(5.0, ge=1, le=100, description="Radius of a spot: the convergence angle, px.")
    max_g_per_nm: float = Field(
        22.0, gt=0, le=60, description="Spots beyond this spatial frequency are left out, 1/nm."
    )
    thickness_scatter: float = Field(
        0.3, ge=0, le=1, description="Deviation of the logarithm of a spot's intensity from the kinematical one."
    )
    background_grey: float = Field(0.25, ge=0, le=1, description="Grey level of inelastic scattering near the beam.")


#: B of ``exp(-B g^2 / 4)``, nm^2: thermal motion (some 0.006 for gold) and the fall of the form factor with angle.
_FALL_NM2 = 0.03
#: Spots weaker than this share of the direct beam are below what the logarithmic grey scale shows.
_WEAKEST = 1e-4


@dataclass(frozen=True)
class Spots:
    """The spots of a pattern; all arrays have shape (n,) but ``hkl`` (n, 3)."""

    hkl: NDArray[np.int64]
    g_per_nm: NDArray[np.float64]
    y_px: NDArray[np.float64]
    x_px: NDArray[np.float64]
    intensity: NDArray[np.float64]  # of the direct beam
    number: NDArray[np.int64]


def wavelength_nm(energy_kev: float) -> float:
    """Return the relativistic wavelength of electrons, nm: 0.002508 at 200 keV."""
    return 1.226426 / math.sqrt(1000 * energy_kev * (1 + 0.978476e-3 * energy_kev))


class Diffraction(Plane):
    """The zeroth Laue zone of a cubic crystal along a zone axis: every spot with its indices.

    A spot of spatial frequency g = sqrt(h^2 + k^2 + l^2) / a lies ``camera length x wavelength x g`` from the direct
    beam (the small-angle camera equation; Williams and Carter, Transmission Electron Microscopy, ch. 18). Spots that
    the structure factor forbids are absent; the others have kinematical intensity ``|F|^2``, with the electron
    scattering of an atom as ``Z exp(-B g^2 / 4)``, scattered as thickness and bending do. Grey is logarithmic.

    Parameters
    ----------
    settings : DiffractionSettings
        Crystal, zone axis, microscope.
    seed : int
        Draws the scatter of the intensities.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("spot",)
    has_labels: ClassVar[bool] = True
    settings: DiffractionSettings

    def __init__(self, settings: DiffractionSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        if not any(settings.zone_axis):
            raise UsageError("zone_axis [0, 0, 0] is not a direction: name one, such as [0, 1, 1]")
        if math.hypot(*settings.zone_axis) > 20:
            raise UsageError(f"zone_axis {list(settings.zone_axis)} has indices beyond 20: its spots lie too dense")

    @property
    def px_per_g(self) -> float:
        """Pixels on the detector for a spatial frequency of 1/nm."""
        s = self.settings
        return wavelength_nm(s.energy_kev) * s.camera_length_mm * 1000 / s.pixel_size

    def properties(self) -> Mapping[str, float]:
        """Return lattice parameter, wavelength, camera constant and the position of the direct beam."""
        s = self.settings
        height, width = s.extent_px
        return {
            "a_nm": LATTICES[s.lattice][0],
            "wavelength_nm": wavelength_nm(s.energy_kev),
            "px_per_inverse_nm": self.px_per_g,
            "beam_y_px": (height - 1) / 2,
            "beam_x_px": (width - 1) / 2,
        }

    def spots(self) -> Spots:
        """Return all spots that can be seen, the direct beam first."""
        s = self.settings
        hkl, g, along, across, intensity = zone_spots(s.lattice, s.zone_axis, s.max_g_per_nm)
        angle = math.radians(s.rotation_deg)
        height, width = s.extent_px
        y = (height - 1) / 2 + self.px_per_g * (along * math.sin(angle) + across * math.cos(angle))
        x = (width - 1) / 2 + self.px_per_g * (along * math.cos(angle) - across * math.sin(angle))
        number = object_numbers(hkl[:, 0], hkl[:, 1], hkl[:, 2] + 2**11)
        # four uniform numbers make nearly a normal one
        draw = sum(number_uniform(self.key(151) + k, number).astype(np.float64) for k in range(4)) - 2
        scatter = np.where(g > 0, np.exp(s.thickness_scatter * math.sqrt(3) * draw), 1.0)
        found = np.minimum(intensity * scatter, 1.0)
        seen = found > _WEAKEST
        return Spots(hkl[seen], g[seen], y[seen], x[seen], found[seen], number[seen])

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the detector blurs them."""
        s = self.settings
        rows = np.arange(box.y, box.y + box.height, dtype=np.float64)[:, None]
        columns = np.arange(box.x, box.x + box.width, dtype=np.float64)[None, :]
        height, width = s.extent_px
        from_beam = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2) / self.px_per_g
        # inelastic scattering falls off as a Lorentzian of some 3 / nm
        grey = (s.background_grey / (1 + (from_beam / 3.0) ** 2)).astype(np.float32)
        spots = self.spots()
        shade = np.clip(1 + np.log10(np.maximum(spots.intensity, 1e-9)) / 4, 0, 1)
        for index, window in self._windows(spots, box):
            away = np.hypot(rows[window[0]] - spots.y_px[index], columns[:, window[1]] - spots.x_px[index])
            cover = np.clip(s.spot_px - away + 0.5, 0, 1)
            under = grey[window]
            under += (cover * (np.maximum(shade[index], under) - under)).astype(np.float32)
        return grey

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the spots and the number of each."""
        labels = np.zeros((box.height, box.width), np.int64)
        rows = np.arange(box.y, box.y + box.height, dtype=np.float64)[:, None]
        columns = np.arange(box.x, box.x + box.width, dtype=np.float64)[None, :]
        spots = self.spots()
        for index, window in self._windows(spots, box):
            away = np.hypot(rows[window[0]] - spots.y_px[index], columns[:, window[1]] - spots.x_px[index])
            labels[window][away <= self.settings.spot_px] = spots.number[index]
        return SpecimenTruth(masks={"spot": labels != 0}, labels=labels)

    def objects(self, box: Box) -> Objects:
        """Return the spots whose middle lies in a box: exact position, indices, spatial frequency, intensity."""
        spots = self.spots()
        keep = lies_in(box, spots.y_px, spots.x_px)
        hkl = spots.hkl[keep].astype(np.float64)
        columns = (
            number_column(spots.number[keep]),
            *(ObjectColumn(name, name, "1", hkl[:, axis]) for axis, name in enumerate("hkl")),
            ObjectColumn("g_per_nm", "Spatial frequency", "1/nm", spots.g_per_nm[keep]),
            ObjectColumn("intensity", "Intensity over that of the beam", "1", spots.intensity[keep]),
        )
        return Objects(
            "spots",
            "Diffraction spots",
            spots.y_px[keep],
            spots.x_px[keep],
            np.full(int(keep.sum()), math.pi * self.settings.spot_px**2),
            class_index=(spots.g_per_nm[keep] > 0).astype(np.int32),
            classes=class_labels(["beam", "spot"]),
            columns=columns,
        )

    def _windows(self, spots: Spots, box: Box) -> list[tuple[int, tuple[slice, slice]]]:
        """Return the spots that reach into a box, weakest first, each with the part of the box around it."""
        found, reach = [], math.ceil(self.settings.spot_px) + 1
        for index in np.lexsort((spots.number, spots.intensity)):
            y, x = round(float(spots.y_px[index])) - box.y, round(float(spots.x_px[index])) - box.x
            if -reach <= y < box.height + reach and -reach <= x < box.width + reach:
                window = (slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1))
                found.append((int(index), window))
        return found


@lru_cache(maxsize=16)
def zone_spots(
    lattice: str, zone: tuple[int, int, int], max_g_per_nm: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return hkl, g, its parts along and across the first axis of the pattern (1/nm), and kinematical intensity."""
    a_nm, atoms = LATTICES[lattice]
    most = math.floor(max_g_per_nm * a_nm)
    grid = np.arange(-most, most + 1)
    hkl = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[(hkl @ np.array(zone) == 0) & ((hkl**2).sum(axis=1) <= (max_g_per_nm * a_nm) ** 2)]
    g = np.sqrt((hkl**2).sum(axis=1)) / a_nm
    factor = sum(z * np.exp(2j * np.pi * (hkl @ np.array(place))) for z, place in atoms)
    strength = np.abs(factor) ** 2 * np.exp(-0.5 * _FALL_NM2 * g**2)
    allowed = np.abs(factor) > 1e-6 * sum(z for z, _ in atoms)
    hkl, g, strength = hkl[allowed], g[allowed], strength[allowed]
    order = np.lexsort((hkl[:, 2], hkl[:, 1], hkl[:, 0], g))
    hkl, g, strength = hkl[order], g[order], strength[order]
    beam = np.array(zone) / math.hypot(*zone)
    # the first axis is the shortest reflection; across it is that turned by 90 degrees about the beam
    first = hkl[1] / np.linalg.norm(hkl[1]) if len(hkl) > 1 else np.array([1.0, 0.0, 0.0])
    along, across = hkl @ first / a_nm, hkl @ np.cross(beam, first) / a_nm
    intensity = 0.3 * strength / strength.max()
    intensity[0] = 1.0
    return hkl, g, along, across, intensity


def make_diffraction(settings: DiffractionSettings, runtime: Runtime) -> Diffraction:
    """Return the specimen; the seed is that of the runtime."""
    return Diffraction(settings, runtime.seed)
