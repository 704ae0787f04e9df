"""Columns of a high-entropy alloy: five elements at random on one lattice, which they distort."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from cemi_core.model.classes import ClassLabel, class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.atoms import ATOMIC_NUMBER, Z_POWER, AtomPlane, AtomSettings, Columns, lattice_indices, turned
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.random_field import number_uniform

#: Lattice parameter of CoCrFeMnNi, nm (Cantor, Chang, Knight and Vincent, Mater. Sci. Eng. A 375-377 (2004) 213).
A_NM = 0.359
ELEMENTS = ("Cr", "Mn", "Fe", "Co", "Ni")


class HeaColumnSettings(AtomSettings):
    """What a foil of CoCrFeMnNi looks like."""

    zone: Literal["001", "011"] = Field("001", description="Direction of view.")
    atoms: int = Field(20, ge=1, le=60, description="Mean number of atoms in a column: the thickness of the foil.")
    roughness: float = Field(1.0, ge=0, le=5, description="Standard deviation of that number from column to column.")
    displacement_nm: float = Field(
        0.005, ge=0, le=0.02, description="Standard deviation of a column's displacement in each axis, nm."
    )


class HeaColumns(AtomPlane):
    """A face-centred cubic CoCrFeMnNi foil, each atom one of five elements with equal chance.

    A column's brightness scatters with its composition, and its position with the lattice distortion (the root mean
    square displacement of such alloys is some 5 pm; Okamoto et al., AIP Adv. 6 (2016) 125008).

    Parameters
    ----------
    settings : HeaColumnSettings
        Zone, thickness, displacement, probe.
    seed : int
        Draws elements and displacements.
    """

    classes: ClassVar[tuple[ClassLabel, ...]] = class_labels(["column"])
    extra_columns: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("height_nm", "Height of the topmost atom over the lowest", "nm"),
        ("mean_z", "Mean atomic number", "1"),
        *((f"{name.lower()}_atoms", f"{name} atoms", "1") for name in ELEMENTS),
    )
    settings: HeaColumnSettings

    @property
    def neighbour_nm(self) -> float:
        """Distance of neighbouring columns in projection, nm."""
        return A_NM / 2 if self.settings.zone == "001" else A_NM * math.sqrt(3 / 8)

    @property
    def repeat_nm(self) -> float:
        """Distance of neighbouring atoms along a column, nm."""
        return A_NM if self.settings.zone == "001" else A_NM / math.sqrt(2)

    @property
    def brightest(self) -> float:
        """Sum of ``Z**1.7`` over a column of nickel alone, three deviations of the roughness longer than the mean."""
        s = self.settings
        return float((s.atoms + 3 * s.roughness) * ATOMIC_NUMBER["Ni"] ** Z_POWER)

    def properties(self) -> Mapping[str, float]:
        """Return lattice parameter, thickness and displacement."""
        s = self.settings
        return {"a_nm": A_NM, "thickness_nm": (s.atoms - 1) * self.repeat_nm, "displacement_nm": s.displacement_nm}

    def columns(self, box: Box) -> Columns:
        """Return the columns near a box."""
        s, key = self.settings, self.key(139)
        a = self.px(A_NM / 1000)
        # along 001 the columns form squares of half the lattice parameter; along 011 a centred a x a/sqrt(2) rectangle
        plain = ((0.0, a / 2), (a / 2, 0.0)) if s.zone == "001" else ((0.0, a), (a / math.sqrt(8), a / 2))
        first, second = (turned(vector, s.rotation_deg) for vector in plain)
        shift = self.px(s.displacement_nm / 1000)
        i, j, y, x = lattice_indices(box, first, second, a + 6 * shift)
        number = object_numbers(i, j, 0, 4)
        draw = [np.clip(number_uniform(key + k, number).astype(np.float64), 1e-7, 1 - 1e-7) for k in (0, 1, 2)]
        length = np.maximum(np.rint(s.atoms + s.roughness * np.clip(ndtri(draw[2]), -3, 3)), 1)
        counts = np.zeros((len(ELEMENTS), len(i)))
        for atom in range(int(length.max(initial=0))):
            element = (len(ELEMENTS) * number_uniform(key + 3 + 64 * atom, number)).astype(np.int64)
            counts[element, np.arange(len(i))] += length > atom
        z = np.array([ATOMIC_NUMBER[name] for name in ELEMENTS], np.float64)
        extra = {f"{name.lower()}_atoms": counts[k] for k, name in enumerate(ELEMENTS)}
        extra["mean_z"] = z @ counts / length
        extra["height_nm"] = (length - 1) * self.repeat_nm
        strength = z**Z_POWER @ counts
        return Columns(
            number, y + shift * ndtri(draw[0]), x + shift * ndtri(draw[1]), strength, np.zeros(len(i), np.int32), extra
        )


def make_hea_columns(settings: HeaColumnSettings, runtime: Runtime) -> HeaColumns:
    """Return the specimen; the seed is that of the runtime."""
    return HeaColumns(settings, runtime.seed)
