"""Dendrites in a eutectic matrix, grown by a phase-field model until the wanted share is solid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import cKDTree

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import label_objects
from cemi_specimens.periodic import PeriodicLabels, index_in_period, repeated, resampled, solved_once
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import number_uniform, smooth_noise

DENDRITES = 4
_GRID = 320
MAX_CELL_PX = 4096
# Kobayashi's model: spacing of the grid, time step, relaxation, mean interface width, anisotropy, driving force
_H, _DT, _TAU, _EPSILON, _DELTA, _ALPHA, _GAMMA, _NOISE, _LATENT = 0.03, 2e-4, 3e-4, 0.01, 0.04, 0.9, 10.0, 0.06, 1.8
_MAX_STEPS = 4000


class DendriteSettings(SpecimenSettings):
    """What a dendritic alloy looks like."""

    dendrite_um: float = Field(
        25.0, gt=0, description="Diameter of a circle with the mean area that one dendrite has for itself, um."
    )
    fraction: float = Field(0.5, ge=0.2, le=0.65, description="Area fraction of the dendrites.")
    dendrite_grey: float = Field(0.64, ge=0, le=1, description="Grey level of the dendrites.")
    matrix_grey: float = Field(0.38, ge=0, le=1, description="Mean grey level of the eutectic between them.")
    eutectic_contrast: float = Field(0.1, ge=0, le=0.4, description="Range of grey levels in the eutectic.")
    eutectic_um: float = Field(0.5, gt=0, description="Size of the features of the eutectic, um.")
    coring: float = Field(0.05, ge=0, le=0.3, description="How much brighter a dendrite's core is than its rim.")


class Dendrites(Plane):
    """Equiaxed dendrites, cut through their middle, of random orientation in the plane.

    Kobayashi, Physica D 63 (1993) 410: a phase field p with fourfold anisotropic interface width and a temperature
    field driven by the latent heat, on a torus with four nuclei; each part of the plane has the crystal axes of the
    nucleus next to it. Growth stops when the wanted fraction is solid; the interface is the level of p at which it is
    so exactly, over one period. What is left solidifies as a fine eutectic.

    Parameters
    ----------
    settings : DendriteSettings
        Size, fraction, grey levels.
    seed : int
        Draws nuclei, orientations and the noise that makes side arms.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("dendrite",)
    has_labels: ClassVar[bool] = True
    settings: DendriteSettings

    def __init__(self, settings: DendriteSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        size = round(math.sqrt(DENDRITES * math.pi / 4) * self.px(settings.dendrite_um))
        if not 64 <= size <= MAX_CELL_PX:
            raise UsageError(
                f"{DENDRITES} dendrites of {self.px(settings.dendrite_um):.4g} px need a period of {size} px; it has "
                f"64 to {MAX_CELL_PX} px: change dendrite_um or pixel_size"
            )
        self._size_px = size
        self.require_px("eutectic_um", 0, 256)

    def properties(self) -> Mapping[str, float]:
        """Return the fraction of the dendrites and their number per area."""
        area_um2 = (self._size_px * self.pixel_size_um) ** 2
        return {"dendrite_fraction": self.settings.fraction, "dendrites_per_um2": DENDRITES / area_um2}

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s, key, cell = self.settings, self.key(107), self._cell()
        solid = repeated(cell.solid, box)
        eutectic = smooth_noise(key, box, max(self.px(s.eutectic_um) / 2, 0.5))
        matrix = np.float32(s.matrix_grey) + np.float32(s.eutectic_contrast / 2) * np.tanh(3 * eutectic)
        core = np.float32(s.dendrite_grey) + np.float32(s.coring) * (repeated(cell.core, box) - np.float32(0.5))
        shade = number_uniform(key + 1, cell.labels.numbers(box)) - np.float32(0.5)
        core += np.float32(0.04) * shade
        return np.asarray(matrix + (core - matrix) * solid, np.float32)

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the dendrites and the number of each."""
        cell = self._cell()
        return SpecimenTruth(masks={"dendrite": repeated(cell.mask, box)}, labels=cell.labels.numbers(box))

    def objects(self, box: Box) -> Objects:
        """Return the dendrites whose centroid lies in a box, with the orientation of their arms, 0 to 90 degrees."""
        cell = self._cell()
        found = label_objects(
            box, cell.labels.numbers, cell.labels.reach_px, "dendrites", "Dendrites", self.pixel_size_um
        )
        index = index_in_period(found.column("number").astype(np.int64))
        column = ObjectColumn("orientation_deg", "Orientation of the arms", "deg", np.rad2deg(cell.angle[index]))
        return Objects(**{**found.__dict__, "columns": (*found.columns, column)})

    def _cell(self) -> _Cell:
        return _on_pixels(self.settings.fraction, self._size_px, self.seed)


@dataclass(frozen=True)
class _Cell:
    """One period on pixels."""

    solid: NDArray[np.float32]  # coverage by solid, 0 to 1
    mask: NDArray[np.bool_]
    core: NDArray[np.float32]  # 1 at what froze first, 0 at what froze last
    labels: PeriodicLabels
    angle: NDArray[np.float64]  # of each dendrite's arms, radians


@solved_once
def _on_pixels(fraction: float, size_px: int, seed: int) -> _Cell:
    phase, frozen, nuclei, angle = grow_dendrites(fraction, seed)
    fine = resampled(phase, size_px)
    rank = min(max(round((1 - fraction) * fine.size), 1), fine.size) - 1
    level = float(np.partition(fine.ravel(), rank)[rank])
    mask = fine > np.float32(level)
    pixels = np.mgrid[:size_px, :size_px].astype(np.float64).transpose(1, 2, 0) / size_px
    _, nearest = cKDTree(nuclei, boxsize=1.0).query(pixels)
    core = np.clip(resampled(1 - frozen / max(frozen.max(), 1), size_px), 0, 1)
    # the interface is some four grid points wide; on the image it is as sharp as a pixel
    slope = max(0.25 * _GRID / size_px, 1e-3)
    solid = np.clip((fine - np.float32(level)) / np.float32(slope) + np.float32(0.5), 0, 1)
    return _Cell(solid, mask, core, PeriodicLabels(np.where(mask, nearest, -1)), angle)


@solved_once
def grow_dendrites(
    fraction: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the phase field, the step at which each point froze, the nuclei (0 to 1) and the angles of the arms."""
    rng = np.random.default_rng([seed, 14])
    nuclei = _spread_nuclei(rng)
    angle = rng.uniform(0, math.pi / 2, DENDRITES)
    points = np.mgrid[:_GRID, :_GRID].astype(np.float64).transpose(1, 2, 0) / _GRID
    distance, nearest = cKDTree(nuclei, boxsize=1.0).query(points)
    turns = 4 * angle[nearest]
    axis = np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)
    p = (distance * _GRID < 3).astype(np.float32)
    heat = np.zeros_like(p)
    frozen = np.zeros_like(p)
    for number in range(_MAX_STEPS):
        change = _growth(p, heat, axis, rng)
        p += change
        heat += np.float32(_DT) * _laplacian(_wrapped(heat)) + np.float32(_LATENT) * change
        frozen[(p < 0.5) | (frozen == 0)] = number
        if number % 10 == 0:
            p[np.abs(p) < 1e-9] = 0  # numbers too small for float32's normal range are slow
            heat[np.abs(heat) < 1e-9] = 0
        if number % 20 == 0 and float((p > 0.5).mean()) >= fraction:
            break
    return p, frozen, nuclei, angle


