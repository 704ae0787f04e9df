"""Regions of a polyhedral structure: colonies or grains, as a Voronoi tessellation with wandering boundaries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_specimens.random_field import lattice_uniform, smooth_noise

_JITTER = 0.75
# Order of an ordered dither: neighbouring colonies get ranks that differ most, so that a share of colonies is met
# within a few colonies already and not only on average over many.
_DITHER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16


@dataclass(frozen=True)
class Tessellation:
    """The regions that touch a box.

    Attributes
    ----------
    labels : ndarray of int32, shape (ceil(h / step), ceil(w / step))
        For each sample the index into the arrays below.
    step : int
        Distance of the samples, px.
    node_y, node_x : ndarray of int, shape (n,)
        Lattice node of each region: its name, the same in whatever box it is met.
    centre_y_px, centre_x_px : ndarray of float32, shape (n,)
        Seed point of each region.
    """

    labels: NDArray[np.int32]
    step: int
    node_y: NDArray[np.int64]
    node_x: NDArray[np.int64]
    centre_y_px: NDArray[np.float32]
    centre_x_px: NDArray[np.float32]

    def random(self, seed: int) -> NDArray[np.float32]:
        """Return a uniform number in [0, 1) for each region."""
        return _at_nodes(seed, self.node_y, self.node_x)

    def spread_rank(self, seed: int) -> NDArray[np.float32]:
        """Return a uniform number in [0, 1) for each region that is spread evenly among neighbours."""
        return _DITHER[self.node_y % 4, self.node_x % 4] + _at_nodes(seed, self.node_y, self.node_x) / 16

    def number(self) -> NDArray[np.int64]:
        """Return a number for each region that is the same in every box."""
        return (self.node_y + 2**20) * 2**21 + self.node_x + 2**20

    def spread(self, values: NDArray[Any], box: Box) -> NDArray[Any]:
        """Return ``values`` (one for each region) at every pixel of the box."""
        coarse = values[self.labels]
        if self.step == 1:
            return coarse
        fine = np.repeat(np.repeat(coarse, self.step, axis=0), self.step, axis=1)
        return fine[: box.height, : box.width]


def _at_nodes(seed: int, node_y: NDArray[np.int64], node_x: NDArray[np.int64]) -> NDArray[np.float32]:
    rows, columns = np.unique(node_y), np.unique(node_x)
    table = lattice_uniform(seed, rows, columns)
    return table[np.searchsorted(rows, node_y), np.searchsorted(columns, node_x)]


def tessellate(box: Box, size_px: float, seed: int, step: int, waviness: float = 0.12) -> Tessellation:
    """Divide the plane into regions of about ``size_px`` and return those of a box.

    Parameters
    ----------
    box : Box
        Pixels wanted.
    size_px : float
        Mean width of a region.
    seed : int
        Another seed gives another tessellation.
    step : int
        Labels are computed at every ``step``-th pixel; 1 for boundaries exact to the pixel.
    waviness : float
        Deviation of the boundaries from straight lines, as a share of ``size_px``.
    """
    rows, columns = -(-box.height // step), -(-box.width // step)
    full = Box(box.y, box.x, rows * step, columns * step)
    sample = (slice(step // 2, None, step), slice(step // 2, None, step))
    y = (box.y + step // 2 + step * np.arange(rows, dtype=np.float32))[:, None]
    x = (box.x + step // 2 + step * np.arange(columns, dtype=np.float32))[None, :]
    reach = np.float32(waviness * size_px)
    y = y + reach * smooth_noise(seed + 1, full, max(size_px / 4, 1.0))[sample]
    x = x + reach * smooth_noise(seed + 2, full, max(size_px / 4, 1.0))[sample]

    margin = size_px * (1.5 + 3.5 * waviness)
    nodes_y = np.arange(math.floor((box.y - margin) / size_px), math.ceil((box.y + box.height + margin) / size_px) + 1)
    nodes_x = np.arange(math.floor((box.x - margin) / size_px), math.ceil((box.x + box.width + margin) / size_px) + 1)
    node_y, node_x = (grid.ravel() for grid in np.meshgrid(nodes_y, nodes_x, indexing="ij"))
    shift_y, shift_x = lattice_uniform(seed + 3, nodes_y, nodes_x), lattice_uniform(seed + 4, nodes_y, nodes_x)
    centre_y = ((node_y + 0.5 + _JITTER * (shift_y.ravel() - 0.5)) * size_px).astype(np.float32)
    centre_x = ((node_x + 0.5 + _JITTER * (shift_x.ravel() - 0.5)) * size_px).astype(np.float32)
    labels = _nearest(y, x, centre_y, centre_x, box, step, margin)
    return Tessellation(labels, step, node_y, node_x, centre_y, centre_x)


def _nearest(
    y: NDArray[np.float32],
    x: NDArray[np.float32],
    centre_y: NDArray[np.float32],
    centre_x: NDArray[np.float32],
    box: Box,
    step: int,
    reach_px: float,
) -> NDArray[np.int32]:
    """Return the index of the nearest centre; each centre competes only within ``reach_px``, where it can win."""
    nearest = np.full(y.shape, np.inf, np.float32)
    labels = np.zeros(y.shape, np.int32)
    for index in range(len(centre_y)):
        top, left = (int((c - o - reach_px) // step) for c, o in ((centre_y[index], box.y), (centre_x[index], box.x)))
        bottom, right = (
            int((c - o + reach_px) // step) + 1 for c, o in ((centre_y[index], box.y), (centre_x[index], box.x))
        )
        window = (slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0)))
        away_y, away_x = y[window] - centre_y[index], x[window] - centre_x[index]
        distance = away_y * away_y
        distance += away_x * away_x
        best = nearest[window]
        closer = distance < best
        np.copyto(best, distance, where=closer)
        np.copyto(labels[window], np.int32(index), where=closer)
    return labels
