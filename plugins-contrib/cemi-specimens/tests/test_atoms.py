"""Claims about the atomic specimens and diffraction patterns: distances, contrast, counts, indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import Specimen
from cemi_specimens import make_specimen
from cemi_specimens.diffraction import Diffraction, wavelength_nm
from cemi_specimens.gold_particles import wulff_atoms

_BOX = Box(-40, 300, 500, 600)


def _atoms(specimen: Specimen, box: Box = _BOX) -> Objects:
    objects = specimen.objects(box)
    assert objects is not None
    return objects


def _nearest_nm(objects: Objects, pixel_size_um: float) -> Any:
    points = np.column_stack([objects.y_px, objects.x_px])
    distance, _ = cKDTree(points).query(points, k=2)
    return distance[:, 1] * pixel_size_um * 1000


@pytest.mark.parametrize(
    ("name", "settings", "nearest_nm"),
    [
        ("graphene", {"vacancy_share": 0.0}, 0.142),
        ("wsete", {"tellurium_share": 0.0, "vacancy_share": 0.0}, 0.328 / np.sqrt(3)),
        ("hea-columns", {"displacement_nm": 0.0}, 0.359 / 2),
        ("hea-columns", {"displacement_nm": 0.0, "zone": "011"}, 0.359 * np.sqrt(3 / 8)),
    ],
)
def test_columns_are_as_far_apart_as_in_the_crystal(name: str, settings: dict[str, Any], nearest_nm: float) -> None:
    specimen = make_specimen(name, **settings)
    found = _nearest_nm(_atoms(specimen), specimen.pixel_size_um)
    assert np.median(found) == pytest.approx(nearest_nm, rel=0.001)
    assert found.max() < 1.3 * nearest_nm


@pytest.mark.parametrize("name", ["graphene", "wsete", "hea-columns", "gold-particles"])
def test_a_column_is_brightest_at_its_position_in_proportion_to_its_strength(name: str) -> None:
    specimen = make_specimen(name, seed=1, probe_nm=0.045, background_grey=0.0, **_plain(name))
    image, objects = specimen.render(_BOX), _atoms(specimen, Box(_BOX.y + 10, _BOX.x + 10, 480, 580))
    strength = objects.column("z_power_sum")
    ratios = []
    for i in range(0, len(objects), max(1, len(objects) // 60)):
        y, x = objects.y_px[i] - _BOX.y, objects.x_px[i] - _BOX.x
        window = image[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7].astype(float)
        rows, columns = np.mgrid[-6:7, -6:7]
        assert (window * rows).sum() / window.sum() == pytest.approx(y - round(y), abs=0.12)
        assert (window * columns).sum() / window.sum() == pytest.approx(x - round(x), abs=0.12)
        ratios.append(window.sum() / strength[i])
    assert np.std(ratios) / np.mean(ratios) < 0.03


def _plain(name: str) -> dict[str, Any]:
    return {"film_grey": 0.0} if name == "gold-particles" else {}


def test_silicon_in_graphene_is_brighter_by_the_power_of_its_atomic_number() -> None:
    objects = _atoms(make_specimen("graphene", silicon_share=0.05), Box(0, 0, 800, 800))
    strength = objects.column("z_power_sum")
    silicon = objects.class_index == 1
    assert silicon.mean() == pytest.approx(0.05, abs=0.02)
    assert strength[silicon].mean() / strength[~silicon].mean() == pytest.approx((14 / 6) ** 1.7)


def test_graphene_has_its_vacancies_and_ripples() -> None:
    objects = _atoms(make_specimen("graphene", vacancy_share=0.05, ripple_nm=0.1), Box(0, 0, 3000, 3000))
    cell_px2 = 24.6**2 * np.sqrt(3) / 2
    assert len(objects) == pytest.approx(0.95 * 2 * 3000**2 / cell_px2, rel=0.01)
    assert objects.column("height_nm").std() == pytest.approx(0.1, rel=0.2)


def test_wsete_has_its_tellurium_and_its_kinds_of_columns() -> None:
    objects = _atoms(make_specimen("wsete", tellurium_share=0.3, vacancy_share=0.0), Box(0, 0, 1500, 1500))
    kinds = np.bincount(objects.class_index, minlength=6) / len(objects)
    assert [label.name for label in objects.classes] == ["W", "Se2", "SeTe", "Te2", "Se", "Te"]
    assert kinds == pytest.approx([0.5, 0.5 * 0.49, 0.5 * 0.42, 0.5 * 0.09, 0, 0], abs=0.02)
    assert objects.column("tellurium").sum() / (2 * (objects.class_index > 0).sum()) == pytest.approx(0.3, abs=0.015)
    assert set(np.unique(objects.column("height_nm"))) == {0.0, 0.167}


def test_hea_columns_count_their_atoms_and_are_displaced_as_stated() -> None:
    plain, moved = (_atoms(make_specimen("hea-columns", displacement_nm=d), Box(0, 0, 1000, 1000)) for d in (0, 0.005))
    counts = sum(moved.column(f"{name}_atoms") for name in ("cr", "mn", "fe", "co", "ni"))
    assert counts.mean() == pytest.approx(20, abs=0.1) and counts.std() == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(moved.column("height_nm"), (counts - 1) * 0.359)
    here = {number: i for i, number in enumerate(plain.column("number"))}
    both = [(here[number], i) for i, number in enumerate(moved.column("number")) if number in here]
    shift = np.array([moved.y_px[i] - plain.y_px[j] for j, i in both]) * 0.01
    assert shift.std() == pytest.approx(0.005, rel=0.06)


@pytest.mark.parametrize("ratio", [1.0, 1.155, 1.6])
def test_gold_particles_have_the_volume_and_facets_of_wulff(ratio: float) -> None:
    atoms = wulff_atoms(6.0, ratio)
    assert len(atoms) == pytest.approx(np.pi / 6 * 6.0**3 / (0.408**3 / 4), rel=0.1)
    to_111, to_100 = np.abs(atoms).sum(axis=1).max() / np.sqrt(3), np.abs(atoms).max()
    # facets lie on whole planes of atoms, which is half a plane's distance of play
    assert to_100 / to_111 == pytest.approx(ratio, abs=0.09)


def test_gold_columns_hold_all_atoms_of_a_particle_and_are_highest_in_its_middle() -> None:
    specimen = make_specimen("gold-particles", seed=2, zone="001")
    mesh_px = 700
    objects = _atoms(specimen, Box(0, 0, mesh_px, mesh_px))
    assert len(np.unique(objects.column("particle"))) == 1
    assert objects.column("atoms").sum() == specimen.properties()["atoms"]
    middle_y, middle_x = objects.y_px.mean(), objects.x_px.mean()
    away = np.hypot(objects.y_px - middle_y, objects.x_px - middle_x)
    assert np.corrcoef(away, objects.column("atoms"))[0, 1] < -0.8
    assert objects.column("height_nm").max() == pytest.approx(specimen.properties()["height_nm"])


def test_pixels_too_coarse_for_atoms_are_refused_with_what_would_do() -> None:
    with pytest.raises(UsageError, match="set pixel_size to at most '35 pm'"):
        make_specimen("graphene", pixel_size="100 nm")
    with pytest.raises(UsageError, match="overlap at a spacing of 3 nm"):
        make_specimen("gold-particles", spacing_nm=3.0)


def test_wavelength_is_relativistic() -> None:
    assert [1000 * wavelength_nm(e) for e in (100, 200, 300)] == pytest.approx([3.701, 2.508, 1.969], abs=0.001)


def _spots(**settings: Any) -> tuple[Diffraction, Objects]:
    specimen = make_specimen("diffraction", thickness_scatter=0.0, **settings)
    assert isinstance(specimen, Diffraction)
    return specimen, _atoms(specimen, Box(0, 0, 512, 512))


@pytest.mark.parametrize("zone", [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 2)])
def test_spots_lie_where_bragg_says_and_obey_the_zone_and_the_extinctions(zone: tuple[int, int, int]) -> None:
    _, spots = _spots(lattice="Au", zone_axis=zone)
    hkl = np.column_stack([spots.column(name) for name in "hkl"]).astype(int)
    assert (hkl @ np.array(zone) == 0).all()
    assert (np.abs(hkl) % 2 == (np.abs(hkl) % 2)[:, :1]).all(), "indices of fcc are all even or all odd"
    radius = np.hypot(spots.y_px - 255.5, spots.x_px - 255.5)
    wanted_mm = 100 * wavelength_nm(200) * np.linalg.norm(hkl, axis=1) / 0.4078
    np.testing.assert_allclose(radius * 0.015, wanted_mm, rtol=1e-9, atol=1e-9)
    # angles between spots are those between their planes
    unit = hkl[1:] / np.linalg.norm(hkl[1:], axis=1)[:, None]
    seen = np.column_stack([spots.y_px[1:] - 255.5, spots.x_px[1:] - 255.5]) / radius[1:, None]
    np.testing.assert_allclose(seen @ seen.T, unit @ unit.T, atol=1e-9)


def test_silicon_lacks_200_and_iron_lacks_100() -> None:
    for lattice, zone, absent in (("Si", (0, 1, 1), [2, 0, 0]), ("Fe", (0, 0, 1), [1, 0, 0])):
        _, spots = _spots(lattice=lattice, zone_axis=zone)
        hkl = np.abs(np.column_stack([spots.column(name) for name in "hkl"])).astype(int).tolist()
        assert absent not in hkl and [0, 0, 0] in hkl and len(hkl) > 8


def test_a_spot_is_a_disc_about_its_position() -> None:
    specimen, spots = _spots(spot_px=7.0)
    labels = specimen.truth(Box(0, 0, 512, 512)).labels
    for i in range(len(spots)):
        y, x = np.nonzero(labels == spots.column("number")[i])
        if 10 < spots.y_px[i] < 500 and 10 < spots.x_px[i] < 500:
            assert len(y) == pytest.approx(np.pi * 49, rel=0.05)
            assert (y.mean(), x.mean()) == pytest.approx((spots.y_px[i], spots.x_px[i]), abs=0.15)


def test_impossible_zone_axes_are_refused() -> None:
    with pytest.raises(UsageError, match="is not a direction"):
        make_specimen("diffraction", zone_axis=(0, 0, 0))
    with pytest.raises(UsageError, match="indices beyond 20"):
        make_specimen("diffraction", zone_axis=(1, 2, 90))
