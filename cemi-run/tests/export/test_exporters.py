"""Exported mosaics, read back by other programs' libraries, show the same picture at the same scale."""

from __future__ import annotations

import tracemalloc
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cemi_core.errors import InputError, UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import make, registry
from cemi_run.export.deep_zoom import DeepZoomExporter
from cemi_run.export.ome_tiff import OmeTiffExporter
from cemi_run.export.ome_zarr import OmeZarrExporter
from cemi_run.export.png import PngExporter, draw_scale_bar
from cemi_run.store.protocol import create_mosaic, open_mosaic
from cemi_run.store.pyramid import build_pyramid

SHAPE = (1300, 1700)
PIXEL_UM = 0.2


def picture():
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    image = 0.5 + 0.3 * np.sin(y / 41) * np.cos(x / 67) + 0.1 * np.sin(x / 3 + y / 7)
    image[200:300, 1500:] = np.nan
    return image.astype(np.float32)


def write_mosaic(path, dtype="uint8", pixel_size_um=PIXEL_UM):
    with create_mosaic(path, SHAPE, np.dtype(dtype), pixel_size_um, (-10.0, 30.0)) as store:
        store.write(Box(0, 0, *SHAPE), picture())
        build_pyramid(store)
    return open_mosaic(path)


@pytest.fixture(params=["mosaic.h5", "mosaic.ome.zarr"])
def mosaic(request, tmp_path):
    with write_mosaic(tmp_path / request.param) as store:
        yield store


def level_of(mosaic, level):
    return mosaic.read(Box(0, 0, *mosaic.level_shapes[level]), level)


def grey(image):
    return np.rint(image * 255)


