"""A recipe runs with this stitcher by changing one word."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from cemi_core.testing.samples import cut_tiles

RECIPE = """\
recipe: 1
source: {use: images, with: {path: tiles/*.tif, positions: positions.csv, pixel_size: 100 nm}}
stitch: {use: opencv}
"""


def test_the_word_(tmp_path: Path) -> None:

    tiles = cut_tiles(size=(160, 200), seed=3)
    (tmp_path / "tiles").mkdir()
    lines = ["file,y_px,x_px"]
    for number, (array, (y, x)) in enumerate(zip(tiles.arrays, tiles.positions_px, strict=True)):
        tifffile.imwrite(tmp_path / "tiles" / f"{number}.tif", np.rint(array * 255).astype(np.uint8))
        lines.append(f"{number}.tif,{y + number % 3},{x - number % 2}")
    (tmp_path / "positions.csv").write_text("\n".join(lines))
    (tmp_path / "r.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "cemi_core.cli", "recipe", "r.yaml", "--out", "run", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "run" / "layout.csv").open(newline="") as stream:
        places = np.array([(float(row["y_px"]), float(row["x_px"])) for row in csv.DictReader(stream)])
    error = places - tiles.positions_px
    assert np.abs(error - error.mean(axis=0)).max() < 1
