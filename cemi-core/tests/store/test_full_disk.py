"""A disk that fills up while a store is written ends in a sentence that names the file, and leaves old files alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")

PROLOGUE = """
import resource, sys
from pathlib import Path
import numpy as np
from cemi_core.errors import StorageError
from cemi_core.model.mosaic import Box
from cemi_core.store.protocol import create_mosaic
from cemi_core.store.frames import FrameStore
folder = Path(sys.argv[1])
def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
noise = np.random.default_rng(0).random((2000, 2000), dtype=np.float32)
"""
MOSAIC = """
try:
    with create_mosaic(folder / sys.argv[2], (2000, 2000), np.dtype("uint8")) as store:
        limit()
        store.write(Box(0, 0, 2000, 2000), noise)
except StorageError as error:
    print(error)
"""
FRAMES = """
store = FrameStore.create(folder / "frames.zarr", (2000, 2000), "float32")
store.write(0, noise)
limit()
try:
    store.write(1, noise)
except StorageError as error:
    print(error)
print(store.done(0), store.done(1), sorted(p.name for p in (folder / "frames.zarr" / "pixels").iterdir()))
"""


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + script, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["mosaic.h5", "mosaic.ome.zarr"])
def test_a_mosaic_that_does_not_fit_ends_in_one_sentence(tmp_path, name):
    message = run(MOSAIC, tmp_path, name)
    assert message.count("\n") == 1
    assert f"file too large for the disk at {tmp_path / name}: free some space" in message


def test_a_frame_that_does_not_fit_is_not_there_and_the_others_stay(tmp_path):
    lines = run(FRAMES, tmp_path).splitlines()
    assert "file too large" in lines[0]
    assert lines[1] == "True False ['c.0.0.0', 'zarr.json']"
