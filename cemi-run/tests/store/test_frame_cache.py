"""Frames read last: from memory while the file is the same, within so many bytes, whatever thread asks."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from cemi_core.model.frame import Frame
from cemi_run.store import frames as frames_module
from cemi_run.store.frame_cache import FrameCache
from cemi_run.store.frames import FrameStore


class Reader:
    """Reads files as bytes and remembers which."""

    def __init__(self):
        self.read = []

    def __call__(self, path):
        self.read.append(path.name)
        return np.fromfile(path, np.uint8)


@pytest.fixture
def files(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_bytes(name.encode() * 10)
    return tmp_path


def test_a_file_is_read_once_while_it_stays_the_same(files):
    cache, reader = FrameCache(100), Reader()
    first, second = cache.get(files / "a", reader), cache.get(files / "a", reader)
    assert reader.read == ["a"] and bytes(first) == bytes(second) == b"a" * 10


def test_a_file_that_has_changed_is_read_anew(files):
    cache, reader = FrameCache(100), Reader()
    cache.get(files / "a", reader)
    (files / "a").write_bytes(b"x" * 11)
    assert bytes(cache.get(files / "a", reader)) == b"x" * 11
    assert cache.kept_bytes == 11


def test_no_more_bytes_are_kept_than_allowed_and_the_longest_unused_go_first(files):
    cache, reader = FrameCache(30), Reader()
    for name in "abcad":
        cache.get(files / name, reader)
        assert cache.kept_bytes <= 30
    for name in "acdb":
        cache.get(files / name, reader)
    assert reader.read == ["a", "b", "c", "d", "b"]


def test_a_file_larger_than_the_cache_is_given_and_not_kept(files):
    cache, reader = FrameCache(5), Reader()
    assert bytes(cache.get(files / "a", reader)) == b"a" * 10
    assert cache.kept_bytes == 0


def test_a_file_that_cannot_be_read_is_tried_again(files):
    cache = FrameCache(100)

    def fail(path):
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        cache.get(files / "a", fail)
    assert bytes(cache.get(files / "a", Reader())) == b"a" * 10
    with pytest.raises(FileNotFoundError):
        cache.get(files / "missing", Reader())


def test_threads_that_ask_at_once_read_once(files):
    cache, reader, start = FrameCache(100), Reader(), Barrier(4)

    def ask(_):
        start.wait()
        return bytes(cache.get(files / "a", reader))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(4))) == {b"a" * 10}
    assert reader.read == ["a"]


def test_what_is_kept_cannot_be_changed_by_those_who_read_it(files):
    cache = FrameCache(100)
    with pytest.raises(ValueError, match="read-only"):
        cache.get(files / "a", Reader())[0] = 0


def test_a_frame_written_again_is_read_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_module, "FRAMES_READ_LAST", FrameCache(10_000))
    store = FrameStore.create(tmp_path / "frames.zarr", (4, 5), "uint8")
    store.write_table([Frame(0, "0", (4, 5))])
    for grey in range(20):
        store.write(0, np.full((4, 5), grey, np.uint8))
        source = store.as_source()
        image = source.read(0)
        image += 1  # a reader's own
        assert (store.read(0) == grey).all()
        assert np.allclose(source.read(0), grey / 255)