def _spread_nuclei(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return nuclei on the unit torus that keep apart: each is the best of 30 candidates (Mitchell 1991)."""
    nuclei = rng.random((1, 2))
    while len(nuclei) < DENDRITES:
        candidates = rng.random((30, 2))
        distance, _ = cKDTree(nuclei, boxsize=1.0).query(candidates)
        nuclei = np.vstack([nuclei, candidates[np.argmax(distance)]])
    return nuclei


def _laplacian(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nine-point Laplacian, which favours no direction, of a field with a rim of one point."""
    f = padded
    cross = f[:-2, 1:-1] + f[2:, 1:-1] + f[1:-1, :-2] + f[1:-1, 2:]
    corners = f[:-2, :-2] + f[:-2, 2:] + f[2:, :-2] + f[2:, 2:]
    return (2 * cross + np.float32(0.5) * corners - 10 * f[1:-1, 1:-1]) * np.float32(1 / (3 * _H * _H))


def _along_x(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) * np.float32(1 / (2 * _H))


def _along_y(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    return (padded[2:, 1:-1] - padded[:-2, 1:-1]) * np.float32(1 / (2 * _H))


def _wrapped(field: NDArray[Any]) -> NDArray[np.float32]:
    """Return a field of the torus with a rim of one point."""
    return np.pad(field, 1, mode="wrap")


def _growth(
    p: NDArray[np.float32],
    heat: NDArray[np.float32],
    axis: tuple[NDArray[np.float32], NDArray[np.float32]],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the change of the phase field in one step (Kobayashi's equation 4).

    ``axis`` is the cosine and the sine of four times the angle of the crystal's axes at each point.
    """
    padded = _wrapped(p)
    px, py = _along_x(padded), _along_y(padded)
    # cosine and sine of four times the angle of the front's normal, without a trigonometric function
    square = px * px + py * py + np.float32(1e-12)
    cos2, sin2 = (px * px - py * py) / square, 2 * px * py / square
    cos4, sin4 = cos2 * cos2 - sin2 * sin2, 2 * sin2 * cos2
    width = np.float32(_EPSILON) * (1 + np.float32(_DELTA) * (cos4 * axis[0] + sin4 * axis[1]))
    slope = np.float32(-4 * _EPSILON * _DELTA) * (sin4 * axis[0] - cos4 * axis[1])
    turn = width * slope
    squared = _wrapped(width * width)
    change: NDArray[Any] = _along_y(_wrapped(turn * px))
    change -= _along_x(_wrapped(turn * py))
    change += squared[1:-1, 1:-1] * _laplacian(padded)
    change += _along_x(squared) * px + _along_y(squared) * py
    drive = np.float32(_ALPHA / math.pi) * np.arctan(np.float32(_GAMMA) * (1 - heat))
    noise = np.float32(_NOISE) * (rng.random(p.shape, dtype=np.float32) - np.float32(0.5))
    change += p * (1 - p) * (p - np.float32(0.5) + drive + noise)
    change *= np.float32(_DT / _TAU)
    return change


def make_dendrites(settings: DendriteSettings, runtime: Runtime) -> Dendrites:
    """Return the specimen; the seed is that of the runtime."""
    return Dendrites(settings, runtime.seed)