@pytest.mark.parametrize("name", ["ome-tiff", "ome-zarr", "dzi", "png"])
def test_every_format_is_registered_and_shows_its_progress_to_the_end(tmp_path, mosaic, name):
    found = registry().of_stage("export").get(name)
    exporter = make(found, found.description.load_settings()(), Runtime())
    out = tmp_path / "out" / f"picture{found.description.suffix}"
    out.parent.mkdir()
    seen = []
    exporter(mosaic, out, lambda done, total: seen.append((done, total)))
    assert out.exists()
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not [path for path in out.parent.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_ome_tiff_holds_every_level_pixel_for_pixel(tmp_path, mosaic, compression):
    OmeTiffExporter(compression)(mosaic, tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        assert file.is_bigtiff
        assert file.is_ome
        (series,) = file.series
        assert series.dtype == np.uint8
        assert [level.shape for level in series.levels] == list(mosaic.level_shapes)
        for number, level in enumerate(series.levels):
            assert level.keyframe.is_tiled
            np.testing.assert_array_equal(level.asarray(), grey(level_of(mosaic, number)))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_ome_tiff_keeps_the_type_and_the_grey_values_of_the_source(tmp_path, dtype):
    with write_mosaic(tmp_path / "m.h5", dtype) as mosaic:
        OmeTiffExporter()(mosaic, tmp_path / "out.ome.tif")
        expected = level_of(mosaic, 0)
    pixels = tifffile.imread(tmp_path / "out.ome.tif")
    assert pixels.dtype == dtype
    if dtype == "uint16":
        np.testing.assert_array_equal(pixels, np.rint(expected * 65535))
    else:
        np.testing.assert_allclose(pixels, expected * 40 - 10, atol=1e-5)


def test_ome_tiff_states_the_pixel_size_in_micrometres_and_per_centimetre(tmp_path, mosaic):
    OmeTiffExporter()(mosaic, tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        pixels = ET.fromstring(file.ome_metadata).find(".//{*}Pixels")
        assert float(pixels.get("PhysicalSizeX")) == float(pixels.get("PhysicalSizeY")) == PIXEL_UM
        assert pixels.get("PhysicalSizeXUnit") == "µm"
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(1e4 / PIXEL_UM)
        assert file.pages[0].tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER


def test_without_a_pixel_size_ome_tiff_claims_none_and_png_draws_no_bar(tmp_path):
    with write_mosaic(tmp_path / "m.h5", pixel_size_um=None) as mosaic:
        OmeTiffExporter()(mosaic, tmp_path / "out.ome.tif")
        PngExporter()(mosaic, tmp_path / "out.png")
        expected = grey(level_of(mosaic, 0))
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        assert "PhysicalSize" not in file.ome_metadata
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)


def test_ome_zarr_is_the_same_mosaic_again(tmp_path, mosaic):
    OmeZarrExporter()(mosaic, tmp_path / "out.ome.zarr")
    with open_mosaic(tmp_path / "out.ome.zarr") as copy:
        assert copy.pixel_size_um == PIXEL_UM
        assert copy.level_shapes == mosaic.level_shapes
        for level, shape in enumerate(mosaic.level_shapes):
            box = Box(0, 0, *shape)
            np.testing.assert_array_equal(copy.read(box, level), mosaic.read(box, level))
            np.testing.assert_array_equal(copy.read_valid(box, level), mosaic.read_valid(box, level))
    array = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")["0"]
    np.testing.assert_array_equal(array[:], grey(level_of(mosaic, 0)))


def test_ome_zarr_replaces_an_older_export_but_never_another_folder(tmp_path, mosaic):
    for _ in range(2):
        OmeZarrExporter()(mosaic, tmp_path / "out.ome.zarr")
    (tmp_path / "thesis.zarr").mkdir()
    (tmp_path / "thesis.zarr" / "chapter1.tex").touch()
    with pytest.raises(InputError):
        OmeZarrExporter()(mosaic, tmp_path / "thesis.zarr")
    assert (tmp_path / "thesis.zarr" / "chapter1.tex").exists()
    with pytest.raises(UsageError, match=r"\.ome\.zarr"):
        OmeZarrExporter()(mosaic, tmp_path / "thesis")


def assembled(folder, shape, tile_px, suffix):
    """Put the tiles of a Deep Zoom level together as a viewer does."""
    picture = np.zeros(shape, np.uint8)
    for file in folder.glob(f"*.{suffix}"):
        column, row = map(int, file.stem.split("_"))
        tile = np.asarray(Image.open(file))
        y, x = max(row * tile_px - 1, 0), max(column * tile_px - 1, 0)
        picture[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return picture


@pytest.mark.parametrize("tile_px", [256, 510])
def test_deep_zoom_tiles_join_to_every_level(tmp_path, mosaic, tile_px):
    DeepZoomExporter(format="png", tile_px=tile_px)(mosaic, tmp_path / "out.dzi")
    description = ET.parse(tmp_path / "out.dzi").getroot()
    size = description.find("{*}Size")
    assert (int(size.get("Height")), int(size.get("Width"))) == SHAPE
    assert int(description.get("TileSize")) == tile_px
    assert description.get("Overlap") == "1"
    assert description.get("Format") == "png"
    top = 11  # 2**11 = 2048 is the first power of two that holds 1700
    assert sorted(int(p.name) for p in (tmp_path / "out_files").iterdir()) == list(range(top + 1))
    for level, shape in enumerate(mosaic.level_shapes):
        picture = assembled(tmp_path / "out_files" / str(top - level), shape, tile_px, "png")
        np.testing.assert_array_equal(picture, grey(level_of(mosaic, level)))
    assert Image.open(tmp_path / "out_files" / "0" / "0_0.png").size == (1, 1)


def test_deep_zoom_jpeg_tiles_are_near_the_mosaic(tmp_path, mosaic):
    DeepZoomExporter(quality=95)(mosaic, tmp_path / "out.dzi")
    picture = assembled(tmp_path / "out_files" / "11", SHAPE, 510, "jpg").astype(float)
    assert np.abs(picture - grey(level_of(mosaic, 0))).mean() < 1.5


def test_deep_zoom_never_throws_away_a_folder_of_something_else(tmp_path, mosaic):
    (tmp_path / "out_files").mkdir()
    (tmp_path / "out_files" / "letter.txt").touch()
    with pytest.raises(UsageError, match="out_files exists"):
        DeepZoomExporter()(mosaic, tmp_path / "out.dzi")
    assert (tmp_path / "out_files" / "letter.txt").exists()


def test_png_takes_the_largest_level_that_fits(tmp_path, mosaic):
    for max_px, level in ((5000, 0), (1700, 0), (1699, 1), (500, 2)):
        PngExporter(max_px=max_px, scale_bar=False)(mosaic, tmp_path / "out.png")
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), grey(level_of(mosaic, level)))
    PngExporter(max_px=100, scale_bar=False)(mosaic, tmp_path / "out.png")
    assert 50 <= max(Image.open(tmp_path / "out.png").size) <= 100


def test_png_of_a_level_changes_nothing_but_a_corner_for_the_scale_bar(tmp_path, mosaic):
    PngExporter()(mosaic, tmp_path / "out.png")
    picture, expected = np.asarray(Image.open(tmp_path / "out.png")), grey(level_of(mosaic, 0))
    changed = np.argwhere(picture != expected)
    assert len(changed)
    assert changed[:, 0].min() > SHAPE[0] * 0.85
    assert changed[:, 1].min() > SHAPE[1] * 0.6


@pytest.mark.parametrize("shape", [(400, 1600), (64, 3000), (1000, 1000)])
def test_the_scale_bar_is_as_long_as_a_round_length(shape):
    picture = np.full(shape, 100, np.uint8)
    drawn = draw_scale_bar(picture, pixel_size_um=0.25)
    assert (picture == 100).all()
    lengths = []
    for row in drawn[drawn.shape[0] // 2 :]:
        white = np.flatnonzero(row == 255)
        if len(white) > 20 and len(white) == white[-1] - white[0] + 1:
            lengths.append(len(white) * 0.25)
    length_um = lengths[-1]
    assert length_um in (50.0, 100.0)
    assert 0.1 <= length_um / (shape[1] * 0.25) <= 0.25


def test_stretched_contrast_uses_the_whole_range_for_what_was_imaged(tmp_path):
    with create_mosaic(tmp_path / "m.h5", (600, 800), np.dtype("uint16")) as store:
        image = np.linspace(0.30, 0.34, 800, dtype=np.float32) * np.ones((600, 1), np.float32)
        image[:100] = np.nan
        store.write(Box(0, 0, 600, 800), image)
        build_pyramid(store)
        PngExporter(contrast="keep")(store, tmp_path / "keep.png")
        PngExporter(contrast="stretch")(store, tmp_path / "stretch.png")
    keep, stretch = (np.asarray(Image.open(tmp_path / name)) for name in ("keep.png", "stretch.png"))
    assert (keep[300] >= 76).all()
    assert (keep[300] <= 87).all()
    assert stretch[300, 0] == 0
    assert stretch[300, -1] == 255
    assert abs(int(stretch[300, 400]) - 127) < 3


@pytest.mark.parametrize("exporter", [OmeTiffExporter(), OmeZarrExporter(), DeepZoomExporter(), PngExporter(1024)])
def test_memory_does_not_grow_with_the_mosaic(tmp_path, exporter):
    names = {OmeTiffExporter: "out.ome.tif", OmeZarrExporter: "out.ome.zarr", DeepZoomExporter: "out.dzi"}
    peaks = []
    for width in (3000, 9000):
        with create_mosaic(tmp_path / "m.h5", (3000, width), np.dtype("uint8")) as mosaic:
            for box in Box(0, 0, 3000, width).tiles(1024, 1024):
                mosaic.write(box, np.full((box.height, box.width), 0.5, np.float32))
            build_pyramid(mosaic)
            tracemalloc.start()
            exporter(mosaic, tmp_path / names.get(type(exporter), "out.png"))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < max(1.4 * peaks[0], 8e6)


@pytest.fixture
def channels(tmp_path):
    """Three mosaics of one place: one 8-bit, its negative, and one with 16 bits."""
    opened = {}
    for name, dtype, turned in (("red", "uint8", False), ("green", "uint8", True), ("blue", "uint16", False)):
        with create_mosaic(tmp_path / f"{name}.h5", SHAPE, np.dtype(dtype), PIXEL_UM) as store:
            store.write(Box(0, 0, *SHAPE), 1 - picture() if turned else picture())
            build_pyramid(store)
        opened[name] = open_mosaic(tmp_path / f"{name}.h5")
    yield opened
    for mosaic in opened.values():
        mosaic.close()


def _expected(channels, dtype):
    top = np.iinfo(dtype).max
    box = Box(0, 0, *SHAPE)
    return np.stack([np.rint(top * mosaic.read(box)) for mosaic in channels.values()]).astype(dtype)


def test_an_ome_tiff_holds_all_channels_with_their_names_in_a_type_for_all(channels, tmp_path):
    path = tmp_path / "m.ome.tif"
    OmeTiffExporter().export_channels(channels, path, lambda done, total: None)
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        assert series.axes == "CYX"
        np.testing.assert_array_equal(series.asarray(), _expected(channels, np.uint16))
        assert [level.shape[1:] for level in series.levels] == list(channels["red"].level_shapes)
        names = [e.get("Name") for e in ET.fromstring(file.ome_metadata).iter() if e.tag.endswith("Channel")]
    assert names == ["red", "green", "blue"]


def test_an_ome_zarr_holds_all_channels_with_their_names(channels, tmp_path):
    path = tmp_path / "m.ome.zarr"
    steps = []
    OmeZarrExporter().export_channels(channels, path, lambda done, total: steps.append((done, total)))
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][:], _expected(channels, np.uint16))
    ome = group.attrs["ome"]
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["c", "y", "x"]
    assert [channel["label"] for channel in ome["omero"]["channels"]] == ["red", "green", "blue"]
    assert steps[-1][0] == steps[-1][1]
    OmeZarrExporter().export_channels(channels, path, lambda done, total: None)


def test_an_ome_zarr_of_channels_replaces_nothing_else(channels, tmp_path):
    (tmp_path / "mine.ome.zarr").mkdir()
    with pytest.raises(InputError, match="not an image written by CEMI"):
        OmeZarrExporter().export_channels(channels, tmp_path / "mine.ome.zarr", lambda done, total: None)


def test_red_green_and_blue_become_a_png_in_colour(channels, tmp_path):
    PngExporter(scale_bar=False).export_channels(channels, tmp_path / "m.png", lambda done, total: None)
    image = np.asarray(Image.open(tmp_path / "m.png"))
    np.testing.assert_allclose(image, np.moveaxis(_expected(channels, np.uint8), 0, -1), atol=1)
    PngExporter().export_channels(channels, tmp_path / "bar.png", lambda done, total: None)
    assert (np.asarray(Image.open(tmp_path / "bar.png")) == 255).all(axis=-1).any()
