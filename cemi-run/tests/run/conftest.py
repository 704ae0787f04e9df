"""A whole recipe of tiny plugins, so that the flow is tested without any stage package."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cemi_core.plugins import AnalyzerPlugin, DenoiserPlugin, RelationPlugin, StitcherPlugin
from cemi_core.plugins.manager import Plugins, Registered, registry
from cemi_core.testing import cut_tiles
from cemi_run.cli.new_plugin import new_plugin
from cemi_run.engine.plan import Machine
from cemi_run.engine.progress import silent
from cemi_run.flow import run_recipe
from cemi_run.recipe.check import check_recipe


@pytest.fixture(scope="session")
def tiny_plugins(tmp_path_factory):
    """The templates of `cemi new-plugin`, made importable: a denoiser, a stitcher, an analyzer and a relation."""
    folder = tmp_path_factory.mktemp("plugins")
    with pytest.MonkeyPatch.context() as patch:
        for stage, name in (("denoiser", "box"), ("stitcher", "trusting"), ("analyzer", "grey"), ("relation", "plain")):
            done = CliRunner().invoke(new_plugin, [stage, name, "--out", str(folder)])
            assert done.exit_code == 0, done.output
            patch.syspath_prepend(str(folder / f"cemi-{name}" / "src"))
        yield folder


@pytest.fixture
def tiny_registry(tiny_plugins):
    """A registry with the built-in sources and the tiny plugins."""
    descriptions = [
        DenoiserPlugin("box", "Mean.", "cemi_box.denoiser:make", "cemi_box.denoiser:BoxSettings"),
        StitcherPlugin(
            "trusting", "As told.", "cemi_trusting.stitcher:make", "cemi_trusting.stitcher:TrustingSettings"
        ),
        AnalyzerPlugin("grey", "Mean grey.", "cemi_grey.analyzer:make", "cemi_grey.analyzer:GreySettings"),
        RelationPlugin("plain", "r.", "cemi_plain.relation:make", "cemi_plain.relation:PlainSettings"),
    ]
    sources = [plugin for plugin in registry().of_stage("source") if plugin.package == "cemi-run"]
    reports = registry().of_stage("report")
    return Plugins([*sources, *reports, *(Registered(d, "tiny", "1.0") for d in descriptions)])


@pytest.fixture
def declare(tiny_registry):
    """Let a tiny plugin declare abilities."""

    def declare(name, abilities):
        for number, plugin in enumerate(tiny_registry.plugins):
            if plugin.name == name:
                described = replace(plugin.description, abilities=abilities)
                tiny_registry.plugins[number] = replace(plugin, description=described)

    return declare


@pytest.fixture
def machine():
    return Machine(kind="serial", workers=1)


@pytest.fixture
def recipe_file(tmp_path):
    """Six 8-bit tiles with positions and hardness, and a recipe for them."""
    import tifffile

    tiles = cut_tiles(rows=2, columns=3)
    folder = tmp_path / "tiles"
    folder.mkdir()
    with (tmp_path / "positions.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "y_px", "x_px"])
        for number, (array, (y, x)) in enumerate(zip(tiles.arrays, tiles.positions_px, strict=True)):
            tifffile.imwrite(folder / f"t{number}.tif", (255 * array).astype(np.uint8))
            table.writerow([f"t{number}.tif", y, x])
    (tmp_path / "hardness.csv").write_text("x_um,hv\n" + "".join(f"{x},{500 + x % 7}\n" for x in range(4, 26)))
    path: Path = tmp_path / "r.yaml"
    path.write_text(
        """\
recipe: 1
source: {use: images, with: {path: tiles/*.tif, positions: positions.csv, pixel_size: 100 nm}}
denoise:
  - {use: box, with: {radius_px: 1}}
  - {use: box, on: mosaic}
stitch: {use: trusting}
grid: {rows: 2, columns: 6}
analyze: [{use: grey}]
relate: {use: plain, property: hardness.csv, value: hv}
"""
    )
    return path


@pytest.fixture
def run(recipe_file, tiny_registry, machine, tmp_path):
    """Run the recipe with overrides, into the same folder each time; gives the names of the steps that were done."""
    out = tmp_path / "run"

    def run(*overrides, machine=machine, out=out, discard=(), progress=silent):
        recipe = check_recipe(recipe_file, tiny_registry, overrides)
        timings = run_recipe(recipe, out, machine, progress, discard)
        return {timing.name for timing in timings if not timing.kept}

    run.out = out
    return run
