"""Particles on a substrate: round or elongated, of many sizes, apart or touching or overlapping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from cemi_core.errors import UsageError
from cemi_core.model.classes import class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import diameter_column, lies_in, number_column
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.painted import windows
from cemi_specimens.periodic import solved_once
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import smooth_noise

_TRIES = 200
_OUTLINE_POINTS = 48


class ParticleSettings(SpecimenSettings):
    """What particles look like and how they lie."""

    diameter_um: float = Field(2.0, gt=0, description="Median equal-area diameter, um.")
    size_spread: float = Field(0.25, ge=0, le=0.6, description="Standard deviation of the logarithm of the diameter.")
    aspect_ratio: float = Field(1.0, ge=1, le=4, description="Long over short axis; 1 for discs.")
    coverage: float = Field(0.3, ge=0.02, le=0.5, description="Area of all particles over that of the plane.")
    touching: float = Field(0.5, ge=0, le=1, description="Share of particles that are placed against another one.")
    overlap: float = Field(
        0.0, ge=0, le=0.5, description="How deep a particle reaches into the one it was placed against, in its radii."
    )
    particles_per_period: int = Field(150, ge=20, le=1000, description="Particles after which the structure repeats.")
    particle_grey: float = Field(0.55, ge=0, le=1, description="Grey level in a particle's middle.")
    edge_grey: float = Field(0.95, ge=0, le=1, description="Grey level at its edge, where more secondaries leave it.")
    substrate_grey: float = Field(0.2, ge=0, le=1, description="Grey level of the substrate.")


@dataclass(frozen=True)
class Ellipses:
    """Ellipses in one period, in units of its edge; later ones lie on top. All arrays have shape (n,)."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    long: NDArray[np.float64]  # half axes
    short: NDArray[np.float64]
    angle: NDArray[np.float64]  # of the long axis against x, towards +y, radians
    against: NDArray[np.int64]  # the ellipse that it was placed against; -1 for none


