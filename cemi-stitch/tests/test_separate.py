"""Claims about images that stand alone: nothing overlaps, nothing changes, nothing is said to be unlinked."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.model.array_source import ArraySource
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.stages import PlaceContext
from cemi_stitch.separate import SeparateSettings, SeparateStitcher, sheet_positions_px

sizes = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=40)


@given(sizes, st.integers(1, 64))
def test_no_two_images_of_a_sheet_are_closer_than_the_gap(shapes, gap):
    shapes = np.array(shapes)
    y0, x0 = sheet_positions_px(shapes, gap).T
    y1, x1 = y0 + shapes[:, 0] + gap, x0 + shapes[:, 1] + gap
    assert min(y0.min(), x0.min()) == 0
    for n in range(len(shapes)):
        apart = (y0 >= y1[n]) | (y1 <= y0[n]) | (x0 >= x1[n]) | (x1 <= x0[n])
        assert np.delete(apart, n).all()


def test_seven_equal_images_stand_in_rows_of_three_in_their_order():
    positions = sheet_positions_px(np.full((7, 2), 100), 20)
    assert (positions / 120).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0]]


def test_each_image_lies_on_the_sheet_pixel_for_pixel_and_nothing_between():
    rng = np.random.default_rng(0)
    arrays = [rng.random(shape, dtype=np.float32) for shape in ((40, 50), (30, 70), (60, 20))]
    stitcher = SeparateStitcher(SeparateSettings(gap_px=8))
    layout = stitcher.place(ArraySource(arrays), PlaceContext())
    patches = [Patch(n, a, *layout.positions_px[n]) for n, a in enumerate(arrays)]
    whole = Box(0, 0, *layout.mosaic_shape)
    sheet = stitcher.blend(patches, whole)
    for array, (y, x) in zip(arrays, layout.positions_px.astype(int), strict=True):
        np.testing.assert_array_equal(sheet[y : y + array.shape[0], x : x + array.shape[1]], array)
    assert np.isfinite(sheet).sum() == sum(array.size for array in arrays)
    part = Box(17, 23, 41, 37)
    np.testing.assert_array_equal(stitcher.blend(patches, part), sheet[part.slices][: part.height, : part.width])


def test_every_image_is_a_group_of_its_own_and_none_is_called_unplaced():
    layout = SeparateStitcher().place(ArraySource([np.zeros((20, 20), np.float32)] * 3), PlaceContext())
    assert layout.component.tolist() == [0, 1, 2]
    assert not layout.placed_by_prior.any()
    assert layout.notes == ()


def test_the_stitcher_imports_neither_torch_nor_kornia():
    code = "import cemi_stitch.separate, sys; sys.exit('torch' in sys.modules or 'kornia' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
