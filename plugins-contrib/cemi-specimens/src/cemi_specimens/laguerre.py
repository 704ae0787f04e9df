"""A Laguerre polycrystal: grains of a log-normal spread of sizes, as annealed metals and ceramics have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
_PACKING_ROUNDS = 300
_WEIGHT_ROUNDS = 14
_SAMPLES_PER_GRAIN = 150


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
    power ``distance^2 - weight``. The weights begin as the squared radii and are then changed until each grain has the
    area that it should (Bourne, Kok, Roper and Spanjer, Phil. Mag. 100 (2020) 2677).

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
        return math.ceil(2 * self._sites().reach * self.period_px) + 2

    def properties(self) -> Mapping[str, float]:
        """Return the density of grains, their mean area and the spread of their diameters."""
        area_um2 = math.pi / 4 * self.settings.grain_um**2
        return {
            "grains_per_um2": 1 / area_um2,
            "mean_grain_area_um2": area_um2,
            "log_diameter_deviation": self.settings.size_spread,
        }

    def numbers(self, box: Box) -> NDArray[np.int64]:
        """Return for each pixel of a box the number of its grain."""
        sites, period = self._sites(), self.period_px
        margin = sites.reach * period + 1
        near = []
        for period_y in _periods(box.y, box.height, margin, period):
            for period_x in _periods(box.x, box.width, margin, period):
                y, x = (sites.centres + np.array([period_y, period_x])).T * period
                keep = (y > box.y - margin) & (y < box.y + box.height + margin)
                keep &= (x > box.x - margin) & (x < box.x + box.width + margin)
                index = np.flatnonzero(keep)
                numbers = object_numbers(period_y, period_x, index, 20)
                near.append((y[keep], x[keep], _third(sites.weights)[index] * period, numbers))
        y, x, third, numbers = (np.concatenate(part) for part in zip(*near, strict=True))
        return np.asarray(numbers[nearest_point(box, np.column_stack([y, x, third]))], np.int64)

    def _sites(self) -> Sites:
        s = self.settings
        return laguerre_sites(s.grains_per_period, s.size_spread, self.seed)


def _periods(start: int, size: int, margin: float, period: float) -> range:
    """Return the periods that an interval touches, with a margin."""
    return range(math.floor((start - margin) / period), math.floor((start + size + margin) / period) + 1)


@dataclass(frozen=True)
class Sites:
    """The sites of a power diagram on a torus of edge 1.

    Attributes
    ----------
    centres : ndarray of float64, shape (n, 2)
        y and x, 0 to 1.
    weights : ndarray of float64, shape (n,)
        A point belongs to the site of the least ``distance^2 - weight``.
    reach : float
        No point of a grain is farther from its site.
    """

    centres: NDArray[np.float64]
    weights: NDArray[np.float64]
    reach: float


@solved_once
def laguerre_sites(count: int, spread: float, seed: int) -> Sites:
    """Return sites whose grains have log-normal diameters of a spread."""
    rng = np.random.default_rng([seed, 11])
    # at evenly spaced quantiles rather than drawn, so that the spread of so few grains is the stated one
    radii = np.exp(spread * ndtri(rng.permutation((np.arange(count) + 0.5) / count)))
    share = radii**2 / float((radii**2).sum())
    radii = np.sqrt(_PACKED_SHARE / math.pi * share)
    centres = pack_discs(radii, rng.random((count, 2)))
    size = math.ceil(math.sqrt(count * _SAMPLES_PER_GRAIN))
    weights = radii**2
    for _ in range(_WEIGHT_ROUNDS):
        area = np.bincount(_owners(centres, weights, size).ravel(), minlength=count) / size**2
        # moving all its boundaries, a grain of six neighbours grows by sqrt(3) times the change of its weight
        weights = weights + 0.7 * (share - area) / math.sqrt(3)
    largest = float(radii.max())
    return Sites(centres, weights, math.sqrt((2 * largest) ** 2 + float(np.ptp(weights))))


def pack_discs(radii: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return centres (n, 2) on a torus of edge 1 so that discs of the radii hardly overlap, from a first guess."""
    for _ in range(_PACKING_ROUNDS):
        pairs = cKDTree(centres, boxsize=1.0).query_pairs(2 * float(radii.max()), output_type="ndarray")
        apart = centres[pairs[:, 0]] - centres[pairs[:, 1]]
        apart -= np.round(apart)
        distance = np.maximum(np.hypot(apart[:, 0], apart[:, 1]), 1e-12)
        overlap = radii[pairs].sum(axis=1) - distance
        hit = overlap > 1e-6
        if not hit.any():
            break
        push = apart[hit] * (0.5 * overlap[hit] / distance[hit])[:, None]
        change = np.zeros_like(centres)
        np.add.at(change, pairs[hit, 0], push)
        np.subtract.at(change, pairs[hit, 1], push)
        centres = (centres + change) % 1.0
    return centres


def _owners(centres: NDArray[np.float64], weights: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return the site that owns each of ``size`` x ``size`` points of the torus."""
    shifts = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)], np.float64)
    around = (centres[None] + shifts[:, None]).reshape(-1, 2)
    index = np.tile(np.arange(len(centres)), len(shifts))
    near = (np.abs(around - 0.5) < 0.9).all(axis=1)
    points = np.column_stack([around[near], _third(weights)[index[near]]])
    # on the grid of pixels, so that one function answers for both
    return index[near][nearest_point(Box(0, 0, size, size), points * size)]


def _third(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a third coordinate of the sites that makes the power a squared distance (less a constant)."""
    return np.asarray(np.sqrt(weights.max() - weights), np.float64)


def make_laguerre(settings: LaguerreSettings, runtime: Runtime) -> Laguerre:
    """Return the specimen; the seed is that of the runtime."""
    return Laguerre(settings, runtime.seed)
