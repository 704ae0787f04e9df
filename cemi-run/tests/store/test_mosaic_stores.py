"""What every mosaic store promises, for each of them."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box, Mosaic
from cemi_run.store.levels import pyramid_shapes
from cemi_run.store.protocol import create_mosaic, open_mosaic

NAMES = ["mosaic.h5", "mosaic.ome.zarr"]
each_store = pytest.mark.parametrize("name", NAMES)


def picture(shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@each_store
@pytest.mark.parametrize(("dtype", "step"), [("uint8", 1 / 255), ("uint16", 1 / 65535), ("float32", 1e-6)])
def test_pixels_come_back_to_half_a_grey_level_of_their_type(tmp_path, name, dtype, step):
    image = picture((700, 900))
    with create_mosaic(tmp_path / name, (700, 900), np.dtype(dtype), 0.222, (-50.0, 150.0)) as store:
        store.write(Box(0, 0, 700, 900), image)
    with open_mosaic(tmp_path / name) as store:
        assert isinstance(store, Mosaic)
        assert store.dtype == dtype
        assert store.shape == (700, 900)
        assert store.pixel_size_um == 0.222
        assert store.float_range == (-50.0, 150.0)
        assert store.path == tmp_path / name
        np.testing.assert_allclose(store.read(Box(0, 0, 700, 900)), image, atol=step / 2 + 1e-7)
        assert store.read(Box(0, 0, 3, 3)).dtype == np.float32


@each_store
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_where_nothing_was_imaged_pixels_are_0_and_not_valid(tmp_path, name, dtype):
    image = picture((600, 600))
    image[100:200, 300:] = np.nan
    with create_mosaic(tmp_path / name, (1000, 600), np.dtype(dtype), None, (10.0, 20.0)) as store:
        store.write(Box(0, 0, 600, 600), image)
    with open_mosaic(tmp_path / name) as store:
        pixels, valid = store.read(Box(0, 0, 1000, 600)), store.read_valid(Box(0, 0, 1000, 600))
    assert store.pixel_size_um is None
    expected = np.zeros((1000, 600), bool)
    expected[:600] = np.isfinite(image)
    np.testing.assert_array_equal(valid, expected)
    assert valid.dtype == np.bool_
    assert (pixels[~expected] == 0).all()
    assert (pixels[expected] > 0).mean() > 0.99


@each_store
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_boxes_written_in_any_cut_and_order_join_without_a_trace(tmp_path, name, data):
    shape = data.draw(st.integers(1, 1300)), data.draw(st.integers(1, 1300))
    image = picture(shape)
    tiles = list(Box(0, 0, *shape).tiles(data.draw(st.integers(200, 900)), data.draw(st.integers(200, 900))))
    with create_mosaic(tmp_path / name, shape, np.dtype("uint8")) as store:
        for tile in data.draw(st.permutations(tiles)):
            store.write(tile, image[tile.slices])
        y, x = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
        box = Box(y, x, data.draw(st.integers(0, shape[0] - y)), data.draw(st.integers(0, shape[1] - x)))
        np.testing.assert_allclose(store.read(box), image[box.slices], atol=0.51 / 255)
        assert store.read_valid(Box(0, 0, *shape)).all()


@each_store
def test_a_later_write_replaces_an_earlier_one_also_where_nothing_was_imaged(tmp_path, name):
    with create_mosaic(tmp_path / name, (64, 64), np.dtype("uint8")) as store:
        store.write(Box(0, 0, 64, 64), np.ones((64, 64), np.float32))
        store.write(Box(0, 0, 32, 64), np.full((32, 64), np.nan, np.float32))
        assert store.read_valid(Box(0, 0, 64, 64)).sum() == 32 * 64
        assert store.read(Box(0, 0, 64, 64)).sum() == 32 * 64


@each_store
def test_a_mosaic_travels_to_other_processes_as_its_path(tmp_path, name):
    with create_mosaic(tmp_path / name, (64, 80), np.dtype("uint8")) as store:
        store.write(Box(0, 0, 64, 80), np.ones((64, 80), np.float32))
    with open_mosaic(tmp_path / name) as store:
        letter = pickle.dumps(store)
    assert len(letter) < 1000
    assert pickle.loads(letter).read(Box(0, 0, 64, 80)).mean() == 1


@each_store
def test_creating_again_starts_empty(tmp_path, name):
    for _ in range(2):
        with create_mosaic(tmp_path / name, (64, 64), np.dtype("uint8")) as store:
            assert not store.read_valid(Box(0, 0, 64, 64)).any()
            store.write(Box(0, 0, 64, 64), np.ones((64, 64), np.float32))


@each_store
def test_a_box_outside_is_an_error_not_a_silent_cut(tmp_path, name):
    with create_mosaic(tmp_path / name, (64, 64), np.dtype("uint8")) as store:
        for box in (Box(-1, 0, 5, 5), Box(60, 0, 5, 5)):
            with pytest.raises(IndexError):
                store.read(box)
            with pytest.raises(IndexError):
                store.write(box, np.zeros((5, 5), np.float32))


@each_store
def test_bad_mosaics_are_refused_in_a_sentence(tmp_path, name):
    with pytest.raises(InputError, match="no mosaic"):
        open_mosaic(tmp_path / name)
    with pytest.raises(InputError, match="not as int32"):
        create_mosaic(tmp_path / name, (64, 64), np.dtype("int32"))
    with pytest.raises(InputError, match="no pixels"):
        create_mosaic(tmp_path / name, (0, 64), np.dtype("uint8"))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_levels_halve_until_one_chunk_holds_them(height, width):
    shapes = pyramid_shapes((height, width))
    assert shapes[0] == (height, width)
    assert max(shapes[-1]) <= 512
    for (h, w), (next_h, next_w) in pairwise(shapes):
        assert (next_h, next_w) == (-(-h // 2), -(-w // 2))
        assert max(h, w) > 512
