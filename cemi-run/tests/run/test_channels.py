"""Claims about channels in a run: each is stored, stitched, denoised and measured; a stopped run goes on."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile

from cemi_core.errors import CemiError, InputError, UsageError
from cemi_core.model.abilities import AnalyzerAbilities, DenoiserAbilities
from cemi_core.model.mosaic import Box
from cemi_core.testing import cut_tiles
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Machine
from cemi_run.steps.finish import opened_run
from cemi_run.store.channels import channel_paths
from cemi_run.store.frames import FrameStore, StoredFrames
from cemi_run.store.protocol import open_mosaic

NAMES = ("BSE", "SE")


@pytest.fixture
def two_detectors(recipe_file):
    """Make each tile a file of two pages, the second one the negative of the first."""
    folder = recipe_file.parent / "tiles"
    for number, array in enumerate(cut_tiles(rows=2, columns=3).arrays):
        first = (255 * array).astype(np.uint8)
        with tifffile.TiffWriter(folder / f"t{number}.tif") as file:
            for page in (first, 255 - first):
                file.write(page, photometric="minisblack", metadata=None)
    text = recipe_file.read_text().replace("positions: positions.csv", "positions: positions.csv, channels: [BSE, SE]")
    recipe_file.write_text(text)
    return folder


PLAIN = ("denoise=[]",)


def _mosaic(path):
    with open_mosaic(path) as mosaic:
        box = Box(0, 0, *mosaic.shape)
        return np.where(mosaic.read_valid(box), mosaic.read(box), np.nan)


def _tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("c.*") if path.is_file()}


def test_each_channel_is_kept_and_stitched_by_the_same_layout(two_detectors, run):
    run(*PLAIN)
    frames = StoredFrames(run.out / "frames.zarr" / "kept")
    assert frames.channels == NAMES
    second = tifffile.imread(two_detectors / "t2.tif", key=1)
    np.testing.assert_array_equal(np.rint(255 * frames.of_channel("SE").read(2)), second)
    np.testing.assert_array_equal(np.rint(255 * frames.read_channels(2)[1]), second)
    bse, se = _mosaic(run.out / "mosaic.h5"), _mosaic(run.out / "channels" / "SE.h5")
    assert not (run.out / "channels" / "BSE.h5").exists()
    np.testing.assert_allclose(se, 1 - bse, atol=2 / 255)


def test_the_matched_channel_is_a_matter_of_the_layout_and_not_of_the_frames(two_detectors, run):
    run(*PLAIN)
    se = _mosaic(run.out / "channels" / "SE.h5")
    done = run(*PLAIN, "stitch.match_channel=SE")
    assert "frames" not in done
    assert {"layout", "mosaic", "quality"} <= done
    np.testing.assert_array_equal(_mosaic(run.out / "mosaic.h5"), se)
    assert [path.name for path in sorted((run.out / "channels").iterdir())] == ["BSE.h5", "channels.json"]
    assert channel_paths(run.out / "mosaic.h5").main == "SE"


def test_a_source_without_channels_leaves_none_behind(two_detectors, run):
    run(*PLAIN)
    run(*PLAIN, "source.channels=auto")
    assert not (run.out / "channels").exists()
    assert not (run.out / "frames.zarr" / "kept.channels").exists()


@pytest.mark.parametrize("where", ["stitch.match_channel=InLens", "analyze.0.channel=InLens"])
def test_a_channel_that_is_not_there_is_said_before_the_work_with_those_that_are(two_detectors, run, where):
    with pytest.raises(InputError, match="there is no channel 'InLens'; the channels are BSE, SE"):
        run(*PLAIN, where)
    assert not (run.out / "frames.zarr").exists()


def test_grey_frames_have_no_channel_to_match(run):
    with pytest.raises(InputError, match="plain grey"):
        run("stitch.match_channel=SE")


def test_each_channel_is_denoised_on_frames_and_on_the_mosaic(two_detectors, run):
    run()
    kept, denoised = (StoredFrames(run.out / "frames.zarr" / name, "SE") for name in ("kept", "denoise-0-box"))
    assert denoised.read(0).std() < kept.read(0).std()
    bse, se = _mosaic(run.out / "mosaic.h5"), _mosaic(run.out / "channels" / "SE.h5")
    np.testing.assert_allclose(se, 1 - bse, atol=6 / 255)
    run("denoise=[]")
    assert np.nanstd(_mosaic(run.out / "channels" / "SE.h5")) > np.nanstd(se)


def test_a_denoiser_of_channels_gets_all_at_once(two_detectors, run, declare, monkeypatch):
    import cemi_box.denoiser

    seen = []
    made = next(c for c in vars(cemi_box.denoiser).values() if isinstance(c, type) and "__call__" in vars(c))
    real = made.__call__

    def spy(self, block, info=None):
        seen.append((block.shape[0], info.channels))
        return real(self, block, info)

    monkeypatch.setattr(made, "__call__", spy)
    declare("box", DenoiserAbilities(takes_channels=True))
    run()
    assert set(seen) == {(2, NAMES)}
    together = _mosaic(run.out / "channels" / "SE.h5")
    seen.clear()
    declare("box", DenoiserAbilities())
    run(out=run.out.parent / "apart")
    assert set(seen) == {(1, ("BSE",)), (1, ("SE",))}
    np.testing.assert_array_equal(_mosaic(run.out.parent / "apart" / "channels" / "SE.h5"), together)


def test_a_named_channel_is_measured_and_its_maps_say_so(two_detectors, run):
    run(*PLAIN, "analyze=[{use: grey}, {use: grey, channel: SE}]")
    with opened_run(RunFolder(run.out)) as finished:
        assert list(finished.channels) == ["BSE", "SE"]
        assert finished.main_channel == "BSE"
        first, second = finished.results
        np.testing.assert_allclose(second.maps[0].value, 1 - first.maps[0].value, atol=0.01)
        assert second.maps[0].label.endswith("(SE)")
        assert finished.channels["SE"].shape == finished.mosaic.shape
    with h5py.File(run.out / "run.h5") as file:
        assert json.loads(file["about"][()])["channels"] == ["BSE", "SE"]
    assert "Channel SE" in (run.out / "report.html").read_text()


def test_an_analyzer_of_channels_gets_all_at_once(two_detectors, run, declare, monkeypatch):
    import cemi_grey.analyzer

    seen = []
    made = next(c for c in vars(cemi_grey.analyzer).values() if isinstance(c, type) and "process" in vars(c))
    real = made.process

    def spy(self, block, info):
        seen.append((block.shape[0], info.channels))
        return real(self, block[0], info)

    monkeypatch.setattr(made, "process", spy)
    declare("grey", AnalyzerAbilities(takes_channels=True))
    run(*PLAIN)
    assert set(seen) == {(2, NAMES)}
    with pytest.raises(UsageError, match="all channels at once"):
        run(*PLAIN, "analyze.0.channel=SE")


class _Stopped(CemiError):
    pass


@pytest.mark.parametrize("after", [1, 3, 5, 8])
def test_a_run_that_is_stopped_among_its_channels_resumes_to_the_same_bits(two_detectors, run, monkeypatch, after):
    run()
    whole, mosaic = _tree(run.out / "frames.zarr"), _mosaic(run.out / "channels" / "SE.h5")
    out = run.out.parent / "stopped"
    written = []
    real = FrameStore.write

    def write(self, index, pixels):
        if len(written) == after:
            raise _Stopped
        written.append(index)
        real(self, index, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(FrameStore, "write", write)
        with pytest.raises(_Stopped):
            run(out=out)
    run(out=out)
    assert _tree(out / "frames.zarr") == whole
    np.testing.assert_array_equal(_mosaic(out / "channels" / "SE.h5"), mosaic)


def test_processes_write_each_channel_as_ome_zarr(two_detectors, run):
    run()
    out = run.out.parent / "processes"
    run(out=out, machine=replace(Machine(), kind="processes", workers=2))
    assert sorted(path.name for path in (out / "channels").iterdir()) == ["SE.ome.zarr", "channels.json"]
    np.testing.assert_array_equal(_mosaic(out / "channels" / "SE.ome.zarr"), _mosaic(run.out / "channels" / "SE.h5"))


def test_colour_is_matched_on_its_luminance_and_every_colour_is_stitched(recipe_file, run):
    folder = recipe_file.parent / "tiles"
    run(*PLAIN)
    grey = _mosaic(run.out / "mosaic.h5")
    for number in range(6):
        image = tifffile.imread(folder / f"t{number}.tif")
        tinted = np.stack([image, image // 2, image // 4], axis=-1)
        tifffile.imwrite(folder / f"t{number}.tif", tinted, photometric="rgb")
    run(*PLAIN)
    red, blue = (_mosaic(run.out / "channels" / f"{name}.h5") for name in ("red", "blue"))
    np.testing.assert_allclose(red, grey, atol=1e-6)
    np.testing.assert_allclose(blue, grey / 4, atol=1 / 255)
    luminance = _mosaic(run.out / "mosaic.h5")
    expected = _mosaic(run.out / "channels" / "green.h5") * 0.587 + 0.299 * red + 0.114 * blue
    np.testing.assert_allclose(luminance, expected, atol=2 / 255)
    text = (run.out / "report.html").read_text()
    assert "In colour" in text
