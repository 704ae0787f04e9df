"""Claims about channels, from files to the report and to other programs, with the stitcher that comes with CEMI."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cemi_core.model.mosaic import Box
from cemi_core.testing import textured_image
from cemi_run.store.protocol import open_mosaic

RECIPE = Path(__file__).parent.parent / "recipes" / "two-detectors.yaml"
#: Places of the tiles (y, x), px.
PLACES = [(0, 0), (3, 83), (1, 167), (64, 2), (67, 81), (62, 165)]


def _scene(seed):
    return textured_image((200, 300), seed=seed)


def _tiles(scene, seed):
    rng = np.random.default_rng(seed)
    for y, x in PLACES:
        tile = scene[y : y + 100, x : x + 130] + rng.normal(0, 0.01, (100, 130))
        yield np.clip(np.rint(255 * tile), 0, 255).astype(np.uint8)


def _read(path):
    with open_mosaic(path) as mosaic:
        box = Box(0, 0, *mosaic.shape)
        return np.where(mosaic.read_valid(box), mosaic.read(box), np.nan)


def _places(path):
    with path.open() as stream:
        return np.array([(float(row["y_px"]), float(row["x_px"])) for row in csv.DictReader(stream)])


def _shift_between(image, truth):
    """Return how far an image lies from where it should, (y, x) px, by least squares on its gradients."""
    height, width = (min(a, b) for a, b in zip(image.shape, truth.shape))
    cut = np.s_[20 : height - 20, 20 : width - 20]
    image, truth = image[cut], truth[cut]
    slopes = np.stack([slope.ravel() for slope in np.gradient(truth)], axis=1)
    known = np.isfinite(image.ravel())
    return -np.linalg.lstsq(slopes[known], (image - truth).ravel()[known], rcond=None)[0]


@pytest.fixture(scope="module")
def two_detectors(tmp_path_factory):
    """A folder of six files with a page of BSE and one of SE."""
    data = tmp_path_factory.mktemp("data")
    (data / "two-detectors").mkdir()
    for number, pages in enumerate(zip(_tiles(_scene(1), 1), _tiles(_scene(7), 2))):
        with tifffile.TiffWriter(data / "two-detectors" / f"t{number}.tif") as file:
            for page in pages:
                file.write(page, photometric="minisblack", metadata=None)
    return data


@pytest.mark.parametrize("matched", ["BSE", "SE"])
def test_two_detectors_lie_where_they_should_whichever_is_matched(cemi, two_detectors, tmp_path, monkeypatch, matched):
    monkeypatch.setenv("CEMI_DATA", str(two_detectors))
    run = tmp_path / "run"
    answer = cemi("recipe", RECIPE, "--out", run, "--quiet", "--set", f"stitch.match_channel={matched}")
    assert answer.code == 0, answer.err
    np.testing.assert_allclose(_places(run / "layout.csv"), np.array(PLACES, float), atol=0.35)
    other = "SE" if matched == "BSE" else "BSE"
    scenes = {"BSE": _scene(1), "SE": _scene(7)}
    main, further = _read(run / "mosaic.h5"), _read(run / "channels" / f"{other}.h5")
    middle = np.mean(_places(run / "layout.csv") - PLACES, axis=0)
    for image, name in ((main, matched), (further, other)):
        np.testing.assert_allclose(_shift_between(image, scenes[name]), middle, atol=0.1)
    report = (run / "report.html").read_text()
    assert f"Channel {matched}, on which the frames were matched" in report
    assert f"Channel {other}" in report
    assert (run / "maps").is_dir()


@pytest.fixture(scope="module")
def colour_tiles(tmp_path_factory):
    """Six PNG tiles in colour."""
    folder = tmp_path_factory.mktemp("colour")
    for number, planes in enumerate(zip(*(_tiles(_scene(seed), seed) for seed in (1, 2, 3)))):
        Image.fromarray(np.stack(planes, axis=-1)).save(folder / f"t{number}.png")
    return folder


def test_colour_is_stitched_and_goes_in_colour_to_other_programs(cemi, colour_tiles, tmp_path):
    out = tmp_path / "m.h5"
    answer = cemi("stitch", colour_tiles, "--out", out, "--json", "--quiet")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert list(said["channels"]) == ["red", "green", "blue"]
    assert "matched on the luminance" in answer.err or any("luminance" in note for note in said["notes"])
    red = _read(Path(said["channels"]["red"]))
    assert np.nanmean(np.abs(red[30:140, 30:260] - _scene(1)[30:140, 30:260])) < 0.05
    for target, suffix in (("ome-tiff", ".ome.tif"), ("png", ".png"), ("ome-zarr", ".ome.zarr")):
        assert cemi("export", out, "--to", target, "--quiet", "--out", tmp_path / f"e{suffix}").code == 0
    assert tifffile.imread(tmp_path / "e.ome.tif").shape == (3, *red.shape)
    assert np.asarray(Image.open(tmp_path / "e.png")).shape == (*red.shape, 3)
    one = tmp_path / "one.ome.tif"
    assert cemi("export", out, "--to", "ome-tiff", "--quiet", "--channel", "red", "--out", one).code == 0
    np.testing.assert_allclose(tifffile.imread(one) / 255, np.nan_to_num(red), atol=1e-6)
    main = tmp_path / "main.png"
    assert cemi("export", out, "--to", "png", "--quiet", "--channel", "main", "--out", main).code == 0
    assert np.asarray(Image.open(main)).ndim == 2
    refused = cemi("export", out, "--to", "dzi", "--channel", "all", "--quiet")
    assert refused.code == 2
    assert "red, green, blue" in refused.err
    unknown = cemi("export", out, "--to", "png", "--channel", "infrared", "--quiet")
    assert unknown.code == 1
    assert "the channels are red, green, blue" in unknown.err


def test_the_luminance_of_colour_is_placed_as_before(cemi, colour_tiles, tmp_path):
    for name, more in (("kept", ()), ("grey", ("--set", "channels=grey"))):
        assert cemi("stitch", colour_tiles, "--out", tmp_path / f"{name}.h5", "--quiet", *more).code == 0
    np.testing.assert_array_equal(_read(tmp_path / "kept.h5"), _read(tmp_path / "grey.h5"))
    assert not (tmp_path / "grey-channels").exists()
