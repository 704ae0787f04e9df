"""Claims about the geometry of grids, boxes and layouts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cemi_core.errors import UsageError
from cemi_core.model.frame import from_unit_range, to_unit_range
from cemi_core.model.grid import FrameGrid, Grid
from cemi_core.model.layout import Layout, PairShift, write_layout_csv
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GridMap, profile_along_x, reasons_counted

sizes = st.integers(1, 300)


def test_the_grid_of_the_paper_has_cells_of_413_by_508_px():
    assert Grid(19, 243, (7848, 123_672)).cell_shape == (413, 508)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(12, 200), st.integers(12, 200))
def test_cells_cover_the_mosaic_once(rows, columns, height, width):
    grid = Grid(rows, columns, (height, width))
    seen = np.zeros((height, width), int)
    for row in range(rows):
        for column in range(columns):
            seen[grid.box(row, column).slices] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (11, 1), (1, 11)])
def test_a_grid_that_cannot_be_is_refused(rows, columns):
    with pytest.raises(UsageError):
        Grid(rows, columns, (10, 10))


@given(st.integers(-50, 50), st.integers(-50, 50), sizes, sizes, sizes, sizes)
def test_a_clipped_box_lies_inside_and_keeps_what_was_inside(y, x, height, width, rows, columns):
    clipped = Box(y, x, height, width).clipped((rows, columns))
    inside = np.zeros((rows, columns), bool)
    inside[clipped.slices] = True
    yy, xx = np.mgrid[:rows, :columns]
    np.testing.assert_array_equal(inside, (yy >= y) & (yy < y + height) & (xx >= x) & (xx < x + width))


@given(sizes, sizes, st.integers(1, 90), st.integers(1, 90))
def test_tiles_cover_a_box_once(height, width, tile_height, tile_width):
    seen = np.zeros((height, width), int)
    for tile in Box(0, 0, height, width).tiles(tile_height, tile_width):
        seen[tile.slices] += 1
    assert (seen == 1).all()


@given(arrays.arrays(np.uint8, (4, 5)))
def test_eight_bit_pixels_survive_the_unit_range(pixels):
    np.testing.assert_array_equal(from_unit_range(to_unit_range(pixels), np.uint8), pixels)


@given(arrays.arrays(np.uint16, (4, 5)))
def test_sixteen_bit_pixels_survive_the_unit_range(pixels):
    np.testing.assert_array_equal(from_unit_range(to_unit_range(pixels), np.uint16), pixels)


def test_float_pixels_use_the_range_of_the_source_and_keep_nan():
    pixels = np.array([[-1.0, 3.0, np.nan]], np.float32)
    unit = to_unit_range(pixels, (-1.0, 3.0))
    np.testing.assert_allclose(unit, [[0, 1, np.nan]])
    np.testing.assert_allclose(from_unit_range(unit, np.float32, (-1.0, 3.0)), pixels)


def _layout():
    positions = np.array([[0.0, 0.0], [2.5, 30.25], [40.0, 1.0]])
    return Layout(
        positions,
        np.full((3, 2), (32, 48)),
        np.array([0, 0, 1]),
        np.array([0.1, 0.1, np.nan]),
        np.ones(3),
        np.zeros(3),
        np.array([False, False, True]),
        (PairShift(0, 1, (2.5, 30.25), 0.9),),
    )


def test_the_mosaic_of_a_layout_holds_every_frame():
    assert _layout().mosaic_shape == (72, 79)


@given(st.integers(-5, 80), st.integers(-5, 80), st.integers(1, 40), st.integers(1, 40))
def test_frames_in_a_box_are_all_that_touch_it(y, x, height, width):
    layout, box = _layout(), Box(y, x, height, width)
    found = set(layout.frames_in(box))
    for index, ((top, left), (h, w)) in enumerate(zip(layout.positions_px, layout.shapes, strict=True)):
        touches = (
            top < y + height - 1e-9
            and top + h - 1 > y - 1 + 1e-9
            and left < x + width - 1e-9
            and left + w - 1 > x - 1 + 1e-9
        )
        assert not touches or index in found
        far = top > y + height + 2 or top + h < y - 2 or left > x + width + 2 or left + w < x - 2
        assert not far or index not in found


def test_the_layout_table_has_the_promised_head_and_one_line_per_frame(tmp_path):
    path = tmp_path / "layout.csv"
    write_layout_csv(path, _layout(), ["a.tif", "b, c.tif", "d.tif"])
    assert path.read_text().splitlines() == [
        "index,file,y_px,x_px,component,residual_px",
        "0,a.tif,0.0000,0.0000,0,0.1000",
        '1,"b, c.tif",2.5000,30.2500,0,0.1000',
        "2,d.tif,40.0000,1.0000,1,",
    ]


def test_the_interval_of_a_profile_covers_the_mean_95_times_in_100():
    rng = np.random.default_rng(0)
    value = rng.normal(5.0, 1.0, (6, 4000))
    nan = np.full_like(value, np.nan)
    profile = profile_along_x(GridMap("q", "Q", "1", value, nan, nan), np.arange(4000.0))
    covered = np.mean((profile.low < 5.0) & (profile.high > 5.0))
    assert 0.94 < covered < 0.96


def test_a_profile_skips_cells_that_were_not_measured():
    value = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]])
    profile = profile_along_x(GridMap("q", "Q", "1", value, value, value), [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(profile.value, [2.0, 2.0, np.nan])
    np.testing.assert_array_equal(profile.cells, [2, 1, 0])
    assert np.isnan(profile.low[2])


def test_a_column_of_one_cell_has_the_interval_of_that_cell():
    value = np.array([[np.nan, 3.0], [2.0, 3.0]])
    profile = profile_along_x(GridMap("q", "Q", "1", value, value - 0.5, value + 0.25), [0.0, 1.0])
    np.testing.assert_allclose((profile.low[0], profile.high[0]), (1.5, 2.25))
    np.testing.assert_allclose((profile.low[1], profile.high[1]), (3.0, 3.0))


def test_what_is_off_in_all_cells_alike_stays_in_the_interval_however_many_there_are():
    rng = np.random.default_rng(0)
    value = 5.0 + rng.normal(0, 1e-3, (400, 3))
    alike = np.array([0.2, 0.0, np.nan]) * np.ones((400, 1))
    profile = profile_along_x(GridMap("q", "Q", "1", value, value, value, systematic=alike), [0.0, 1.0, 2.0])
    half = profile.high - profile.value
    assert half[0] == pytest.approx(0.2, rel=1e-3)
    assert half[1] < 2e-4
    assert half[2] < 2e-4
    np.testing.assert_allclose(profile.systematic[:2], [0.2, 0.0])


def test_a_map_says_why_a_cell_has_no_value_and_how_often():
    value = np.array([[1.0, np.nan, np.nan], [np.nan, 2.0, np.nan]])
    why = np.array([[-1, 0, 1], [1, -1, -1]])
    told = GridMap("q", "Q", "1", value, value, value, reasons=("out of focus", "no two phases"), reason_of=why)
    assert (told.reason(0, 1), told.reason(1, 0), told.reason(1, 2), told.reason(0, 0)) == (
        "out of focus",
        "no two phases",
        "",
        "",
    )
    assert reasons_counted(told) == "no two phases (2), out of focus (1)"
    assert reasons_counted(GridMap("q", "Q", "1", value, value, value)) == ""


def test_the_mean_direction_of_lines_at_178_and_2_degrees_is_0_and_not_90():
    value = np.array([[178.0, 85.0], [2.0, 95.0], [np.nan, 90.0]])
    profile = profile_along_x(GridMap("q", "Q", "deg", value, value, value), [0.0, 1.0])
    assert abs((profile.value[0] + 90) % 180 - 90) < 1e-9
    assert profile.value[1] == pytest.approx(90)
    assert (profile.high - profile.low)[1] < 30
    np.testing.assert_array_equal(profile.cells, [2, 3])


boxes = st.builds(Box, st.integers(-20, 40), st.integers(-20, 40), st.integers(0, 30), st.integers(0, 30))


@given(boxes, boxes)
def test_the_part_of_a_box_within_another_holds_the_pixels_of_both(one, other):
    def pixels(box):
        return {(y, x) for y in range(box.y, box.y + box.height) for x in range(box.x, box.x + box.width)}

    assert pixels(one.within(other)) == pixels(one) & pixels(other)


def test_a_halo_reaches_over_the_whole_mosaic_but_never_beyond_an_image_that_stands_alone():
    assert Grid(2, 2, (100, 80)).reach(0, 1) == Box(0, 0, 100, 80)
    images = FrameGrid((Box(0, 0, 40, 50), Box(0, 60, 30, 70)), ("a", "b"), (40, 130))
    assert (images.rows, images.columns, images.cell_shape) == (1, 2, (30, 70))
    assert images.box(0, 1) == images.reach(0, 1) == Box(0, 60, 30, 70)


def test_a_grid_of_images_without_images_or_names_is_refused():
    for found, names in (((), ()), ((Box(0, 0, 4, 4),), ())):
        with pytest.raises(UsageError, match="at least one image and a name for each"):
            FrameGrid(found, names, (4, 4))