class Particles(Plane):
    """Exact discs or ellipses, placed one after the other on a torus (random sequential addition, Feder 1980).

    A share of them is set against a particle that is there already, at a random side, so that both touch in exactly
    one point, or overlap by the wanted depth; the others are dropped where there is room. A particle shades as a
    half-ellipsoid in a secondary-electron image: the yield grows as 1 / cos of the surface's slope (Reimer, Scanning
    Electron Microscopy, 2nd ed., 5.2), which brightens its edge.

    Parameters
    ----------
    settings : ParticleSettings
        Sizes, coverage, contacts, grey levels.
    seed : int
        Draws sizes and positions.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("particle",)
    field_names: ClassVar[tuple[str, ...]] = ("height_um",)
    has_labels: ClassVar[bool] = True
    settings: ParticleSettings

    def __init__(self, settings: ParticleSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.require_px("diameter_um", 2, 2000)

    @property
    def period_px(self) -> float:
        """Edge of the square after which the structure repeats, px."""
        s = self.settings
        radii = _radii(s.particles_per_period, s.size_spread)
        area_px = math.pi * float((radii**2).sum()) * self.px(s.diameter_um) ** 2
        return math.sqrt(area_px / s.coverage)

    def properties(self) -> Mapping[str, float]:
        """Return coverage, density, sizes and the share of particles that touch another."""
        s = self.settings
        per_um2 = s.particles_per_period / (self.period_px * self.pixel_size_um) ** 2
        placed = self._placed().against
        touching = np.union1d(np.flatnonzero(placed >= 0), placed[placed >= 0])
        return {
            "coverage": s.coverage,
            "particles_per_um2": per_um2,
            "median_diameter_um": s.diameter_um,
            "log_diameter_deviation": s.size_spread,
            "touching_share": len(touching) / s.particles_per_period,
        }

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s, key = self.settings, self.key(113)
        grey = np.full((box.height, box.width), s.substrate_grey, np.float32)
        grey += np.float32(0.01) * smooth_noise(key, box, 1.5)
        particles, _ = self._near(box)
        for index, window in windows(box, particles.y, particles.x, particles.angle, particles.long + 2):
            r2, inside_px = _radius2(particles, index, window.u, window.v)
            # 1 / cos(slope) of a half-ellipsoid, cut at 3 as the escape depth rounds the edge
            steep = np.minimum(1 / np.sqrt(np.maximum(1 - r2, 1e-9)), 3)
            shade = s.particle_grey + (s.edge_grey - s.particle_grey) * (steep - 1) / 2
            cover = np.clip(inside_px + 0.5, 0, 1)
            under = grey[window.slices]
            under += (cover * (shade - under)).astype(np.float32)
        return grey

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask, the number of the particle on top and the height of the surface."""
        labels = np.zeros((box.height, box.width), np.int64)
        height = np.zeros((box.height, box.width), np.float32)
        particles, numbers = self._near(box)
        for index, window in windows(box, particles.y, particles.x, particles.angle, particles.long + 2):
            r2, _ = _radius2(particles, index, window.u, window.v)
            inside = r2 <= 1
            labels[window.slices][inside] = numbers[index]
            dome = particles.short[index] * self.pixel_size_um * np.sqrt(np.maximum(1 - r2, 0))
            np.copyto(height[window.slices], dome.astype(np.float32), where=inside)
        return SpecimenTruth(masks={"particle": labels != 0}, labels=labels, fields={"height_um": height})

    def objects(self, box: Box) -> Objects:
        """Return the particles whose middle lies in a box: exact middle, full area and axes, also where covered."""
        particles, numbers = self._near(box)
        keep = np.flatnonzero(lies_in(box, particles.y, particles.x))
        p = Ellipses(*(getattr(particles, name)[keep] for name in Ellipses.__dataclass_fields__))
        area = math.pi * p.long * p.short
        turn = np.linspace(0, 2 * math.pi, _OUTLINE_POINTS, endpoint=False)
        u, v = p.long[:, None] * np.cos(turn), p.short[:, None] * np.sin(turn)
        cos, sin = np.cos(p.angle)[:, None], np.sin(p.angle)[:, None]
        outline = np.stack([p.y[:, None] + u * sin + v * cos, p.x[:, None] + u * cos - v * sin], axis=-1)
        return Objects(
            "particles",
            "Particles",
            p.y,
            p.x,
            area,
            classes=class_labels(["particle"]),
            columns=(
                number_column(numbers[keep]),
                diameter_column(area, self.pixel_size_um),
                ObjectColumn("length_um", "Long axis", "um", 2 * p.long * self.pixel_size_um),
                ObjectColumn("width_um", "Short axis", "um", 2 * p.short * self.pixel_size_um),
                ObjectColumn("orientation_deg", "Direction of the long axis", "deg", np.rad2deg(p.angle) % 180),
            ),
            outline_px=outline.reshape(-1, 2).astype(np.float32),
            outline_start=np.arange(len(keep) + 1, dtype=np.int64) * _OUTLINE_POINTS,
        )

    def _placed(self) -> Ellipses:
        s = self.settings
        return place_particles(
            s.particles_per_period, s.size_spread, s.aspect_ratio, s.coverage, s.touching, s.overlap, self.seed
        )

    def _near(self, box: Box) -> tuple[Ellipses, NDArray[np.int64]]:
        """Return the particles that reach into a box, in px, in the order in which they are painted."""
        placed, period = self._placed(), self.period_px
        margin = float(placed.long.max()) * period + 3
        found = []
        for period_y in range(
            math.floor((box.y - margin) / period), math.floor((box.y + box.height + margin) / period) + 1
        ):
            for period_x in range(
                math.floor((box.x - margin) / period), math.floor((box.x + box.width + margin) / period) + 1
            ):
                y, x = (placed.y + period_y) * period, (placed.x + period_x) * period
                near = (y > box.y - margin) & (y < box.y + box.height + margin)
                near &= (x > box.x - margin) & (x < box.x + box.width + margin)
                index = np.flatnonzero(near)
                found.append((index, y[index], x[index], object_numbers(period_y, period_x, index, 20)))
        index, y, x, numbers = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.lexsort((numbers, index))
        index = index[order]
        here = Ellipses(
            y[order],
            x[order],
            placed.long[index] * period,
            placed.short[index] * period,
            placed.angle[index],
            placed.against[index],
        )
        return here, numbers[order]


