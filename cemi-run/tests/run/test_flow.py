"""Claims about runs: what they leave, what a second one redoes, and that a stopped one goes on."""

import json
import os
import shutil
import signal
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from cemi_core.errors import CemiError, InputError, PluginError, RunInUseError, StorageError
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.mosaic import Box
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Machine
from cemi_run.flow import dry_run
from cemi_run.recipe.check import check_recipe
from cemi_run.store.protocol import open_mosaic

ALL = {
    "frames",
    "denoise-0-box",
    "layout",
    "mosaic",
    "quality",
    "denoise-mosaic-0-box",
    "analyze-0-grey",
    "relate",
    "report",
}


def _pixels(out):
    path = RunFolder(out).mosaic_path()
    with open_mosaic(path) as mosaic:
        box = Box(0, 0, *mosaic.shape)
        return mosaic.read(box), mosaic.read_valid(box)


def test_a_run_leaves_everything_that_it_promises(run):
    assert run() == ALL
    for name in (
        "recipe.resolved.yaml",
        "provenance.json",
        "run.h5",
        "frames.zarr",
        "mosaic.h5",
        "layout.csv",
        "report.html",
        "cemi.log",
        "maps/grey.csv",
        "maps/grey.png",
    ):
        assert (run.out / name).exists(), name
    record = json.loads((run.out / "provenance.json").read_text())
    assert len(record["inputs"]) == 6 + 2
    assert record["peak_memory_mb"] > 10
    assert {step["name"] for step in record["steps"]} == ALL
    with h5py.File(run.out / "run.h5") as file:
        assert "layout" in file
        assert "00-grey" in file["results"]


def test_kept_frames_are_a_zarr_that_any_reader_opens(run):
    run()
    kept = zarr.open_group(run.out / "frames.zarr", mode="r")["kept/pixels"]
    assert kept.shape == (6, 96, 128)
    np.testing.assert_array_equal(kept[2], tifffile.imread(run.out.parent / "tiles" / "t2.tif"))


def test_a_second_run_redoes_nothing(run):
    run()
    assert run() == set()


@pytest.mark.parametrize(
    ("override", "redone"),
    [
        ("grid.columns=5", {"analyze-0-grey", "relate", "report"}),
        ("analyze.grey.block_px=8", {"analyze-0-grey", "relate", "report"}),
        ("relate.fewest_points=5", {"relate", "report"}),
        ("report.title=Another", {"report"}),
        ("denoise.1.radius_px=2", {"denoise-mosaic-0-box", "analyze-0-grey", "relate", "report"}),
        ("denoise.0.radius_px=2", ALL - {"frames"}),
        ("source.pixel_size=90 nm", ALL),
    ],
)
def test_a_changed_setting_redoes_only_what_depends_on_it(run, override, redone):
    run()
    assert run(override) == redone


def test_another_way_of_blending_keeps_the_layout(run, monkeypatch):
    from cemi_trusting.stitcher import TrustingSettings

    monkeypatch.setattr(TrustingSettings, "picture_only", frozenset({"round_to_px"}), raising=False)
    run()
    redone = run("stitch.round_to_px=true")
    assert "mosaic" in redone
    assert not {"frames", "denoise-0-box", "layout", "quality"} & redone


