"""A monolayer of WSe2 in which tellurium replaces selenium."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from cemi_core.model.classes import ClassLabel, class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.atoms import ATOMIC_NUMBER, Z_POWER, AtomPlane, AtomSettings, Columns, lattice_indices, turned
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.random_field import number_uniform

#: In-plane lattice parameter of 2H-WSe2 and of 2H-WTe2, nm; an alloy lies between them (Vegard).
A_WSE2_NM, A_WTE2_NM = 0.328, 0.355
#: Half the distance between the two chalcogen planes of WSe2, nm.
CHALCOGEN_NM = 0.167


class WseteSettings(AtomSettings):
    """What a WSe2(1-x)Te2x monolayer looks like."""

    tellurium_share: float = Field(0.2, ge=0, le=1, description="Share x of chalcogen atoms that are tellurium.")
    vacancy_share: float = Field(0.02, ge=0, le=0.3, description="Share of chalcogen atoms that are missing.")


class Wsete(AtomPlane):
    """A 2H monolayer seen along its axis: tungsten and pairs of chalcogens on the two sublattices of a honeycomb.

    Each of the two chalcogens of a column is Se, Te or missing, independently, so the columns are of six kinds.
    Their counts are what an analysis by intensity finds (Gong et al., Nano Lett. 14 (2014) 442, for MoSSe).

    Parameters
    ----------
    settings : WseteSettings
        Composition, vacancies, probe.
    seed : int
        Draws the substitution.
    """

    classes: ClassVar[tuple[ClassLabel, ...]] = class_labels(["W", "Se2", "SeTe", "Te2", "Se", "Te"])
    extra_columns: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("height_nm", "Height of the topmost atom", "nm"),
        ("tellurium", "Tellurium atoms", "1"),
        ("vacancies", "Missing chalcogens", "1"),
    )
    settings: WseteSettings

    @property
    def a_nm(self) -> float:
        """In-plane lattice parameter, nm."""
        return A_WSE2_NM + (A_WTE2_NM - A_WSE2_NM) * self.settings.tellurium_share

    @property
    def neighbour_nm(self) -> float:
        """Distance of neighbouring columns in projection, nm."""
        return self.a_nm / math.sqrt(3)

    @property
    def brightest(self) -> float:
        """Sum of ``Z**1.7`` over the strongest possible column: two tellurium atoms or one of tungsten."""
        return float(max(ATOMIC_NUMBER["W"] ** Z_POWER, 2 * ATOMIC_NUMBER["Te"] ** Z_POWER))

    def properties(self) -> Mapping[str, float]:
        """Return lattice parameter, composition and vacancies."""
        s = self.settings
        return {"a_nm": self.a_nm, "tellurium_share": s.tellurium_share, "vacancy_share": s.vacancy_share}

    def columns(self, box: Box) -> Columns:
        """Return the columns near a box; a column whose two chalcogens are missing is none."""
        s, key = self.settings, self.key(137)
        a = self.px(self.a_nm / 1000)
        first, second = (turned((a * math.sin(t), a * math.cos(t)), s.rotation_deg) for t in (0.0, math.pi / 3))
        i, j, y, x = lattice_indices(box, first, second, a)
        third = ((first[0] + second[0]) / 3, (first[1] + second[1]) / 3)
        metal, chalcogen = object_numbers(i, j, 0, 4), object_numbers(i, j, 1, 4)
        tellurium, missing = np.zeros(len(i)), np.zeros(len(i))
        top = np.full(len(i), -CHALCOGEN_NM)
        for level in (0, 1):
            gone = number_uniform(key + 2 * level, chalcogen) < s.vacancy_share
            heavy = ~gone & (number_uniform(key + 2 * level + 1, chalcogen) < s.tellurium_share)
            tellurium += heavy
            missing += gone
            if level == 1:
                top[~gone] = CHALCOGEN_NM
        selenium = 2 - tellurium - missing
        strength = selenium * ATOMIC_NUMBER["Se"] ** Z_POWER + tellurium * ATOMIC_NUMBER["Te"] ** Z_POWER
        kind = np.where(missing == 1, 4 + tellurium, 1 + tellurium).astype(np.int32)
        nothing = np.zeros(len(i))
        return Columns(
            np.concatenate([metal, chalcogen]),
            np.concatenate([y, y + third[0]]),
            np.concatenate([x, x + third[1]]),
            np.concatenate([np.full(len(i), ATOMIC_NUMBER["W"] ** Z_POWER), strength]),
            np.concatenate([np.zeros(len(i), np.int32), np.minimum(kind, 5)]),
            {
                "height_nm": np.concatenate([nothing, top]),
                "tellurium": np.concatenate([nothing, tellurium]),
                "vacancies": np.concatenate([nothing, missing]),
            },
        ).selected(np.concatenate([np.ones(len(i), bool), missing < 2]))


def make_wsete(settings: WseteSettings, runtime: Runtime) -> Wsete:
    """Return the specimen; the seed is that of the runtime."""
    return Wsete(settings, runtime.seed)
