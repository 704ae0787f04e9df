"""A polycrystal after grain growth, by the Monte Carlo Potts model."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_specimens.grains import Grains, GrainSettings
from cemi_specimens.periodic import PeriodicLabels, solved_once

_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
MAX_CELL_PX = 2048
_COARSE_DIAMETER = 10.0  # sites across a grain at the end of the growth on the coarsest lattice
_SMOOTHING_SWEEPS = 12


class PottsSettings(GrainSettings):
    """What a polycrystal grown by the Potts model looks like."""

    grains_across: int = Field(12, ge=6, le=40, description="Grains along the edge of the square that repeats.")


class Potts(Grains):
    """Normal grain growth: sites of a lattice take the orientation of a neighbour wherever that saves boundary energy.

    Anderson, Srolovitz, Grest and Sahni, Acta Metall. 32 (1984) 783: each site has a grain, the energy is the number
    of unlike neighbours (eight of them), and a change of a site to a neighbour's grain is accepted unless the energy
    rises (temperature 0). Growth is curvature-driven, triple junctions tend to 120 degrees. It runs on a coarse
    lattice until the grains have their size there, and is then refined twofold until a site is a pixel, with a few
    sweeps each time, since the structure of growing grains is the same at every scale.

    Parameters
    ----------
    settings : PottsSettings
        Grain size and contrast.
    seed : int
        Draws the first grains and every change.
    """

    settings: PottsSettings

    def __init__(self, settings: PottsSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        across = settings.grains_across * math.sqrt(math.pi / 4) * self.px(settings.grain_um)
        if not 32 <= across <= MAX_CELL_PX:
            raise UsageError(
                f"{settings.grains_across} grains of {self.px(settings.grain_um):.4g} px are {across:.4g} px across; "
                f"the Potts model works on 32 to {MAX_CELL_PX} px: change grains_across, grain_um or pixel_size"
            )
        self._size_px = round(across)

    @property
    def reach_px(self) -> int:
        """No pixel of a grain is farther than this from its centroid, px."""
        return int(self._cell().reach_px)

    def properties(self) -> Mapping[str, float]:
        """Return the density of grains and their mean area, as they are after the growth."""
        count = int(self._cell().labels.max()) + 1
        area_um2 = (self._size_px * self.pixel_size_um) ** 2 / count
        return {"grains_per_um2": 1 / area_um2, "mean_grain_area_um2": area_um2}

    def numbers(self, box: Box) -> NDArray[np.int64]:
        """Return for each pixel of a box the number of its grain."""
        return self._cell().numbers(box)

    def _cell(self) -> PeriodicLabels:
        return grow_grains(self._size_px, self.settings.grains_across**2, self.seed)


@solved_once
def grow_grains(size_px: int, grains: int, seed: int) -> PeriodicLabels:
    """Return a period of a structure of about so many grains, grown from one grain for each site."""
    rng = np.random.default_rng([seed, 12])
    diameter_px = size_px * math.sqrt(4 / math.pi / grains)
    doublings = max(0, math.floor(math.log2(max(diameter_px / _COARSE_DIAMETER, 1))))
    size = -(-size_px // (2**doublings * 2)) * 2
    sites = np.arange(size * size, dtype=np.int32).reshape(size, size)
    while len(np.unique(sites)) > grains:
        _sweep(sites, rng)
    for _ in range(doublings):
        sites = np.repeat(np.repeat(sites, 2, axis=0), 2, axis=1)
        for _ in range(_SMOOTHING_SWEEPS):
            _sweep(sites, rng)
    # the lattice is a few sites larger than asked for; sampling it on the pixels keeps it periodic
    pick = np.arange(size_px) * len(sites) // size_px
    _, labels = np.unique(sites[np.ix_(pick, pick)], return_inverse=True)
    return PeriodicLabels(_connected(labels.reshape(size_px, size_px)))


def _sweep(sites: NDArray[np.int32], rng: np.random.Generator) -> None:
    """Offer every site the grain of one of its neighbours, in place; a quarter of the lattice at a time.

    No two sites of a quarter are neighbours, so that all of them can change at once.
    """
    padded = np.pad(sites, 1, mode="wrap")
    height, width = sites.shape
    for quarter in rng.permutation(4):
        top, left = int(quarter) // 2, int(quarter) % 2
        around = np.stack(
            [padded[1 + top + dy : 1 + height + dy : 2, 1 + left + dx : 1 + width + dx : 2] for dy, dx in _NEIGHBOURS]
        )
        here = padded[1 + top : 1 + height : 2, 1 + left : 1 + width : 2]
        choice = rng.integers(0, 8, here.shape)
        offered = np.take_along_axis(around, choice[None], axis=0)[0]
        gain = (around == offered).sum(axis=0, dtype=np.int8) - (around == here).sum(axis=0, dtype=np.int8)
        here[...] = np.where(gain >= 0, offered, here)
        padded[0], padded[-1] = padded[-2], padded[1]
        padded[:, 0], padded[:, -1] = padded[:, -2], padded[:, 1]
    sites[...] = padded[1:-1, 1:-1]


def _connected(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return labels of which each is one connected region on the torus; crumbs below 4 px join a neighbour."""
    size = labels.shape[0]
    parts = np.zeros(labels.shape, np.int64)
    count = 0
    edges = (labels != np.roll(labels, -1, 0)), (labels != np.roll(labels, -1, 1))
    # components of the plane first (a map of twice the size whose odd pixels are the links), then across the seams
    links = np.zeros((2 * size, 2 * size), np.uint8)
    links[::2, ::2] = 1
    links[1::2, ::2] = ~edges[0]
    links[::2, 1::2] = ~edges[1]
    links[-1], links[:, -1] = 0, 0
    count, found = cv2.connectedComponents(links, connectivity=4)
    parts = found[::2, ::2].astype(np.int64)
    parent = np.arange(count)

    def root(k: int) -> int:
        while parent[k] != k:
            k = int(parent[k])
        return k

    for a, b, same in (
        (parts[-1], parts[0], ~edges[0][-1]),
        (parts[:, -1], parts[:, 0], ~edges[1][:, -1]),
    ):
        for i, j in zip(a[same], b[same], strict=True):
            parent[max(root(int(i)), root(int(j)))] = min(root(int(i)), root(int(j)))
    merged = np.array([root(k) for k in range(count)])[parts]
    area = np.bincount(merged.ravel())
    for y, x in np.argwhere(area[merged] < 4):
        around = [merged[(y + dy) % size, (x + dx) % size] for dy, dx in _NEIGHBOURS]
        merged[y, x] = max(around, key=lambda k: area[k])
    _, connected = np.unique(merged, return_inverse=True)
    return connected.reshape(labels.shape)


def make_potts(settings: PottsSettings, runtime: Runtime) -> Potts:
    """Return the specimen; the seed is that of the runtime."""
    return Potts(settings, runtime.seed)
