"""A Voronoi polycrystal: grains that nucleated at one moment and grew with one speed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.grains import Grains, GrainSettings
from cemi_specimens.nearest import nearest_point
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.random_field import lattice_uniform


class VoronoiSettings(GrainSettings):
    """What a Voronoi polycrystal looks like."""

    nuclei_per_node: int = Field(
        4,
        ge=1,
        le=9,
        description="Nuclei drawn in each square of a lattice: 1 gives even grains, 9 nearly Poisson's.",
    )


class Voronoi(Grains):
    """Site-saturated nucleation, isotropic growth (Johnson-Mehl with all nuclei at time zero): Voronoi cells.

    Each square of a lattice holds the same number of nuclei at uniform positions, so the density of grains is exact
    and no point is farther from a nucleus than the square's diagonal. The spread of areas of Poisson's tessellation
    (variance 0.280 of the squared mean; Gilbert, Ann. Math. Stat. 33 (1962) 958) is approached from below.

    Parameters
    ----------
    settings : VoronoiSettings
        Grain size and contrast.
    seed : int
        Draws the nuclei.
    """

    settings: VoronoiSettings

    @property
    def node_px(self) -> float:
        """Edge of a lattice square, px."""
        return math.sqrt(self.settings.nuclei_per_node * math.pi / 4) * self.px(self.settings.grain_um)

    @property
    def reach_px(self) -> int:
        """No pixel of a grain is farther than this from its centroid, px."""
        return math.ceil(2 * math.sqrt(2) * self.node_px) + 1

    def properties(self) -> Mapping[str, float]:
        """Return the density of grains and their mean area."""
        area_um2 = math.pi / 4 * self.settings.grain_um**2
        return {"grains_per_um2": 1 / area_um2, "mean_grain_area_um2": area_um2}

    def numbers(self, box: Box) -> NDArray[np.int64]:
        """Return for each pixel of a box the number of its grain."""
        y, x, numbers = self.nuclei(box)
        return numbers[nearest_point(box, np.column_stack([y, x]))]

    def nuclei(self, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return y, x (px) and number of every nucleus that may own a pixel of a box."""
        size, key = self.node_px, self.key(103)
        margin = math.sqrt(2) * size
        nodes_y = np.arange(math.floor((box.y - margin) / size), math.floor((box.y + box.height + margin) / size) + 1)
        nodes_x = np.arange(math.floor((box.x - margin) / size), math.floor((box.x + box.width + margin) / size) + 1)
        found = []
        for k in range(self.settings.nuclei_per_node):
            y = (nodes_y[:, None] + lattice_uniform(key + 2 * k, nodes_y, nodes_x).astype(np.float64)) * size
            x = (nodes_x[None, :] + lattice_uniform(key + 2 * k + 1, nodes_y, nodes_x).astype(np.float64)) * size
            found.append((y.ravel(), x.ravel(), object_numbers(nodes_y[:, None], nodes_x[None, :], k).ravel()))
        all_y, all_x, numbers = (np.concatenate(part) for part in zip(*found, strict=True))
        return all_y, all_x, numbers


def make_voronoi(settings: VoronoiSettings, runtime: Runtime) -> Voronoi:
    """Return the specimen; the seed is that of the runtime."""
    return Voronoi(settings, runtime.seed)
