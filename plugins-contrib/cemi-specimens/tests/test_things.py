"""Claims about particles and wires: contacts, overlaps, directions, exact shapes."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_specimens import make_specimen
from cemi_specimens.particles import Particles, place_particles


def test_discs_touch_their_host_in_one_point_and_overlap_no_other() -> None:
    placed = place_particles(100, 0.3, 1.0, 0.35, 0.7, 0.0, 2)
    offset = np.stack([placed.y, placed.x], axis=-1)
    apart = offset[:, None] - offset[None]
    apart -= np.rint(apart)
    gap = np.hypot(apart[..., 0], apart[..., 1]) - placed.long[:, None] - placed.long[None]
    np.fill_diagonal(gap, 1)
    assert gap.min() > -1e-9
    guest = np.flatnonzero(placed.against >= 0)
    assert len(guest) == pytest.approx(70, abs=15)
    np.testing.assert_allclose(gap[guest, placed.against[guest]], 0, atol=1e-9)


@pytest.mark.parametrize("aspect_ratio", [1.0, 2.0, 3.5])
def test_particles_without_overlap_cover_exactly_the_stated_share(aspect_ratio: float) -> None:
    specimen = make_specimen("particles", seed=1, aspect_ratio=aspect_ratio, coverage=0.35, particles_per_period=60)
    assert isinstance(specimen, Particles)
    size = round(specimen.period_px)
    covered = specimen.truth(Box(0, 0, size, size)).masks["particle"].mean()
    assert covered == pytest.approx(0.35, abs=0.003)


def test_touching_ellipses_touch() -> None:
    placed = place_particles(40, 0.2, 2.5, 0.3, 1.0, 0.0, 3)
    turn = np.linspace(0, 2 * np.pi, 4000)
    for guest in np.flatnonzero(placed.against >= 0)[:12]:
        host = placed.against[guest]
        u, v = placed.long[guest] * np.cos(turn), placed.short[guest] * np.sin(turn)
        cos, sin = np.cos(placed.angle[guest]), np.sin(placed.angle[guest])
        dy = placed.y[guest] - placed.y[host] + u * sin + v * cos
        dx = placed.x[guest] - placed.x[host] + u * cos - v * sin
        dy, dx = (d - np.rint(d.mean()) for d in (dy, dx))
        cos, sin = np.cos(placed.angle[host]), np.sin(placed.angle[host])
        r2 = ((dx * cos + dy * sin) / placed.long[host]) ** 2 + ((dy * cos - dx * sin) / placed.short[host]) ** 2
        assert r2.min() == pytest.approx(1, abs=0.005)


def test_overlap_is_as_deep_as_stated() -> None:
    placed = place_particles(60, 0.2, 1.0, 0.3, 1.0, 0.4, 5)
    for guest in np.flatnonzero(placed.against >= 0):
        host = placed.against[guest]
        apart = np.array([placed.y[guest] - placed.y[host], placed.x[guest] - placed.x[host]])
        apart -= np.rint(apart)
        depth = placed.long[guest] + placed.long[host] - np.hypot(*apart)
        assert depth == pytest.approx(0.4 * placed.long[guest], rel=1e-6)


def test_an_isolated_particle_has_the_area_and_middle_of_its_row() -> None:
    specimen = make_specimen("particles", seed=4, touching=0.0, coverage=0.1, aspect_ratio=1.7, diameter_um=3.0)
    box = Box(0, 0, 400, 400)
    objects, labels = specimen.objects(box), specimen.truth(box.grown(100)).labels
    assert objects is not None and len(objects) > 5
    for i in range(len(objects)):
        y, x = np.nonzero(labels == objects.column("number")[i])
        assert len(y) == pytest.approx(objects.area_px[i], rel=0.02)
        assert y.mean() - 100 == pytest.approx(objects.y_px[i], abs=0.15)
        assert x.mean() - 100 == pytest.approx(objects.x_px[i], abs=0.15)
        assert objects.outline(i)[:, 0].mean() == pytest.approx(objects.y_px[i], abs=0.01)


def test_heights_are_those_of_half_spheres() -> None:
    specimen = make_specimen("particles", seed=4, touching=0.0, coverage=0.1, size_spread=0.0, diameter_um=4.0)
    height = specimen.truth(Box(0, 0, 600, 600)).fields["height_um"]
    assert height.max() == pytest.approx(2.0, abs=0.01)
    assert height[height > 0].mean() == pytest.approx(2.0 * 2 / 3, rel=0.03)


def test_too_many_particles_for_the_room_are_refused() -> None:
    specimen = make_specimen("particles", touching=0.0, coverage=0.5, size_spread=0.0, particles_per_period=1000)
    with pytest.raises(UsageError, match="there is no room for 1000 particles"):
        specimen.render(Box(0, 0, 10, 10))


def test_wires_have_the_stated_density_lengths_and_directions() -> None:
    specimen = make_specimen("wires", seed=3, direction_deg=60.0, direction_spread_deg=15.0)
    objects = specimen.objects(Box(0, 0, 3000, 3000))
    assert objects is not None
    assert len(objects) / 300**2 == pytest.approx(0.03, rel=0.01)
    off = (objects.column("orientation_deg") - 60 + 90) % 180 - 90
    assert off.mean() == pytest.approx(0, abs=1)
    assert off.std() == pytest.approx(15, rel=0.05)
    assert objects.column("length_um").mean() == pytest.approx(12, rel=0.01)
    assert objects.column("length_um").std() == pytest.approx(0.2 * 12, rel=0.05)


def test_a_single_wire_covers_the_area_of_its_row_along_its_direction() -> None:
    specimen = make_specimen("wires", seed=2, wires_per_um2=0.0008)
    objects = specimen.objects(Box(0, 0, 1000, 1000))
    labels = specimen.truth(Box(-150, -150, 1300, 1300)).labels
    assert objects is not None and len(objects) > 3
    for i in range(len(objects)):
        y, x = np.nonzero(labels == objects.column("number")[i])
        if len(y) < 0.97 * objects.area_px[i]:
            continue  # another one lies on it
        assert len(y) == pytest.approx(objects.area_px[i], rel=0.03)
        _, vectors = np.linalg.eigh(np.cov(np.stack([x, y])))
        along = np.rad2deg(np.arctan2(vectors[1, 1], vectors[0, 1]))
        assert (along - objects.column("orientation_deg")[i] + 90) % 180 - 90 == pytest.approx(0, abs=0.3)
