"""Levels hold the mean of what was imaged below them, whoever computes them and in whatever order."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.model.mosaic import Box
from cemi_run.store.protocol import create_mosaic, open_mosaic
from cemi_run.store.pyramid import build_pyramid, halve

each_store = pytest.mark.parametrize("name", ["mosaic.h5", "mosaic.ome.zarr"])


def mean_of_imaged(image):
    """Return the truth, pixel by pixel."""
    height, width = image.shape
    out = np.full(((height + 1) // 2, (width + 1) // 2), np.nan, np.float32)
    for y, x in np.ndindex(out.shape):
        block = image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        if np.isfinite(block).any():
            out[y, x] = block[np.isfinite(block)].mean()
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 0.9, 1.0]))
def test_half_size_is_the_mean_of_the_imaged_pixels(height, width, seed, missing):
    random = np.random.default_rng(seed)
    image = random.random((height, width), dtype=np.float32)
    image[random.random(image.shape) < missing] = np.nan
    np.testing.assert_allclose(halve(image), mean_of_imaged(image), rtol=1e-6)
    assert halve(image).dtype == np.float32


def holed_picture(shape):
    y, x = np.ogrid[: shape[0], : shape[1]]
    image = (0.5 + 0.4 * np.sin(y / 37) * np.cos(x / 53)).astype(np.float32)
    image[300:777, 401:1203] = np.nan
    image[: shape[0] // 7] = np.nan
    return image


@each_store
def test_every_level_agrees_with_halving_the_whole_picture(tmp_path, name):
    image = holed_picture((2501, 3071))
    with create_mosaic(tmp_path / name, image.shape, np.dtype("float32")) as store:
        store.write(Box(0, 0, *image.shape), image)
        seen = []
        build_pyramid(store, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, len(seen)) for k in range(len(seen))]
    with open_mosaic(tmp_path / name) as store:
        assert len(store.level_shapes) == 4
        for level in range(1, 4):
            image = halve(image)
            box = Box(0, 0, *store.level_shapes[level])
            np.testing.assert_array_equal(store.read_valid(box, level), np.isfinite(image))
            np.testing.assert_allclose(store.read(box, level), np.nan_to_num(image), atol=1e-6)


@each_store
def test_levels_that_the_renderer_has_filled_are_left_alone(tmp_path, name):
    image = holed_picture((1100, 1300))
    with create_mosaic(tmp_path / name, image.shape, np.dtype("uint8")) as store:
        store.write(Box(0, 0, 550, 650), np.full((550, 650), 0.2, np.float32), level=1)
        build_pyramid(store, first_level=2)
        assert abs(store.read(Box(0, 0, 275, 325), 2) - 0.2).max() < 1e-6
        assert abs(store.read(Box(0, 0, 550, 650), 1) - 0.2).max() < 1e-6


def test_processes_and_threads_write_the_same_levels_as_one(tmp_path):
    image = holed_picture((4500, 4300))
    levels = {}
    pools = {
        "alone": lambda: None,
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    }
    for way, pool in pools.items():
        with create_mosaic(tmp_path / f"{way}.ome.zarr", image.shape, np.dtype("uint8")) as store:
            store.write(Box(0, 0, *image.shape), image)
            executor = pool()
            build_pyramid(store, executor=executor)
            if executor is not None:
                executor.shutdown()
            levels[way] = [store.read(Box(0, 0, *store.level_shapes[k]), k) for k in range(1, 5)]
    for way in ("threads", "processes"):
        for one, other in zip(levels["alone"], levels[way], strict=True):
            np.testing.assert_array_equal(one, other)


@each_store
def test_memory_does_not_grow_with_the_mosaic(tmp_path, name):
    peaks = []
    for width in (4096, 16384):
        with create_mosaic(tmp_path / name, (4096, width), np.dtype("uint8")) as store:
            for box in Box(0, 0, 4096, width).tiles(2048, 2048):
                store.write(box, np.full((2048, 2048), 0.5, np.float32))
            tracemalloc.start()
            build_pyramid(store)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
