"""Claims about `cemi stitch --follow`."""

import csv
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

from cemi_run.store.protocol import open_mosaic


def test_images_that_come_one_by_one_are_shown_and_then_stitched_in_full(cemi, tile_folder, tmp_path):
    folder, _, truth = tile_folder
    come = tmp_path / "come"
    come.mkdir()
    shown = []

    def drop():
        for path in sorted(folder.glob("*.tif")):
            shutil.copy(path, come / path.name)
            time.sleep(0.3)

    dropping = threading.Thread(target=drop)
    dropping.start()
    out, layout = tmp_path / "m.h5", tmp_path / "l.csv"
    answer = cemi("stitch", "--follow", come, "--idle", 6, "--out", out, "--layout", layout, "--executor", "serial")
    dropping.join()
    assert answer.code == 0, answer.err
    shown = [line for line in answer.err.splitlines() if ": at y" in line]
    assert [line.partition(":")[0] for line in shown] == [f"t{n}.tif" for n in range(6)]
    assert np.asarray(Image.open(tmp_path / "m-overview.png")).std() > 5
    with layout.open() as stream:
        rows = list(csv.DictReader(stream))
    found = np.array([(float(row["y_px"]), float(row["x_px"])) for row in rows])
    error = found - truth
    assert np.abs(error - error.mean(axis=0)).max() < 0.5
    assert rows[0]["residual_px"]  # of the full solve; the running table has none
    with open_mosaic(out) as mosaic:
        assert mosaic.shape > (0, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "name the images to stitch"),
        (("a.tif", "--idle", "3"), "--idle goes with --follow"),
        (("a.tif", "--follow", "."), "name no others"),
        (("--follow", "nowhere"), "no such folder"),
        (("--follow", "."), "lies in the folder that is followed"),
    ],
)
def test_what_makes_no_sense_is_said_before_the_work(cemi, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    answer = cemi("stitch", *options, "--out", "m.h5")
    assert answer.code == 2
    assert said in answer.err
