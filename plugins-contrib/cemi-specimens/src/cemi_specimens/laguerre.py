"""A Laguerre polycrystal: grains of a log-normal spread of sizes, as annealed metals and ceramics have them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import cKDTree
from scipy.special import ndtri

from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.grains import Grains, GrainSettings
from cemi_specimens.nearest import nearest_point
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.periodic import solved_once

_PACKED_SHARE = 0.82
_ROUNDS = 400


class LaguerreSettings(GrainSettings):
    """What a Laguerre polycrystal looks like."""

    size_spread: float = Field(
        0.35, ge=0, le=0.6, description="Standard deviation of the logarithm of the grain diameter."
    )
    grains_per_period: int = Field(400, ge=50, le=4000, description="Grains after which the structure repeats.")


class Laguerre(Grains):
    """A power diagram of packed discs (Fan, Wu, Zhao and Lu, Comput. Mater. Sci. 29 (2004) 301).

    Discs with log-normal diameters are packed on a torus by pushing overlapping ones apart (force-biased packing,
    Bezrukov, Bargiel and Stoyan, Part. Part. Syst. Charact. 19 (2002) 111); a point belongs to the disc of the least
    power ``distance^2 - radius^2``. So a grain's size follows its disc's, unlike a Voronoi cell's.

    Parameters
    ----------
    settings : LaguerreSettings
        Grain size, spread, contrast.
    seed : int
        Draws the discs.
    """

    settings: LaguerreSettings

    @property
    def period_px(self) -> float:
        """Edge of the square after which the structure repeats, px."""
        return math.sqrt(self.settings.grains_per_period * math.pi / 4) * self.px(self.settings.grain_um)

    @property
    def reach_px(self) -> int:
        """No pixel of a grain is farther than this from its centroid, px."""
        _, radii = self._discs()
        return int(math.ceil(4 * radii.max()) + 2)

    def properties(self) -> Mapping[str, float]:
        """Return the density of grains, their mean area and the spread of the packed diameters."""
        area_um2 = math.pi / 4 * self.settings.grain_um**2
        return {
            "grains_per_um2": 1 / area_um2,
            "mean_grain_area_um2": area_um2,
            "log_diameter_deviation": self.settings.size_spread,
        }

    def numbers(self, box: Box) -> NDArray[np.int64]:
        """Return for each pixel of a box the number of its grain."""
        centres, radii = self._discs()
        period, largest = self.period_px, float(radii.max())
        margin = 4 * largest
        periods_y = np.arange(
            math.floor((box.y - margin) / period), math.floor((box.y + box.height + margin) / period) + 1
        )
        periods_x = np.arange(
            math.floor((box.x - margin) / period), math.floor((box.x + box.width + margin) / period) + 1
        )
        y = (periods_y[:, None, None] * period + centres[:, 0]) + 0 * periods_x[None, :, None]
        x = (periods_x[None, :, None] * period + centres[:, 1]) + 0 * periods_y[:, None, None]
        numbers = object_numbers(periods_y[:, None, None], periods_x[None, :, None], np.arange(len(radii)), 20)
        radius = np.broadcast_to(radii, y.shape)
        near = (y > box.y - margin) & (y < box.y + box.height + margin)
        near &= (x > box.x - margin) & (x < box.x + box.width + margin)
        # the power is a distance in three dimensions, with sqrt(largest^2 - radius^2) as the third coordinate
        height = np.sqrt(largest**2 - radius[near] ** 2)
        return numbers[near][nearest_point(box, np.column_stack([y[near], x[near], height]))]

    def _discs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        s = self.settings
        centres, radii = pack_discs(s.grains_per_period, s.size_spread, self.seed)
        return centres * self.period_px, radii * self.period_px


@solved_once
def pack_discs(count: int, spread: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres (n, 2) and radii (n,) of discs packed on a torus of edge 1, with log-normal diameters."""
    rng = np.random.default_rng([seed, 11])
    # at evenly spaced quantiles rather than drawn, so that the spread of so few discs is the stated one
    quantiles = rng.permutation((np.arange(count) + 0.5) / count)
    radii = np.exp(spread * ndtri(quantiles))
    radii *= math.sqrt(_PACKED_SHARE / (math.pi * float((radii**2).sum())))
    centres = rng.random((count, 2))
    for _ in range(_ROUNDS):
        pairs = cKDTree(centres, boxsize=1.0).query_pairs(2 * float(radii.max()), output_type="ndarray")
        apart = centres[pairs[:, 0]] - centres[pairs[:, 1]]
        apart -= np.round(apart)
        distance = np.maximum(np.hypot(apart[:, 0], apart[:, 1]), 1e-12)
        overlap = radii[pairs].sum(axis=1) - distance
        hit = overlap > 1e-6
        if not hit.any():
            break
        push = apart[hit] * (0.5 * overlap[hit] / distance[hit])[:, None]
        for axis in (0, 1):
            centres[:, axis] += np.bincount(pairs[hit, 0], push[:, axis], count)
            centres[:, axis] -= np.bincount(pairs[hit, 1], push[:, axis], count)
        centres %= 1.0
    return centres, radii


def make_laguerre(settings: LaguerreSettings, runtime: Runtime) -> Laguerre:
    """Return the specimen; the seed is that of the runtime."""
    return Laguerre(settings, runtime.seed)
