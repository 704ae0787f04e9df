"""Frames on disk: whole or absent, in their own type, readable by any Zarr reader."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr

from cemi_core.errors import InputError
from cemi_core.files.atomic import remove_partials
from cemi_core.model.frame import DroppedFrame, Frame, FrameSource
from cemi_run.store.frames import FrameStore

SHAPE = (31, 47)


def picture(seed, dtype="uint8", shape=SHAPE):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape, dtype=np.float32)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_frame_comes_back_bit_for_bit(tmp_path, dtype):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, dtype)
    store.write(3, picture(0, dtype))
    assert store.read(3).dtype == dtype
    np.testing.assert_array_equal(store.read(3), picture(0, dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_any_zarr_reader_opens_the_folder(tmp_path, dtype):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, dtype)
    for index in range(3):
        store.write(index, picture(index, dtype))
    store.write_table([Frame(index, f"{index}.png", SHAPE) for index in range(3)])
    array = zarr.open_group(tmp_path / "frames.zarr", mode="r")["pixels"]
    assert array.shape == (3, *SHAPE)
    for index in range(3):
        np.testing.assert_array_equal(array[index], picture(index, dtype))


def test_a_black_frame_is_done_too(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    assert not store.done(0)
    store.write(0, np.zeros(SHAPE, np.uint8))
    assert store.done(0)


def test_a_frame_cut_short_by_a_power_failure_is_not_done_and_not_read(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    store.write(0, picture(0))
    with (tmp_path / "frames.zarr" / "pixels" / "c.0.0.0").open("r+b") as file:
        file.truncate(100)
    assert not store.done(0)
    with pytest.raises(InputError, match=r"frame 0 .*damaged"):
        store.read(0)


WRITE_UNTIL_KILLED = """
import sys, numpy
from pathlib import Path
from cemi_run.store.frames import FrameStore
store = FrameStore.open(Path(sys.argv[1]))
for index in range(100_000):
    store.write(index, numpy.full(store.frame_shape, index % 251 + 1, numpy.uint8))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_after_kill_9_every_frame_that_counts_as_done_is_whole(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", (600, 800), "uint8")
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITE_UNTIL_KILLED, str(store.path)])
        start = time.monotonic()
        while not store.done(3) and time.monotonic() - start < 30:
            time.sleep(0.001)
        time.sleep(0.0037 * attempt)
        process.kill()
        process.wait()
        chunks = list((store.path / "pixels").glob("c.*"))
        done = [index for index in range(len(chunks) + 2) if store.done(index)]
        assert len(done) == len(chunks) > 3
        for index in done:
            assert (store.read(index) == index % 251 + 1).all()
        for chunk in chunks:
            chunk.unlink()
    remove_partials(store.path)
    assert sorted(p.name for p in (store.path / "pixels").iterdir()) == ["zarr.json"]


def test_frames_of_different_sizes_keep_their_own(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint16")
    shapes = [SHAPE, (20, 47), (31, 5)]
    for index, shape in enumerate(shapes):
        store.write(index, picture(index, "uint16", shape))
    store.write_table([Frame(index, f"{index}.tif", shape) for index, shape in enumerate(shapes)])
    for index, shape in enumerate(shapes):
        np.testing.assert_array_equal(store.read(index), picture(index, "uint16", shape))


def test_the_table_comes_back_with_every_field(tmp_path):
    frames = [
        Frame(0, "pass01.mp4@1.20s", SHAPE, row=2, time_s=1.2, pixel_size_um=0.1 + 0.2),
        Frame(1, "Gefüge.png", (10, 12), position_px=(1.5, -2.25), position_tolerance_px=40.0),
    ]
    dropped = [DroppedFrame("pass01.mp4@1.30s", "a coloured marker is in the picture", 1.3)]
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    store.write_table(frames, dropped)
    again = FrameStore.open(tmp_path / "frames.zarr")
    assert list(again.frames) == frames
    assert list(again.dropped) == dropped


def test_the_table_can_grow_while_frames_come_in(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    for count in (1, 2, 3):
        store.write(count - 1, picture(count - 1))
        store.write_table([Frame(index, str(index), SHAPE) for index in range(count)])
        assert len(store.as_source().frames) == count


def test_stored_frames_are_a_source_that_travels_to_other_processes(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint16")
    store.write(0, picture(0, "uint16"))
    store.write_table([Frame(0, "a", SHAPE)], [DroppedFrame("b", "black")])
    source = pickle.loads(pickle.dumps(store.as_source()))
    assert isinstance(source, FrameSource)
    assert source.dtype == np.uint16
    assert source.dropped[0].reason == "black"
    np.testing.assert_allclose(source.read(0), picture(0, "uint16") / 65535, atol=1e-6)


def test_float_frames_are_scaled_by_their_range_and_keep_nan(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", (1, 3), "float32", float_range=(100.0, 300.0))
    store.write(0, np.array([[100, 250, np.nan]], np.float32))
    store.write_table([Frame(0, "a", (1, 3))])
    np.testing.assert_allclose(store.as_source().read(0), [[0, 0.75, np.nan]])


def test_a_source_with_missing_frames_is_refused(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    store.write(0, picture(0))
    with pytest.raises(InputError, match="not written to its end"):
        store.as_source()
    store.write_table([Frame(0, "a", SHAPE), Frame(1, "b", SHAPE)])
    with pytest.raises(InputError, match="lacks 1 of its 2 frames"):
        store.as_source()


def test_create_replaces_an_older_store_but_never_another_folder(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    store.write(0, picture(0))
    assert not FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8").done(0)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").touch()
    with pytest.raises(InputError, match="thesis"):
        FrameStore.create(tmp_path / "thesis", SHAPE, "uint8")
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_wrong_frames_are_refused_in_a_sentence(tmp_path):
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    with pytest.raises(InputError, match=r"frame 0 is uint16, but .* holds uint8"):
        store.write(0, picture(0, "uint16"))
    with pytest.raises(InputError, match="frame 0 of 32 x 47 px does not fit"):
        store.write(0, picture(0, shape=(32, 47)))
    with pytest.raises(InputError, match="not as float64"):
        FrameStore.create(tmp_path / "other.zarr", SHAPE, "float64")
    with pytest.raises(InputError, match="no frame 7"):
        store.read(7)


def test_missing_and_damaged_stores_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no folder of frames"):
        FrameStore.open(tmp_path / "nothing.zarr")
    zarr.create_array(tmp_path / "other.zarr", shape=(3, 3), dtype="u1")
    with pytest.raises(InputError, match="holds no frames"):
        FrameStore.open(tmp_path / "other.zarr")
    store = FrameStore.create(tmp_path / "frames.zarr", SHAPE, "uint8")
    (store.path / "pixels" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        FrameStore.open(tmp_path / "frames.zarr")
