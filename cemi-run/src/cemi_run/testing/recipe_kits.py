"""Tests of an installed plugin in a whole run: a recipe names it, and the run folder is judged.

>>> class TestMyStitcherInARecipe(StitcherRecipeTests):
...     name = "my-stitcher"
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.plugins.manager import registry
from cemi_core.testing.samples import Tiles, cut_tiles
from cemi_run.engine.plan import Machine
from cemi_run.flow import run_recipe
from cemi_run.recipe.check import check_recipe
from cemi_run.store.protocol import open_mosaic

_RECIPE = """\
recipe: 1
source: {{use: images, with: {{path: tiles/*.tif, positions: positions.csv, pixel_size: 100 nm}}}}
stitch: {{use: {name}}}
"""


class StitcherRecipeTests:
    """A recipe runs with a stitcher by changing one word: tiles on disk and their rough places in, a mosaic out."""

    #: Name of the stitcher in recipes.
    name = ""
    #: Largest error of a position, px; the places that come with the tiles are off by up to 2.
    tolerance_px = 1.0

    def tiles(self) -> Tiles:
        """Return overlapping cuts of one picture."""
        return cut_tiles(size=(160, 200), seed=3)

    def test_a_recipe_runs_by_changing_one_word(self, tmp_path: Path) -> None:
        tiles = self.tiles()
        _write_tiles(tmp_path, tiles)
        recipe, run = tmp_path / "r.yaml", tmp_path / "run"
        recipe.write_text(_RECIPE.format(name=self.name), encoding="utf-8")
        machine = Machine("serial", workers=1)
        run_recipe(check_recipe(recipe, registry(), ()), run, machine, lambda label, done, total: None)
        error = _places(run / "layout.csv") - tiles.positions_px
        assert np.abs(error - error.mean(axis=0)).max() <= self.tolerance_px
        with open_mosaic(run / "mosaic.h5") as mosaic:
            covered = np.ptp(tiles.positions_px, axis=0) + tiles.arrays[0].shape
            assert np.abs(np.array(mosaic.shape) - covered).max() <= 2 * self.tolerance_px + 1
        assert (run / "report.html").exists()


def _write_tiles(folder: Path, tiles: Tiles) -> None:
    """Write 8-bit tiles, and a table of places that are off by up to 2 px in y and 1 px in x."""
    (folder / "tiles").mkdir()
    lines = ["file,y_px,x_px"]
    for number, (array, (y, x)) in enumerate(zip(tiles.arrays, tiles.positions_px, strict=True)):
        tifffile.imwrite(folder / "tiles" / f"{number}.tif", np.rint(array * 255).astype(np.uint8))
        lines.append(f"{number}.tif,{y + number % 3},{x - number % 2}")
    (folder / "positions.csv").write_text("\n".join(lines), encoding="utf-8")


def _places(table: Path) -> NDArray[np.float64]:
    with table.open(newline="", encoding="utf-8") as stream:
        return np.array([(float(row["y_px"]), float(row["x_px"])) for row in csv.DictReader(stream)])
