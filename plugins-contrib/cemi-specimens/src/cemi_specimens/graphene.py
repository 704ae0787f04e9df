"""Graphene: one layer of carbon with ripples, vacancies and silicon in place of carbon."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.classes import ClassLabel, class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.atoms import ATOMIC_NUMBER, Z_POWER, AtomPlane, AtomSettings, Columns, lattice_indices, turned
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.random_field import lattice_uniform, number_uniform

#: Lattice parameter of graphene, nm (Castro Neto et al., Rev. Mod. Phys. 81 (2009) 109); bonds are 0.142 nm.
A_NM = 0.246
_WAVES = 6


class GrapheneSettings(AtomSettings):
    """What a graphene sheet looks like."""

    vacancy_share: float = Field(0.003, ge=0, le=0.1, description="Share of empty sites.")
    silicon_share: float = Field(0.004, ge=0, le=0.1, description="Share of sites with silicon instead of carbon.")
    ripple_nm: float = Field(0.05, ge=0, le=0.3, description="Standard deviation of the height, nm.")
    ripple_wavelength_nm: float = Field(8.0, ge=2, description="Wavelength of the ripples, nm.")


class Graphene(AtomPlane):
    """A rippled graphene sheet seen from above.

    Ripples of some 8 nm follow Fasolino, Los and Katsnelson, Nature Mater. 6 (2007) 858: plane waves of one
    wavelength in random directions. Heights are part of each atom's truth; the sheet is thinner than the depth of
    field, so that they do not change the image. Silicon in the lattice: Zhou et al., Phys. Rev. Lett. 109 (2012)
    206803.

    Parameters
    ----------
    settings : GrapheneSettings
        Defects, ripples, probe.
    seed : int
        Draws defects and ripples.
    """

    classes: ClassVar[tuple[ClassLabel, ...]] = class_labels(["C", "Si"])
    settings: GrapheneSettings

    @property
    def neighbour_nm(self) -> float:
        """Distance of neighbouring columns in projection, nm."""
        return A_NM / math.sqrt(3)

    @property
    def brightest(self) -> float:
        """Sum of ``Z**1.7`` over the strongest possible column."""
        return float(
            ATOMIC_NUMBER["Si"] ** Z_POWER if self.settings.silicon_share > 0 else ATOMIC_NUMBER["C"] ** Z_POWER
        )

    def properties(self) -> Mapping[str, float]:
        """Return the bond length and the shares of defects."""
        s = self.settings
        return {
            "bond_nm": self.neighbour_nm,
            "vacancy_share": s.vacancy_share,
            "silicon_share": s.silicon_share,
            "ripple_deviation_nm": s.ripple_nm,
        }

    def columns(self, box: Box) -> Columns:
        """Return the atoms near a box."""
        s, key = self.settings, self.key(131)
        a = self.px(A_NM / 1000)
        first, second = (turned((a * math.sin(t), a * math.cos(t)), s.rotation_deg) for t in (0.0, math.pi / 3))
        i, j, y, x = lattice_indices(box, first, second, a)
        # the two atoms of a cell: at the corner, and a third of the way along its diagonal
        third = ((first[0] + second[0]) / 3, (first[1] + second[1]) / 3)
        number = np.concatenate([object_numbers(i, j, k, 4) for k in (0, 1)])
        y, x = np.concatenate([y, y + third[0]]), np.concatenate([x, x + third[1]])
        draw = number_uniform(key, number).astype(np.float64)
        silicon = draw < s.silicon_share
        empty = draw >= 1 - s.vacancy_share
        strength = np.where(silicon, ATOMIC_NUMBER["Si"] ** Z_POWER, ATOMIC_NUMBER["C"] ** Z_POWER)
        found = Columns(number, y, x, strength, silicon.astype(np.int32), {"height_nm": self.height_nm(y, x)})
        return found.selected(~empty)

    def height_nm(self, y_px: NDArray[np.float64], x_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the height of the sheet at points, nm."""
        s = self.settings
        direction, phase = (
            2 * math.pi * lattice_uniform(self.key(131) + 1, [k], np.arange(_WAVES))[0].astype(np.float64)
            for k in (0, 1)
        )
        wave = 2 * math.pi / self.px(s.ripple_wavelength_nm / 1000)
        height = np.zeros(np.shape(y_px))
        for angle, start in zip(direction, phase, strict=True):
            height += np.sin(wave * (y_px * math.sin(angle) + x_px * math.cos(angle)) + start)
        return s.ripple_nm * math.sqrt(2 / _WAVES) * height


def make_graphene(settings: GrapheneSettings, runtime: Runtime) -> Graphene:
    """Return the specimen; the seed is that of the runtime."""
    return Graphene(settings, runtime.seed)
