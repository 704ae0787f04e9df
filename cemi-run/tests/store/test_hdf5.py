"""HDF5 mosaics: plain files that any HDF5 tool reads, and clear words for broken ones."""

from __future__ import annotations

import subprocess
import sys
from subprocess import PIPE

import h5py
import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box
from cemi_run.store.hdf5 import Hdf5Mosaic


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mosaic.h5"
    with Hdf5Mosaic.create(path, (1200, 700), np.dtype("uint8"), 0.222) as store:
        store.write(Box(0, 0, 1200, 700), np.full((1200, 700), 0.5, np.float32))
    return path


def test_any_hdf5_tool_reads_the_file_and_finds_raw_chunks_of_512(path):
    with h5py.File(path) as file:
        level = file["levels/0"]
        assert level.dtype == np.uint8
        assert level.shape == (1200, 700)
        assert level.chunks == (512, 512)
        assert level.compression is None
        assert (level[:] == 128).all()
        assert (file["valid/0"][:] == 1).all()
        assert file["levels/1"].shape == (600, 350)
        assert file["levels/2"].shape == (300, 175)
        assert file["levels/2"].chunks == (300, 175)
        assert len(file["levels"]) == 3
        assert file.attrs["pixel_size_um"] == 0.222


def test_hdf5_1_8_reads_the_file(path):
    superblock_version = path.read_bytes()[8]
    assert superblock_version <= 2


def test_validity_takes_less_than_two_percent_of_the_file(path):
    with h5py.File(path) as file:
        assert file["valid/0"].id.get_storage_size() < 0.02 * file["levels/0"].id.get_storage_size()


def test_the_whole_file_has_one_writer(path):
    with Hdf5Mosaic.open(path) as store:
        assert store.writer_px == (1200, 700)


@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_a_truncated_file_is_called_truncated(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"mosaic\.h5 cannot be opened: the file is truncated"):
        Hdf5Mosaic.open(path)


def test_a_damaged_chunk_is_reported_with_its_file(path):
    with h5py.File(path) as file:
        chunk = file["valid/0"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    with Hdf5Mosaic.open(path) as store, pytest.raises(InputError, match=r"mosaic\.h5 is damaged"):
        store.read_valid(Box(0, 0, 10, 10))


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    path = tmp_path / "photo.h5"
    path.write_bytes(b"\x89PNG" * 100)
    with pytest.raises(InputError, match=r"photo\.h5 cannot be opened: it is not an HDF5 file"):
        Hdf5Mosaic.open(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"photo\.h5 cannot be opened"):
        Hdf5Mosaic.open(path)
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(InputError, match="not a mosaic written by CEMI"):
        Hdf5Mosaic.open(path)


def test_a_newer_format_is_refused_by_version(path):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(InputError, match="version 99"):
        Hdf5Mosaic.open(path)


def test_a_file_that_another_process_writes_is_refused_with_that_reason(path):
    script = f"import h5py; file = h5py.File({str(path)!r}, 'r+'); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=PIPE, stdout=PIPE) as writer:
        assert writer.stdout.readline().strip() == b"open"
        with pytest.raises(InputError, match="another process is writing to it"):
            Hdf5Mosaic.open(path)
        writer.communicate(b"\n")
