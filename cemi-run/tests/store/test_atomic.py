"""Files appear under their final name only when they are complete."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from cemi_core.errors import StorageError
from cemi_core.files.atomic import PARTIAL, atomic_path, remove_partials, storage_errors, write_json_atomically

FULL = Path("/dev/full")


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_keeps_the_suffix_because_formats_are_chosen_by_it(tmp_path):
    with atomic_path(tmp_path / "mosaic.ome.zarr") as temporary:
        assert temporary.name.endswith(".ome.zarr")
        temporary.mkdir()
    assert (tmp_path / "mosaic.ome.zarr").is_dir()


def test_a_folder_replaces_an_older_folder(tmp_path):
    path = tmp_path / "tiles"
    path.mkdir()
    (path / "old").touch()
    with atomic_path(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"no folder .*results"), atomic_path(tmp_path / "results" / "a.csv"):
        pass


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"{PARTIAL}123-x.h5").touch()
    (tmp_path / f"{PARTIAL}456-y.zarr").mkdir()
    (tmp_path / f"{PARTIAL}456-y.zarr" / f"{PARTIAL}789-chunk").touch()
    (tmp_path / "run.h5").touch()
    remove_partials(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "run.h5"]


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_sentence_that_names_the_file(tmp_path):
    path = tmp_path / "mosaic.h5"
    with pytest.raises(StorageError, match=rf"no space left on {path}"), storage_errors(path), FULL.open("w") as stream:
        stream.write("x")
        stream.flush()


def test_a_full_disk_that_hdf5_tells_only_in_words_is_recognised(tmp_path):
    with pytest.raises(StorageError, match="no space left"), storage_errors(tmp_path):
        raise OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')")


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(BlockingIOError), storage_errors(tmp_path):
        raise OSError(errno.EAGAIN, "try again")


def test_json_round_trip_keeps_umlauts_and_leaves_no_temporary(tmp_path):
    write_json_atomically(tmp_path / "a.json", {"name": "Gefüge", "n": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "Gefüge", "n": [1, 2.5, None]}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_read_only_disk_is_said_although_nothing_can_be_removed_there(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match="read-only disk"):
        write_json_atomically(tmp_path / "a.json", {})
