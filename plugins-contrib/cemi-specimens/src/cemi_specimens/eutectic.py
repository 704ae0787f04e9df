"""Eutectic colonies after Jackson and Hunt: lamellae with faults, or rods, each colony with its own direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import cKDTree

from cemi_core.model.classes import class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import label_objects
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import lattice_uniform, number_uniform, smooth_noise

#: Below this volume fraction rods have less interface than lamellae (Jackson and Hunt 1966, equal energies).
ROD_FRACTION = 1 / math.pi
_SALT = 109
_FAULT_MESH = 6.0  # spacings between the lattice nodes at which faults may lie
_FAULT_REACH = 8.0  # spacings over which a fault bends the lamellae


class EutecticSettings(SpecimenSettings):
    """What a eutectic looks like."""

    fraction: float = Field(0.4, ge=0.1, le=0.5, description="Area fraction of the dark phase.")
    growth: Literal["auto", "lamellae", "rods"] = Field(
        "auto", description="Lamellae, rods, or what Jackson and Hunt expect: rods below a fraction of 1/pi."
    )
    spacing_um: float = Field(0.8, gt=0, description="Mean spacing of lamellae or rods: one period, um.")
    spacing_spread: float = Field(0.1, ge=0, le=0.2, description="Relative standard deviation between colonies.")
    colony_um: float = Field(18.0, gt=0, description="Diameter of a circle with the mean area of a colony, um.")
    faults: float = Field(0.25, ge=0, le=1, description="Faults (ends of a lamella, in pairs) per 36 squared spacings.")
    dark_grey: float = Field(0.34, ge=0, le=1, description="Grey level of the dark phase.")
    bright_grey: float = Field(0.64, ge=0, le=1, description="Grey level of the bright phase.")


@dataclass(frozen=True)
class _Colonies:
    """The colonies of a box: an index at every pixel, and one value for each of them."""

    index: NDArray[np.int64]  # (h, w), into the arrays below
    number: NDArray[np.int64]
    y_px: NDArray[np.float64]  # nucleus
    x_px: NDArray[np.float64]
    spacing_px: NDArray[np.float64]  # as it is cut by the image plane
    angle: NDArray[np.float64]  # of the lamellae's normal, or of the rods' tilt, radians
    tilt: NDArray[np.float64]  # of the growth direction out of the image's normal (rods), radians


class Eutectic(Plane):
    """Colonies of a regular eutectic, cut by the image plane.

    At a growth speed v the spacing that grows is set by ``spacing^2 v = constant`` (Jackson and Hunt, Trans. AIME 236
    (1966) 1129); colonies differ in speed, so in spacing. Lamellae run through a colony with faults: pairs of
    lamella terminations, the dislocations of the pattern (Double, Mater. Sci. Eng. 11 (1973) 325), each pair one extra
    lamella that ends at both. Rods stand on a hexagonal lattice and are cut at an angle, so that they are ellipses.

    Parameters
    ----------
    settings : EutecticSettings
        Fraction, spacing, colonies, faults.
    seed : int
        Draws colonies and faults.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("dark",)
    mean_names: ClassVar[tuple[str, ...]] = ("spacing_um",)
    has_labels: ClassVar[bool] = True
    settings: EutecticSettings

    def __init__(self, settings: EutecticSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.require_px("spacing_um", 3, 200)
        self.require_px("colony_um", 3, 600)

    @property
    def rods(self) -> bool:
        """Whether the dark phase grows as rods."""
        s = self.settings
        return s.growth == "rods" or (s.growth == "auto" and s.fraction < ROD_FRACTION)

    @property
    def colony_px(self) -> float:
        """Edge of the lattice square that holds one nucleus, px."""
        return math.sqrt(math.pi / 4) * self.px(self.settings.colony_um)

    def properties(self) -> Mapping[str, float]:
        """Return fraction, spacing and the density of colonies and faults."""
        s = self.settings
        per_um2 = 0.0 if self.rods else s.faults / (_FAULT_MESH * s.spacing_um) ** 2
        return {
            "dark_fraction": s.fraction,
            "spacing_um": s.spacing_um,
            "colonies_per_um2": 1 / (math.pi / 4 * s.colony_um**2),
            "fault_pairs_per_um2": per_um2,
        }

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s = self.settings
        colonies = self._colonies(box)
        # how far a pixel is inside the dark phase, px, shared by both phases on the interface
        dark = np.clip(self._inside_px(colonies, box) + 0.5, 0.0, 1.0).astype(np.float32)
        shade = (number_uniform(self.key(_SALT) + 5, colonies.number) - np.float32(0.5)) * np.float32(0.04)
        grey = np.float32(s.bright_grey) - np.float32(s.bright_grey - s.dark_grey) * dark + shade[colonies.index]
        grey += np.float32(0.008) * smooth_noise(self.key(_SALT) + 6, box, 1.5)
        return grey.astype(np.float32, copy=False)

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the dark phase, the number of each pixel's colony and the spacing there."""
        colonies = self._colonies(box)
        spacing = (colonies.spacing_px * self.pixel_size_um).astype(np.float32)[colonies.index]
        return SpecimenTruth(
            masks={"dark": self._inside_px(colonies, box) >= 0},
            means={"spacing_um": (spacing, np.ones(spacing.shape, bool))},
            labels=colonies.number[colonies.index],
        )

    def objects(self, box: Box) -> Objects:
        """Return the colonies whose centroid lies in a box, with spacing and direction."""
        reach = math.ceil(2 * math.sqrt(2) * self.colony_px) + 2
        found = label_objects(box, self.labels, reach, "colonies", "Colonies", self.pixel_size_um)
        numbers = found.column("number").astype(np.int64)
        spacing, angle, _ = self._character(numbers)
        columns = (
            *found.columns,
            ObjectColumn("spacing_um", "Spacing", "um", spacing * self.pixel_size_um),
            ObjectColumn("orientation_deg", "Direction across the lamellae", "deg", np.rad2deg(angle)),
        )
        kind = class_labels(["rods" if self.rods else "lamellae"])
        return Objects(**{**found.__dict__, "columns": columns, "classes": kind})

    def labels_of(self, box: Box) -> NDArray[np.int64]:
        """Return the number of each pixel's colony."""
        colonies = self._colonies(box)
        return colonies.number[colonies.index]

    def _character(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return spacing (px), angle and tilt (radians) of colonies by number."""
        s, key = self.settings, self.key(_SALT)
        even = math.sqrt(12) * (number_uniform(key + 2, numbers).astype(np.float64) - 0.5)
        spacing = self.px(s.spacing_um) * (1 + s.spacing_spread * even)
        angle = math.pi * number_uniform(key + 3, numbers).astype(np.float64)
        tilt = math.radians(45) * number_uniform(key + 4, numbers).astype(np.float64)
        return spacing, angle, tilt

    def _colonies(self, box: Box) -> _Colonies:
        size, key = self.colony_px, self.key(_SALT)
        margin = 1.5 * size
        nodes_y = np.arange(math.floor((box.y - margin) / size), math.floor((box.y + box.height + margin) / size) + 1)
        nodes_x = np.arange(math.floor((box.x - margin) / size), math.floor((box.x + box.width + margin) / size) + 1)
        y = (nodes_y[:, None] + lattice_uniform(key, nodes_y, nodes_x).astype(np.float64)) * size
        x = (nodes_x[None, :] + lattice_uniform(key + 1, nodes_y, nodes_x).astype(np.float64)) * size
        numbers = object_numbers(nodes_y[:, None], nodes_x[None, :], 0).ravel()
        rows, columns = np.mgrid[box.y : box.y + box.height, box.x : box.x + box.width].astype(np.float64)
        # colonies that meet push each other's front about: their boundaries wander by a twentieth of their size
        rows += 0.05 * size * smooth_noise(key + 7, box, max(size / 8, 1.0))
        columns += 0.05 * size * smooth_noise(key + 8, box, max(size / 8, 1.0))
        _, nearest = cKDTree(np.column_stack([y.ravel(), x.ravel()])).query(np.stack([rows, columns], axis=-1))
        present, index = np.unique(nearest, return_inverse=True)
        spacing, angle, tilt = self._character(numbers[present])
        return _Colonies(
            index.reshape(nearest.shape), numbers[present], y.ravel()[present], x.ravel()[present], spacing, angle, tilt
        )

    def _inside_px(self, colonies: _Colonies, box: Box) -> NDArray[np.float64]:
        """Return how far each pixel lies inside the dark phase, px; negative in the bright one."""
        rows = np.arange(box.y, box.y + box.height, dtype=np.float64)[:, None]
        columns = np.arange(box.x, box.x + box.width, dtype=np.float64)[None, :]
        along_y = rows - colonies.y_px[colonies.index]
        along_x = columns - colonies.x_px[colonies.index]
        cos, sin = np.cos(colonies.angle)[colonies.index], np.sin(colonies.angle)[colonies.index]
        across = (along_y * sin + along_x * cos) / colonies.spacing_px[colonies.index]
        if self.rods:
            beside = (along_x * sin - along_y * cos) / colonies.spacing_px[colonies.index]
            across = across * np.cos(colonies.tilt)[colonies.index]
            distance = _to_nearest_rod(across, beside)
            return (_rod_radius(self.settings.fraction) - distance) * colonies.spacing_px[colonies.index]
        across = across + self._fault_turns(box, cos, sin)
        across -= np.rint(across)
        return (self.settings.fraction / 2 - np.abs(across)) * colonies.spacing_px[colonies.index]

    def _fault_turns(self, box: Box, cos: NDArray[np.float64], sin: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how many periods the faults shift the lamellae at each pixel."""
        s, key = self.settings, self.key(_SALT)
        turns = np.zeros((box.height, box.width))
        spacing = self.px(s.spacing_um)
        mesh, reach = _FAULT_MESH * spacing, _FAULT_REACH * spacing
        nodes_y = np.arange(math.floor((box.y - reach) / mesh) - 1, math.floor((box.y + box.height + reach) / mesh) + 2)
        nodes_x = np.arange(math.floor((box.x - reach) / mesh) - 1, math.floor((box.x + box.width + reach) / mesh) + 2)
        present, place_y, place_x, length, sign = (lattice_uniform(key + 10 + i, nodes_y, nodes_x) for i in range(5))
        for i, j in np.argwhere(present < s.faults):
            middle_y = (nodes_y[i] + float(place_y[i, j])) * mesh
            middle_x = (nodes_x[j] + float(place_x[i, j])) * mesh
            top, left = (max(0, math.ceil(c - o - reach)) for c, o in ((middle_y, box.y), (middle_x, box.x)))
            window = (
                slice(top, max(top, math.floor(middle_y - box.y + reach) + 1)),
                slice(left, max(left, math.floor(middle_x - box.x + reach) + 1)),
            )
            y = np.arange(box.y, box.y + box.height, dtype=np.float64)[window[0], None] - middle_y
            x = np.arange(box.x, box.x + box.width, dtype=np.float64)[None, window[1]] - middle_x
            if not y.size or not x.size:
                continue
            # in the axes of the lamellae that are there: u across them, v along them
            u, v = y * sin[window] + x * cos[window], x * sin[window] - y * cos[window]
            half = (0.8 + 1.6 * float(length[i, j])) * spacing
            extra = (np.arctan2(u, v - half) - np.arctan2(u, v + half)) / (2 * math.pi)
            fade = np.clip((reach - np.hypot(u, v)) / (reach - 3 * spacing), 0, 1)
            turns[window] += np.copysign(1, float(sign[i, j]) - 0.5) * extra * (fade * fade * (3 - 2 * fade))
        return turns


def _to_nearest_rod(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the nearest node of a hexagonal lattice with neighbours at distance 1."""
    best = np.full(u.shape, np.inf)
    for shift_u, shift_v in ((0.0, 0.0), (0.5, math.sqrt(3) / 2)):
        du = u - shift_u - np.rint(u - shift_u)
        dv = v - shift_v
        dv = dv - math.sqrt(3) * np.rint(dv / math.sqrt(3))
        np.minimum(best, np.hypot(du, dv), out=best)
    return best


@lru_cache(maxsize=16)
def _rod_radius(fraction: float) -> float:
    """Return the radius, in spacings, of rods of an area fraction (below 0.9, where they touch)."""
    return math.sqrt(fraction * math.sqrt(3) / (2 * math.pi))


def make_eutectic(settings: EutecticSettings, runtime: Runtime) -> Eutectic:
    """Return the specimen; the seed is that of the runtime."""
    return Eutectic(settings, runtime.seed)
