"""A disk that fills up while a store is written ends in a sentence that names the file, and leaves old files alone."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

PROLOGUE = """
import sys
from pathlib import Path
import numpy as np
from cemi_core.errors import StorageError
from cemi_core.model.mosaic import Box
from cemi_run.store.protocol import create_mosaic
from cemi_run.store.frames import FrameStore
folder = Path(sys.argv[1])
noise = np.random.default_rng(0).random((6000, 6000), dtype=np.float32)
"""
MOSAIC = """
try:
    with create_mosaic(folder / sys.argv[2], noise.shape, np.dtype(sys.argv[3])) as store:
        for box in Box(0, 0, *noise.shape).tiles(700, 6000):
            store.write(box, noise[box.slices])
except StorageError as error:
    print(error)
"""
FRAMES = """
store = FrameStore.create(folder / "frames.zarr", (2000, 2000), "float32")
for index in range(3):
    try:
        store.write(index, noise[:2000, :2000])
    except StorageError as error:
        print(error)
        break
print(store.done(0), store.done(1), sorted(p.name for p in (folder / "frames.zarr" / "pixels").iterdir()))
"""


def on_disk_of(megabytes, folder, script, *arguments):
    """Run a script on a small disk of its own, which only that process sees."""
    folder.mkdir()
    mount = f"mount -t tmpfs -o size={megabytes}m none {folder} && exec "
    command = ["unshare", "-rm", "sh", "-c", mount + '"$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system does not let a test mount a small disk")
    python = [sys.executable, "-c", PROLOGUE + script, str(folder), *arguments]
    done = subprocess.run([*command, *python], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "dtype", "megabytes"),
    [
        ("mosaic.h5", "uint8", 50),
        ("mosaic.h5", "float32", 70),
        ("mosaic.h5", "uint8", 10),
        ("mosaic.ome.zarr", "uint8", 20),
    ],
)
def test_a_mosaic_that_does_not_fit_ends_in_one_sentence_and_no_crash(tmp_path, name, dtype, megabytes):
    message = on_disk_of(megabytes, tmp_path / "disk", MOSAIC, name, dtype)
    assert message.count("\n") == 1
    assert message.startswith(f"no space left on {tmp_path / 'disk'}")
    assert "free some space" in message


def test_a_frame_that_does_not_fit_is_not_there_and_the_others_stay(tmp_path):
    lines = on_disk_of(20, tmp_path / "disk", FRAMES).splitlines()
    assert lines[0].startswith(f"no space left on {tmp_path / 'disk' / 'frames.zarr'}")
    assert lines[1] == "True False ['c.0.0.0', 'zarr.json']"
