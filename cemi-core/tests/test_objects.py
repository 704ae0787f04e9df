"""Claims about objects: each once whatever the tiles, exact sizes, and maps of their number and size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk, ellipse
from skimage.measure import regionprops

from cemi_core.errors import PluginError
from cemi_core.model.grid import FrameGrid, Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects, joined_objects
from cemi_core.model.stages import BlockInfo
from cemi_core.numeric.objects import no_objects, notes_on_cut, object_maps, objects_in_block, placed_in_images

TOUCHING = np.ones((3, 3))


def found_on(mask, grid, halo):
    """Objects of a mask, cell by cell."""
    parts = []
    for row, column in np.ndindex(grid.rows, grid.columns):
        cell = grid.box(row, column)
        outer = cell.grown(halo).clipped(grid.shape)
        core = Box(cell.y - outer.y, cell.x - outer.x, cell.height, cell.width).slices
        labels, _ = ndimage.label(mask[outer.slices], structure=TOUCHING)
        info = BlockInfo(0.5, core, None, row, column, cell, image_shape=grid.shape)
        parts.append(objects_in_block(labels, info, "pores", "Pores"))
    return parts


def in_order(parts):
    objects = joined_objects(parts)
    return objects.selected(np.lexsort((objects.x_px, objects.y_px)))


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6), st.floats(0.8, 3.0))
def test_objects_within_the_halo_are_the_same_to_the_last_digit_whatever_the_tiles(seed, rows, columns, size):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((97, 131)), size)
    mask = noise > 1.2 * noise.std()
    whole = in_order(found_on(mask, Grid(1, 1, mask.shape), 0))
    tiled = in_order(found_on(mask, Grid(rows, columns, mask.shape), 131))
    assert len(whole) == ndimage.label(mask, structure=TOUCHING)[1] == len(tiled)
    for name in ("y_px", "x_px", "area_px", "outline_px", "outline_start"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(tiled, name))
    for one, other in zip(whole.columns, tiled.columns, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_areas_centroids_and_axes_are_those_of_scikit_image():
    mask = np.zeros((120, 160), bool)
    for centre, axes, angle in (((30, 40), (18, 7), 0.4), ((80, 100), (12, 12), 0.0), ((60, 140), (5, 15), 1.2)):
        mask[ellipse(*centre, *axes, shape=mask.shape, rotation=angle)] = True
    (objects,) = found_on(mask, Grid(1, 1, mask.shape), 0)
    expected = regionprops(ndimage.label(mask, structure=TOUCHING)[0])
    np.testing.assert_array_equal(objects.area_px, [region.area for region in expected])
    np.testing.assert_allclose(np.column_stack([objects.y_px, objects.x_px]), [r.centroid for r in expected])
    np.testing.assert_allclose(objects.column("major_px"), [r.axis_major_length for r in expected])
    np.testing.assert_allclose(objects.column("minor_px"), [r.axis_minor_length for r in expected])
    # scikit-image counts from the axis of rows, counter-clockwise
    angles = [(np.degrees(region.orientation) + 90) % 180 for region in expected]
    np.testing.assert_allclose(objects.column("angle_deg")[:2], angles[:2])  # a disc has no direction
    np.testing.assert_allclose(objects.column("diameter_um"), 0.5 * objects.column("diameter_px"))


def test_an_outline_encloses_the_pixels_of_its_object():
    mask = np.zeros((60, 60), bool)
    mask[disk((30, 30), 17.3)] = True
    mask[12, 45] = mask[13, 46] = True  # touching at a corner
    (objects,) = found_on(mask, Grid(1, 1, mask.shape), 0)
    for index in range(len(objects)):
        y, x = objects.outline(index).astype(float).T
        area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        assert area == objects.area_px[index]
    assert objects.outline(0).min() >= 11.5


def test_one_that_is_larger_than_the_halo_is_marked_and_said():
    mask = np.zeros((100, 200), bool)
    mask[40:60, 20:180] = True
    parts = found_on(mask, Grid(1, 4, mask.shape), 10)
    objects = joined_objects(parts)
    assert objects.cut.any()
    (note,) = notes_on_cut(parts, mask.shape, 10)
    assert "larger than the 10 px" in note and "raise the halo" in note
    assert notes_on_cut(found_on(mask, Grid(1, 4, mask.shape), 200), mask.shape, 200) == []


def test_one_that_the_edge_of_the_image_cuts_is_marked_and_not_said():
    mask = np.zeros((50, 50), bool)
    mask[:10, 20:30] = True
    parts = found_on(mask, Grid(1, 1, mask.shape), 5)
    assert parts[0].cut.tolist() == [True]
    assert notes_on_cut(parts, mask.shape, 5) == []


def test_maps_count_each_object_in_the_cell_of_its_centroid():
    mask = np.zeros((100, 200), bool)
    for centre in ((20, 20), (20, 60), (70, 150)):
        mask[disk(centre, 6)] = True
    (objects,) = found_on(mask, Grid(1, 1, mask.shape), 0)
    number, diameter = object_maps(objects, Grid(2, 2, mask.shape), 0.5)
    per_mm2 = 1e6 / (50 * 100 * 0.25)
    np.testing.assert_allclose(number.value, np.array([[2, 0], [0, 1]]) * per_mm2)
    # Garwood: 95 % of a Poisson count of 0 is 0 to 3.69, of 2 is 0.24 to 7.22
    np.testing.assert_allclose(number.low[0] / per_mm2, [0.2422, 0], atol=1e-3)
    np.testing.assert_allclose(number.high[0] / per_mm2, [7.2247, 3.6889], atol=1e-3)
    assert diameter.unit == "um" and diameter.value[1, 1] == pytest.approx(2 * np.sqrt(objects.area_px[2] / np.pi) / 2)
    assert np.isnan(diameter.value[0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_each_object_lies_in_the_image_that_holds_its_centroid(seed):
    rng = np.random.default_rng(seed)
    boxes, y = [], 0
    for _ in range(6):  # rows of a sheet, of images of any size with gaps between them, in any order
        x, height = 0, 0
        for _ in range(rng.integers(1, 9)):
            size = rng.integers(20, 60, 2)
            boxes.append(Box(y, x, int(size[0]), int(size[1])))
            x, height = x + int(size[1]) + int(rng.integers(0, 5)), max(height, int(size[0]))
        y += height + 3
    boxes = [boxes[n] for n in rng.permutation(len(boxes))]
    mine = rng.integers(0, len(boxes), 400)
    inside = np.array([(rng.integers(0, b.height), rng.integers(0, b.width)) for b in (boxes[n] for n in mine)])
    centres = inside + [(boxes[n].y, boxes[n].x) for n in mine] + rng.uniform(-0.49, 0.49, inside.shape)
    grid = FrameGrid(tuple(boxes), tuple(map(str, range(len(boxes)))), (y, 600))
    found = placed_in_images(Objects("grains", "Grains", *centres.T, np.ones(len(mine))), grid)
    np.testing.assert_array_equal(found.column("image"), mine + 1)
    places = np.column_stack([found.column("image_y_px"), found.column("image_x_px")])
    np.testing.assert_allclose(places, centres - centres.round() + inside)


def test_a_table_without_objects_and_a_wrong_one():
    nothing = no_objects("grains", "Grains")
    assert len(nothing) == 0 and len(joined_objects([nothing, nothing])) == 0
    with pytest.raises(PluginError, match="objects 'grains' have 2 positions, but"):
        Objects("grains", "Grains", np.zeros(2), np.zeros(2), np.zeros(3))
    with pytest.raises(PluginError, match="name a class beyond the 1 of their legend"):
        Objects("grains", "Grains", np.zeros(1), np.zeros(1), np.ones(1), class_index=np.array([3], np.int32))