def test_a_changed_input_redoes_everything_and_a_touched_one_nothing(run):
    run()
    tile = run.out.parent / "tiles" / "t0.tif"
    os.utime(tile, (1, 1))
    assert run() == set()
    tifffile.imwrite(tile, tifffile.imread(tile) // 2)
    assert run() == ALL


def test_a_result_that_was_deleted_is_made_again(run):
    run()
    (run.out / "mosaic.h5").unlink()
    assert run() == {"denoise-mosaic-0-box", "analyze-0-grey", "relate", "report"}


@pytest.mark.parametrize("lost", ["mosaic.h5", "run.h5", ".cemi/layout.h5", "frames.zarr/kept/pixels/c.3.0.0"])
def test_a_result_that_was_cut_short_is_made_again(run, lost):
    run()
    content = (run.out / lost).read_bytes()
    (run.out / lost).write_bytes(content[: len(content) // 2])
    assert "report" in run()
    assert run() == set()


def test_a_table_that_was_edited_is_not_made_again(run):
    run()
    (run.out / "layout.csv").write_text("edited")
    assert run() == set()


def test_a_damaged_result_of_the_right_size_is_named_with_what_to_do(run):
    run()
    path = run.out / ".cemi" / "layout.h5"
    path.write_bytes(bytes(path.stat().st_size))
    (run.out / ".cemi" / "mosaic-0.h5").unlink()
    with pytest.raises(InputError, match=r"layout\.h5 is damaged .*remove it"):
        run()


def test_one_analyzer_twice_leaves_both_maps(run):
    run("analyze=[{use: grey}, {use: grey, with: {block_px: 8}}]")
    assert {path.name for path in (run.out / "maps").glob("*.csv")} == {"grey.csv", "grey_2.csv"}


def test_a_map_cannot_be_written_outside_of_its_folder(run, monkeypatch):
    import cemi_grey.analyzer

    merge = cemi_grey.analyzer.Grey.merge

    def elsewhere(self, partials, shape):
        result = merge(self, partials, shape)
        return replace(result, analyzer="../x", maps=tuple(replace(m, name="../../x") for m in result.maps))

    monkeypatch.setattr(cemi_grey.analyzer.Grey, "merge", elsewhere)
    run()
    assert not list(run.out.parent.glob("x*"))
    assert [path.parent for path in run.out.rglob("*x.csv")] == [run.out / "maps"]


def test_a_plugin_that_returns_the_wrong_shape_or_no_numbers_is_named(run, monkeypatch):
    import cemi_box.denoiser

    for wrong, said in (
        (lambda s, b, i=None: b[:, 1:], "made .* of a block"),
        (lambda s, b, i=None: b * np.nan, "made pixels that are not numbers"),
    ):
        monkeypatch.setattr(cemi_box.denoiser.Box, "__call__", wrong)
        with pytest.raises(PluginError, match=f"Box of cemi_box {said}"):
            run()


def test_a_step_that_left_the_recipe_leaves_the_folder(run):
    run()
    run("denoise=[]")
    names = {path.stem for path in (run.out / ".cemi" / "steps").glob("*.json")}
    assert names == {"frames", "layout", "mosaic", "quality", "analyze-0-grey", "relate", "report"}
    assert {path.name for path in (run.out / "frames.zarr").iterdir() if path.is_dir()} == {"kept"}


def test_a_dry_run_says_why_and_writes_nothing(run, recipe_file, tiny_registry, machine):
    reasons = {
        v.step.name: v.reason for v in dry_run(check_recipe(recipe_file, tiny_registry), RunFolder(run.out), machine)
    }
    assert set(reasons.values()) == {"not done yet"}
    assert not run.out.exists()
    run()
    recipe = check_recipe(recipe_file, tiny_registry, ["denoise.1.radius_px=3"])
    reasons = {v.step.name: v.reason for v in dry_run(recipe, RunFolder(run.out), machine)}
    assert reasons["mosaic"] == ""
    assert reasons["denoise-mosaic-0-box"] == "changed: with.radius_px 1 -> 3"
    assert reasons["analyze-0-grey"].startswith("builds on denoise-mosaic-0-box")


def test_discarded_frames_are_read_again_only_when_a_step_needs_them(run):
    run(discard=["frames"])
    assert not (run.out / "frames.zarr").exists()
    assert run() == set()
    assert run("grid.columns=5") == {"analyze-0-grey", "relate", "report"}
    redone = run("stitch.round_to_px=true")
    assert {"frames", "denoise-0-box", "layout"} <= redone


@pytest.mark.parametrize("kind", ["threads", "processes", "dask"])
def test_every_executor_gives_the_same_picture_and_maps(run, tmp_path, kind, tiny_plugins, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(p / "src") for p in tiny_plugins.iterdir()))
    run()
    other = tmp_path / "other"
    run(machine=Machine(kind=kind, workers=2), out=other)
    assert (other / ("mosaic.h5" if kind == "threads" else "mosaic.ome.zarr")).exists()
    for one, two in zip(_pixels(run.out), _pixels(other), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (run.out / "maps/grey.csv").read_text() == (other / "maps/grey.csv").read_text()


class _Kill(BaseException):
    """Stands for the end of the process in the middle of a step."""


@pytest.mark.parametrize("calls", [1, 4, 7, 9, 11, 13, 16])
def test_a_run_stopped_anywhere_goes_on_and_ends_in_the_same_result(run, tmp_path, calls):
    run(out=tmp_path / "whole")
    seen = 0

    def stop(label, done, total):
        nonlocal seen
        seen += 1
        if seen == calls:
            raise _Kill

    with pytest.raises(_Kill):
        run(progress=stop)
    run()
    for one, two in zip(_pixels(run.out), _pixels(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(one, two)
    for name in ("layout.csv", "maps/grey.csv"):
        assert (run.out / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_stopped_run_does_not_denoise_a_frame_twice(run, monkeypatch, tiny_registry):
    import cemi_box.denoiser

    count = 0
    call = cemi_box.denoiser.Box.__call__

    def counted(self, block, info=None):
        nonlocal count
        count += 1
        return call(self, block, info)

    monkeypatch.setattr(cemi_box.denoiser.Box, "__call__", counted)

    def stop(label, done, total):
        if label.startswith("denoising with") and done == 4:
            raise _Kill

    with pytest.raises(_Kill):
        run("denoise=[{use: box}]", progress=stop)
    run("denoise=[{use: box}]")
    assert count == 6


def test_a_folder_that_another_run_writes_to_is_refused(run):
    folder = RunFolder(run.out)
    with folder.opened_for_writing(), pytest.raises(RunInUseError, match="another cemi writes to"):
        run()


def test_a_folder_with_other_files_is_not_touched(run):
    run.out.mkdir()
    (run.out / "thesis.txt").write_text("mine")
    with pytest.raises(StorageError, match="holds other files"):
        run()
    assert [path.name for path in run.out.iterdir()] == ["thesis.txt"]


def test_a_damaged_tile_is_dropped_and_the_run_is_finished(run):
    tile = run.out.parent / "tiles" / "t5.tif"
    tile.write_bytes(tile.read_bytes()[:3000])
    run()
    assert len((run.out / "layout.csv").read_text().splitlines()) == 1 + 5
    assert "t5.tif" in (run.out / "report.html").read_text()


def test_without_any_readable_frame_the_run_ends_in_one_sentence(run):
    for tile in (run.out.parent / "tiles").iterdir():
        tile.write_bytes(b"")
    with pytest.raises(InputError, match=r"t0\.tif"):
        run()


def test_a_missing_property_table_is_found_before_anything_runs(run):
    (run.out.parent / "hardness.csv").unlink()
    with pytest.raises(InputError, match=r"no property table .*hardness\.csv"):
        run()
    assert not (run.out / "frames.zarr").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system cannot limit the size of files")
def test_a_full_disk_ends_in_one_sentence_and_the_run_goes_on_later(run):
    import resource

    run("denoise=[]", "analyze=[]", "relate=null")
    shutil.rmtree(run.out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        with pytest.raises(CemiError, match=r"too large for the disk|no space"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert "report" in run()


@pytest.mark.parametrize("wanted", [False, True])
def test_a_mosaic_is_read_for_its_brightest_grey_level_only_for_those_who_ask(run, declare, monkeypatch, wanted):
    import cemi_box.denoiser

    peaks = []

    def remember(self, block, info=None):
        peaks.append(info.peak)
        return block

    monkeypatch.setattr(cemi_box.denoiser.Box, "__call__", remember)
    declare("box", DenoiserAbilities(wants_peak=wanted))
    run("denoise=[{use: box, on: mosaic}]")
    brightest = np.nanmax(_pixels(run.out)[0])
    assert peaks == [pytest.approx(brightest, abs=0.5 / 255) if wanted else None]