def _radius2(
    particles: Ellipses, index: int, u: NDArray[np.float64], v: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared distance from the middle in units of the ellipse's radius, and the depth inside it, px."""
    long, short = particles.long[index], particles.short[index]
    r2 = (u / long) ** 2 + (v / short) ** 2
    slope = np.sqrt(np.maximum((u / long**2) ** 2 + (v / short**2) ** 2, 1e-12))
    return r2, (1 - r2) / (2 * slope)


def _radii(count: int, spread: float) -> NDArray[np.float64]:
    """Return radii at even quantiles of a log-normal law, in units of the median diameter; largest first."""
    return np.asarray(0.5 * np.exp(spread * ndtri((np.arange(count, 0, -1) - 0.5) / count)), np.float64)


@solved_once
def place_particles(
    count: int, spread: float, aspect: float, coverage: float, touching: float, overlap: float, seed: int
) -> Ellipses:
    """Return ellipses on the unit torus, the largest placed first.

    Raises
    ------
    UsageError
        There was no room for all of them.
    """
    rng = np.random.default_rng([seed, 15])
    radii = _radii(count, spread)
    radii *= math.sqrt(coverage / (math.pi * float((radii**2).sum())))
    long, short = radii * math.sqrt(aspect), radii / math.sqrt(aspect)
    angle = rng.uniform(0, math.pi, count)
    place = np.zeros((count, 2))
    against = np.full(count, -1, np.int64)
    for k in range(count):
        wants_contact = k > 0 and rng.random() < touching
        for _ in range(_TRIES):
            host = int(rng.integers(k)) if wants_contact else -1
            if wants_contact:
                place[k] = _against(place, long, short, angle, host, k, overlap, rng.uniform(0, 2 * math.pi))
            else:
                place[k] = rng.random(2)
            if not _hits(place, long, short, angle, k, host):
                against[k] = host
                break
        else:
            raise UsageError(
                f"there is no room for {count} particles at a coverage of {coverage:g}: lower the coverage or raise "
                "touching or overlap"
            )
    return Ellipses(place[:, 0], place[:, 1], long, short, angle, against)


def _apart(offset: NDArray[np.float64], a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Return a contact function of two ellipses (long, short, angle): below 0 if they overlap, 0 if they touch.

    Perram and Wertheim, J. Comput. Phys. 58 (1985) 409: the largest over s of
    ``s (1 - s) r^T [s B + (1 - s) A]^-1 r``, less 1, with A and B the matrices of the squared half axes.
    """
    matrices = []
    for long, short, angle in (a, b):
        axes = np.array([[math.sin(angle), math.cos(angle)], [math.cos(angle), -math.sin(angle)]])
        matrices.append(axes @ np.diag([long**2, short**2]) @ axes.T)
    share = np.linspace(0.02, 0.98, 49)
    for _ in range(2):
        mixed = share[:, None, None] * matrices[1] + (1 - share)[:, None, None] * matrices[0]
        solved = np.linalg.solve(mixed, np.broadcast_to(offset[:, None], (len(share), 2, 1)))[..., 0]
        value = share * (1 - share) * (solved @ offset)
        best = int(value.argmax())
        step = share[1] - share[0]
        share = np.linspace(max(share[best] - step, 1e-6), min(share[best] + step, 1 - 1e-6), 41)
    return float(value.max()) - 1


def _against(
    place: NDArray[np.float64],
    long: NDArray[np.float64],
    short: NDArray[np.float64],
    angle: NDArray[np.float64],
    host: int,
    new: int,
    overlap: float,
    direction: float,
) -> NDArray[np.float64]:
    """Return where the new ellipse touches its host in a direction, or overlaps it by the wanted depth."""
    way = np.array([math.sin(direction), math.cos(direction)])
    if long[new] == short[new] and long[host] == short[host]:
        distance = long[host] + long[new]
    else:
        a, b = ((long[i], short[i], angle[i]) for i in (host, new))
        # the contact function is quadratic in the distance: one value gives the distance at which it is 0
        probe = long[host] + long[new]
        distance = probe / math.sqrt(_apart(way * probe, a, b) + 1)
    return np.asarray((place[host] + way * (distance - overlap * math.sqrt(long[new] * short[new]))) % 1.0, np.float64)


def _hits(
    place: NDArray[np.float64],
    long: NDArray[np.float64],
    short: NDArray[np.float64],
    angle: NDArray[np.float64],
    new: int,
    host: int,
) -> bool:
    """Return whether the new ellipse overlaps any before it but its host."""
    offset = place[:new] - place[new]
    offset -= np.rint(offset)
    distance = np.hypot(offset[:, 0], offset[:, 1])
    near = np.flatnonzero(distance < long[:new] + long[new])
    for other in near:
        if other == host:
            continue
        if distance[other] < short[other] + short[new]:
            return True
        a, b = ((long[i], short[i], angle[i]) for i in (new, int(other)))
        if long[new] > short[new] and _apart(offset[other], a, b) < 0:
            return True
    return False


def make_particles(settings: ParticleSettings, runtime: Runtime) -> Particles:
    """Return the specimen; the seed is that of the runtime."""
    return Particles(settings, runtime.seed)
