"""What the tests across packages share: the program in this process, tiles on disk, a small virtual recording."""

from dataclasses import dataclass

import numpy as np
import pytest
import tifffile

from cemi_core.testing import cut_tiles
from cemi_run.cli.main import run


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def cemi(capfd):
    """Run the program in this process: ``cemi("stitch", "--help").code``."""

    def call(*args):
        capfd.readouterr()
        try:
            code = run([str(arg) for arg in args])
        except SystemExit as error:
            code = error.code
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def tile_folder(tmp_path):
    """Six 8-bit tiles of 96 x 128 px that overlap by 40 %, a table of their rough places, and the true ones."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    tiles = cut_tiles(rows=2, columns=3)
    rough = tiles.positions_px + np.random.default_rng(0).uniform(-4, 4, tiles.positions_px.shape)
    lines = ["file,y_px,x_px"]
    for number, (array, (y, x)) in enumerate(zip(tiles.arrays, rough, strict=True)):
        tifffile.imwrite(folder / f"t{number}.tif", np.rint(255 * array).astype(np.uint8))
        lines.append(f"t{number}.tif,{y:.1f},{x:.1f}")
    (tmp_path / "positions.csv").write_text("\n".join(lines) + "\n")
    return folder, tmp_path / "positions.csv", tiles.positions_px


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """A tiny virtual recording: videos of two passes with their truth."""
    out = tmp_path_factory.mktemp("recording") / "ehea"
    code = run(["virtual-sem", "ehea", "--out", str(out), "--size", "tiny", "--seed", "3"])
    assert code == 0
    return out
