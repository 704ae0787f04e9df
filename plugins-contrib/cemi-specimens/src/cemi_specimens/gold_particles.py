"""Gold nanoparticles in the shape of Wulff on a carbon film, column by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.model.classes import ClassLabel, class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.atoms import ATOMIC_NUMBER, Z_POWER, AtomPlane, AtomSettings, Columns
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.random_field import lattice_uniform, smooth_noise

#: Lattice parameter of gold, nm.
A_NM = 0.408


class GoldParticleSettings(AtomSettings):
    """What gold particles look like."""

    diameter_nm: float = Field(3.5, ge=1, le=8, description="Diameter of a sphere of the same volume, nm.")
    gamma_100_over_111: float = Field(
        1.155, gt=0.9, lt=1.7, description="Surface energy of {100} over that of {111}: 2 / sqrt(3) by broken bonds."
    )
    zone: Literal["001", "011"] = Field("011", description="Direction of view.")
    spacing_nm: float = Field(7.0, gt=0, description="Mean distance of the particles' middles, nm.")
    film_grey: float = Field(0.02, ge=0, le=0.2, description="Deviation of the film's grey level.")


class GoldParticles(AtomPlane):
    """Truncated octahedra of gold, each turned about the direction of view.

    Wulff's construction (Z. Krist. 34 (1901) 449): the facets lie at distances from the middle in proportion to their
    surface energies; {111} and {100} bound gold. Counting broken bonds gives 2 / sqrt(3) for the ratio of the two, a
    calculation of the surfaces 1.27 (Vitos et al., Surf. Sci. 411 (1998) 186). One particle lies in each square of a
    lattice. A column's height is that of its topmost atom above the particle's lowest one, and its brightness counts
    its atoms.

    Parameters
    ----------
    settings : GoldParticleSettings
        Size, shape, zone, distance, probe.
    seed : int
        Draws positions and rotations.
    """

    classes: ClassVar[tuple[ClassLabel, ...]] = class_labels(["Au"])
    extra_columns: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("height_nm", "Height of the topmost atom", "nm"),
        ("atoms", "Atoms in the column", "1"),
        ("particle", "Number of the particle", "1"),
    )
    settings: GoldParticleSettings

    def __init__(self, settings: GoldParticleSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        least = 1.3 * settings.diameter_nm
        if settings.spacing_nm < least:
            raise UsageError(
                f"particles of {settings.diameter_nm:g} nm overlap at a spacing of {settings.spacing_nm:g} nm: set "
                f"spacing_nm to at least {least:.3g}"
            )

    @property
    def neighbour_nm(self) -> float:
        """Distance of neighbouring columns in projection, nm."""
        return A_NM / 2 if self.settings.zone == "001" else A_NM * math.sqrt(3 / 8)

    @property
    def brightest(self) -> float:
        """Sum of ``Z**1.7`` over the longest column."""
        return float(self._shape()[2].max() * ATOMIC_NUMBER["Au"] ** Z_POWER)

    def properties(self) -> Mapping[str, float]:
        """Return lattice parameter, atoms and columns of a particle, and its height."""
        y, _, atoms, top = self._shape()
        return {"a_nm": A_NM, "atoms": float(atoms.sum()), "columns": float(len(y)), "height_nm": float(top.max())}

    def support(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels of the carbon film: speckle as wide as the probe."""
        s = self.settings
        speckle = smooth_noise(self.key(149) + 5, box, max(self.probe_px, 0.8))
        film: NDArray[np.float32] = np.float32(s.background_grey) + np.float32(s.film_grey) * speckle
        return film

    def columns(self, box: Box) -> Columns:
        """Return the columns near a box."""
        s, key = self.settings, self.key(149)
        y_nm, x_nm, atoms, top = self._shape()
        reach = self.px(float(np.hypot(y_nm, x_nm).max()) / 1000) + 2
        mesh = self.px(s.spacing_nm / 1000)
        # a particle keeps inside its square, unless it is larger than that
        room = max(mesh - 2 * reach - self.neighbour_px, 0.0)
        nodes_y = np.arange(math.floor((box.y - reach) / mesh) - 1, math.floor((box.y + box.height + reach) / mesh) + 2)
        nodes_x = np.arange(math.floor((box.x - reach) / mesh) - 1, math.floor((box.x + box.width + reach) / mesh) + 2)
        place_y, place_x, turn = (lattice_uniform(key + k, nodes_y, nodes_x).astype(np.float64) for k in range(3))
        middle_y = (nodes_y[:, None] + 0.5) * mesh + room * (place_y - 0.5)
        middle_x = (nodes_x[None, :] + 0.5) * mesh + room * (place_x - 0.5)
        angle = np.deg2rad(s.rotation_deg) + 2 * math.pi * turn
        cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
        per_px = 1 / (1000 * self.pixel_size_um)
        y = middle_y[..., None] + (y_nm * cos + x_nm * sin) * per_px
        x = middle_x[..., None] + (x_nm * cos - y_nm * sin) * per_px
        number = object_numbers(nodes_y[:, None, None], nodes_x[None, :, None], np.arange(len(y_nm)))
        particle = object_numbers(nodes_y[:, None, None], nodes_x[None, :, None], 0)
        shape = y.shape
        return Columns(
            number.ravel(),
            y.ravel(),
            x.ravel(),
            np.broadcast_to(atoms * ATOMIC_NUMBER["Au"] ** Z_POWER, shape).ravel(),
            np.zeros(y.size, np.int32),
            {
                "height_nm": np.broadcast_to(top, shape).ravel(),
                "atoms": np.broadcast_to(atoms, shape).ravel(),
                "particle": np.broadcast_to(particle, shape).ravel().astype(np.float64),
            },
        ).selected(((y >= box.y - 1) & (y <= box.y + box.height) & (x >= box.x - 1) & (x <= box.x + box.width)).ravel())

    def _shape(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        s = self.settings
        return wulff_columns(s.diameter_nm, s.gamma_100_over_111, s.zone)


def wulff_atoms(diameter_nm: float, ratio: float) -> NDArray[np.float64]:
    """Return the positions (n, 3), nm, of the atoms of a truncated octahedron of gold about the origin.

    Parameters
    ----------
    diameter_nm : float
        Diameter of a sphere of the same volume.
    ratio : float
        Surface energy of {100} over that of {111}.
    """
    volume = math.pi / 6 * diameter_nm**3
    # an octahedron |x| + |y| + |z| <= sqrt(3) d, less six pyramids beyond |x| = ratio d
    per_cube = 4 / 3 * math.sqrt(3) ** 3 - 6 * 2 / 3 * max(math.sqrt(3) - ratio, 0.0) ** 3
    distance = (volume / per_cube) ** (1 / 3)
    cells = math.ceil(2 * math.sqrt(3) * distance / A_NM) + 1
    grid = np.arange(-cells, cells + 1)
    half = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    points = half[half.sum(axis=1) % 2 == 0] * (A_NM / 2)
    inside = (np.abs(points).sum(axis=1) <= math.sqrt(3) * distance + 1e-9) & (
        np.abs(points).max(axis=1) <= ratio * distance + 1e-9
    )
    return np.asarray(points[inside], np.float64)


@lru_cache(maxsize=8)
def wulff_columns(
    diameter_nm: float, ratio: float, zone: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return y, x (nm), number of atoms and height of the topmost atom (nm) of each column of a particle."""
    atoms = wulff_atoms(diameter_nm, ratio)
    if zone == "001":
        axes = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    else:
        r = math.sqrt(0.5)
        axes = np.array([[1.0, 0.0, 0.0], [0.0, r, -r], [0.0, r, r]])
    y, x, z = axes @ atoms.T
    places = np.round(np.column_stack([y, x]), 6)
    found, index = np.unique(places, axis=0, return_inverse=True)
    index = index.ravel()
    count = np.bincount(index).astype(np.float64)
    top = np.full(len(found), -np.inf)
    np.maximum.at(top, index, z)
    return found[:, 0], found[:, 1], count, top - z.min()


def make_gold_particles(settings: GoldParticleSettings, runtime: Runtime) -> GoldParticles:
    """Return the specimen; the seed is that of the runtime."""
    return GoldParticles(settings, runtime.seed)
