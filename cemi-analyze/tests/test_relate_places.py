"""What a quantity is under an indent, which indents are repeats, and which tables cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import PearsonRelation
from cemi_analyze.relation.footprint import cells_under, disc_below, mean_under
from cemi_analyze.relation.known_length import KnownLength
from cemi_analyze.relation.pearson import PearsonSettings
from cemi_analyze.relation.places import PlaceSettings, places_of, series_of_maps
from cemi_core.errors import InputError
from cemi_core.model.grid import Grid
from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.result import GridMap, PropertyTable, profile_along_x

#: 6 x 40 cells of 50 x 50 px, 1 um each: 300 um high, 2 mm wide.
GRID = Grid(6, 40, (300, 2000))


def measured(value, systematic=None, half: float = 0.02) -> MeasuredMaps:
    value = np.broadcast_to(np.asarray(value, np.float64), (6, 40)).copy()
    grid_map = GridMap("bcc_fraction", "BCC fraction", "1", value, value - half, value + half, systematic=systematic)
    return MeasuredMaps([grid_map], [profile_along_x(grid_map, list(GRID.centres_px()[1]))], GRID, 1.0)


def table(x, y, value=None, **more) -> PropertyTable:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return PropertyTable("hv", x, x if value is None else np.asarray(value, np.float64), y_um=y, **more)


def test_parts_of_the_disc_are_its_area_by_counting_points():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (2, 400_000))
    inside = (points**2).sum(axis=0) < 1
    for x, y in rng.uniform(-1.2, 1.2, (20, 2)):
        counted = 4 * np.mean(inside & (points[0] < x) & (points[1] < y))
        assert disc_below(np.array(x), np.array(y)) == pytest.approx(counted, abs=0.01)


def test_an_indent_inside_a_cell_takes_that_cell_and_one_on_a_corner_takes_four_alike():
    shares = cells_under(GRID, 1.0, np.array([74.5, 99.5]), np.array([24.5, 49.5]), np.array([20.0, 20.0])).toarray()
    assert shares[0, 1] == pytest.approx(1)
    np.testing.assert_allclose(shares[1][[1, 2, 41, 42]], 0.25)


def test_half_an_indent_beyond_the_mosaic_still_counts_and_more_does_not():
    ramp = measured(np.arange(40) / 40)
    shares = cells_under(GRID, 1.0, np.array([0.0, -6.0]), np.array([24.5, 24.5]), np.array([20.0, 20.0]))
    value, _ = mean_under(ramp.maps[0], shares)
    assert value[0] == pytest.approx(0)
    assert np.isnan(value[1])


def test_the_error_under_an_indent_leaves_out_what_is_wrong_in_all_cells_alike():
    shares = cells_under(GRID, 1.0, np.array([99.5]), np.array([49.5]), np.array([20.0]))
    _, alone = mean_under(measured(0.3).maps[0], shares)
    _, shared = mean_under(measured(0.3, systematic=np.full((6, 40), 0.02)).maps[0], shares)
    assert alone[0] == pytest.approx(0.02 / 1.96 / 2, rel=1e-3)  # four cells alike
    assert shared[0] == pytest.approx(0, abs=1e-6)


def test_indents_on_the_surface_see_the_cells_under_them_and_not_the_profile():
    stripes = np.where(np.arange(6)[:, None] % 2 == 0, 0.2, 0.6) + 0.0 * np.arange(40)
    x, row = np.linspace(75, 1925, 24), np.resize([0, 1, 2, 3], 24)
    hardness = np.where(row % 2 == 0, 450.0, 550.0)
    found = PearsonRelation().relate_maps(measured(stripes), table(x, 24.5 + 50 * row, hardness))
    assert found[0].r == pytest.approx(1)
    np.testing.assert_allclose(found[0].quantity_values, np.where(row % 2 == 0, 0.2, 0.6))


def test_a_wider_footprint_of_the_recipe_or_of_the_table_averages_over_more_cells():
    ramp = measured(np.where(np.arange(40) == 20, 1.0, 0.0))
    at = table(np.full(5, 1024.5), np.full(5, 149.5))
    small, recipe = (series_of_maps(ramp, at, PlaceSettings(footprint=um))[1][0].value[0] for um in ("40 um", "200 um"))
    of_table = table(at.x_um, at.y_um, footprint_um=np.full(5, 200.0))
    assert small == pytest.approx(1)
    assert recipe == pytest.approx(series_of_maps(ramp, of_table, PlaceSettings())[1][0].value[0])
    assert 0.2 < recipe < 0.4


def test_repeats_are_averaged_and_tell_their_scatter():
    rng = np.random.default_rng(1)
    x = np.repeat(np.linspace(100, 1900, 30), 4)
    places = places_of(PropertyTable("hv", x, 500 + rng.normal(0, 10, 120)))
    assert len(places.value) == 30
    assert places.degrees == 90
    assert places.error == pytest.approx(np.full(30, 5.0), rel=0.25)
    assert any("repeats were averaged" in note for note in places.notes)


def test_repeats_beside_each_other_are_joined_only_within_the_distance_that_is_given():
    x = (np.linspace(100, 1900, 5)[:, None] + [0, 8, 16]).ravel()
    assert len(places_of(PropertyTable("hv", x, x)).value) == 15
    assert len(places_of(PropertyTable("hv", x, x), repeats_within_um=20).value) == 5


def test_a_table_without_finite_values_or_of_other_lengths_is_refused():
    with pytest.raises(InputError, match="no finite value"):
        places_of(PropertyTable("hv", np.arange(3.0), np.full(3, np.nan)))
    with pytest.raises(InputError, match="one value per position"):
        places_of(table(np.arange(3.0), np.arange(2.0)))


def test_indents_outside_the_mosaic_are_counted_and_all_outside_are_refused_with_its_size():
    ramp = measured(np.arange(40) / 40)
    x = np.append(np.linspace(100, 1900, 12), 5000.0)
    found = PearsonRelation().relate_maps(ramp, table(x, np.full(13, 100.0)))[0]
    assert found.n == 12
    assert any("1 position(s)" in note for note in found.notes)
    with pytest.raises(InputError, match=r"lies on the mosaic, which is 2 mm x 300 um: check the unit"):
        PearsonRelation().relate_maps(ramp, table(x * 1000 + 3000, np.full(13, 100.0)))


def test_three_indents_give_a_number_but_no_conclusion_and_two_are_refused():
    ramp = measured(np.arange(40) / 40)
    found = PearsonRelation().relate_maps(ramp, table([100, 900, 1800], [100, 100, 100], [1, 2, 4]))[0]
    assert found.n == 3
    assert "too few independent points" in found.verdict
    with pytest.raises(InputError, match="fewer than 3 positions"):
        PearsonRelation().relate_maps(ramp, table([100, 900], [100, 100]))


def test_a_footprint_needs_the_place_across():
    settings = PlaceSettings(footprint="35 um")
    with pytest.raises(InputError, match="needs the place of each indent across"):
        series_of_maps(measured(0.3), PropertyTable("hv", np.arange(9.0), np.arange(9.0)), settings)


@pytest.mark.parametrize(("length", "says"), [("2.01 mm", "the scale agrees"), ("2.2 mm", "check the pixel size")])
def test_a_known_length_checks_the_scale(length: str, says: str):
    known = KnownLength(value=length, tolerance="20 um")
    method = PearsonRelation(PearsonSettings(known_length=known))
    x = np.linspace(100, 1900, 12)
    for property_table in (table(x, np.full(12, 100.0)), PropertyTable("hv", x, x)):
        found = method.relate_maps(measured(np.arange(40) / 40), property_table)
        assert any("the longer side of the mosaic is 2 mm" in note and says in note for note in found[0].notes)
