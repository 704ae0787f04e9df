"""Figures: they show what they claim, and nothing where there is nothing."""

from __future__ import annotations

import io
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap
from cemi_report.figures import box_height_in, length_axis
from cemi_report.map_figures import cell_edges, colour_limits, map_figure, profiles_figure
from cemi_report.placement_figures import layout_figure, residual_figure
from cemi_report.relation_figures import relation_figure
from cemi_report.sheet_figures import sheet_figure


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def has_colour(image: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool((np.abs(image - np.array(colour)).max(axis=-1) <= tolerance).sum() > 20)


def plain_map(value: np.ndarray, half: float = 0.01) -> GridMap:
    return GridMap("a", "A", "um", value, value - half, value + half)


def test_cells_lie_where_the_grid_puts_them_and_the_last_takes_the_remainder():
    edges = cell_edges((3, 4), Grid(3, 4, (1000, 2003)), 0.5)
    assert edges.unit == "µm"
    assert edges.y.tolist() == [0, 166.5, 333, 500]
    assert edges.x.tolist() == [0, 250, 500, 750, 1001.5]


@pytest.mark.parametrize(("extent", "pixel", "unit"), [(1000, None, "px"), (1000, 0.2, "µm"), (100_000, 0.2, "mm")])
def test_axes_are_in_the_unit_that_reads_best(extent, pixel, unit):
    axis = length_axis(extent, pixel)
    assert axis.unit == unit
    assert axis.per_px == pytest.approx({"px": 1.0, "µm": 0.2, "mm": 0.0002}[unit])


def test_a_map_without_a_fitting_grid_is_drawn_in_rows_and_columns():
    assert cell_edges((3, 4), None, 0.5).unit == "cells"
    assert cell_edges((3, 4), Grid(5, 5, (100, 100)), 0.5).unit == "cells"


def test_one_wild_cell_does_not_hide_the_differences_of_the_others():
    values = np.linspace(0.30, 0.36, 200)
    values[7] = 90.0
    low, high, extend = colour_limits(values)
    assert 0.29 < low < 0.31 and 0.35 < high < 0.40 and extend == "both"


def test_a_constant_map_and_an_empty_one_have_usable_limits():
    for values in (np.full(9, 0.4), np.zeros(9), np.full(9, np.nan)):
        low, high, _ = colour_limits(values)
        assert np.isfinite(low) and low < high


def test_the_largest_and_smallest_cell_have_the_ends_of_viridis():
    image = pixels(map_figure(plain_map(np.array([[0.0, 1.0], [0.4, 0.6]])), Grid(2, 2, (100, 100)), 0.1))
    assert has_colour(image, (68, 1, 84)) and has_colour(image, (253, 231, 37))


def test_directions_of_2_and_178_degrees_have_nearly_one_colour():
    value = np.array([[2.0, 178.0], [2.0, 178.0]])
    unknown = np.full_like(value, np.nan)
    image = pixels(map_figure(GridMap("a", "A", "deg", value, unknown, unknown), Grid(2, 2, (100, 100)), 0.1))
    middle = image[image.shape[0] // 2 - 40]
    left, right = middle[image.shape[1] // 3], middle[image.shape[1] * 6 // 10]
    assert np.abs(left - right).max() < 12
    assert np.abs(left - 255).max() > 5, "these are cells, not the white of the page"


def test_the_error_is_drawn_beside_the_value_and_left_out_where_it_is_unknown():
    value = np.random.default_rng(0).random((4, 30))
    grid = Grid(4, 30, (400, 3000))
    with_error = pixels(map_figure(plain_map(value), grid, 0.1))
    unknown = GridMap("a", "A", "um", value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    without = pixels(map_figure(unknown, grid, 0.1))
    assert with_error.shape[0] == pytest.approx(2 * without.shape[0], abs=3)


def test_nothing_measured_gives_no_figure(make_report_data):
    assert map_figure(plain_map(np.full((2, 2), np.nan))) is None
    assert profiles_figure([]) is None
    data = make_report_data(rows=2, columns=3, cells=(3, 5))
    rejected = replace(data.layout, pairs=tuple(pair.dropped("x") for pair in data.layout.pairs))
    assert residual_figure(rejected) is None
    assert residual_figure(replace(data.layout, pairs=())) is None
    assert layout_figure(replace(data.layout, pairs=())).startswith(b"\x89PNG")
    nothing = replace(data.relations[0], quantity_values=np.full(15, np.nan))
    assert relation_figure(nothing) is None


def test_rejected_pairs_and_frames_placed_by_the_stage_are_seen_in_the_layout(make_report_data):
    layout = make_report_data(rows=2, columns=3, cells=(3, 5)).layout
    all_good = replace(
        layout,
        placed_by_prior=np.zeros(len(layout), bool),
        component=np.zeros(len(layout), int),
        pairs=tuple(replace(pair, kept=True) for pair in layout.pairs),
    )
    orange = (0xB0, 0x55, 0x1B)
    assert has_colour(pixels(layout_figure(layout, 0.2)), orange, 30)
    assert not has_colour(pixels(layout_figure(all_good, 0.2)), orange, 30)


@pytest.mark.parametrize("shape", [(1, 1), (1, 243), (243, 1), (19, 243)])
def test_maps_of_any_shape_give_a_figure_of_a_size_for_a_page(shape):
    value = np.random.default_rng(0).random(shape)
    image = pixels(map_figure(plain_map(value), Grid(*shape, (shape[0] * 413, shape[1] * 508)), 0.222))
    assert 500 <= image.shape[1] <= 1700 and 150 <= image.shape[0] <= 1800


def test_a_true_shape_is_kept_unless_it_is_too_flat_to_read():
    assert box_height_in(2.0, 1.0, 8.0) == 4.0
    assert box_height_in(100.0, 1.0, 8.0) == 1.0


def test_a_dark_style_or_a_dollar_sign_of_the_user_does_not_change_the_figures():
    value = np.random.default_rng(0).random((3, 3))
    plain = map_figure(plain_map(value))
    with mpl.rc_context({"axes.facecolor": "black", "savefig.facecolor": "black", "font.size": 30, "savefig.dpi": 20}):
        assert map_figure(plain_map(value)) == plain
    assert map_figure(replace(plain_map(value), label=r"cost $\frac{1$", unit="$"))


def test_a_relation_without_profile_or_property_still_shows_its_points(make_report_data):
    data = make_report_data(rows=2, columns=3, cells=(3, 5))
    alone = pixels(relation_figure(data.relations[0]))
    along = pixels(relation_figure(data.relations[0], tuple(data.profiles), data.property_table, 0.2))
    assert along.shape[1] > 1.8 * alone.shape[1]


def test_one_figure_holds_picture_maps_and_profiles_on_one_axis_for_page_and_manuscript(make_report_data):
    data = make_report_data()
    drawn = sheet_figure(data, ("png", "pdf"))
    png, pdf = drawn["png"], drawn["pdf"]
    assert png.startswith(b"\x89PNG")
    assert pdf.startswith(b"%PDF")
    with Image.open(io.BytesIO(png)) as sheet:
        one_map = map_figure(data.results[0].maps[0], data.grid, data.pixel_size_um)
        assert one_map is not None
        with Image.open(io.BytesIO(one_map)) as alone:
            assert sheet.height > alone.height


def test_no_mosaic_no_grid_or_no_value_gives_no_figure_of_them_all(make_report_data):
    data = make_report_data()
    empty = [
        replace(result, maps=tuple(replace(m, value=np.full_like(m.value, np.nan)) for m in result.maps))
        for result in data.results
    ]
    for lacking in (replace(data, mosaic=None), replace(data, grid=None), replace(data, results=empty)):
        assert sheet_figure(lacking) == {}
