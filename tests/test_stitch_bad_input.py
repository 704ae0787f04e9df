"""Claims about bad input to stitching, each by `cemi stitch` and by a recipe: said, never silent, never flung away."""

import csv
from dataclasses import dataclass
from html import unescape

import numpy as np
import pytest
import tifffile

from cemi_core.model.mosaic import Box
from cemi_core.testing import textured_image
from cemi_run.store.protocol import open_mosaic

SCENE = textured_image((170, 340), seed=4)
FEI_TAG = 34682


@dataclass(frozen=True)
class Stitched:
    code: int
    said: str
    places: dict  # file -> (y, x), px
    component: dict  # file -> number
    mosaic: np.ndarray | None  # NaN where there is nothing


def grey(image):
    return np.rint(255 * image).astype(np.uint8)


def cut(y, x, height=100, width=140):
    return grey(SCENE[y : y + height, x : x + width])


def grid_of_four():
    """Return tiles of 100 x 140 px at y = 0, 60 and x = 0, 100, and the table of their places, off by up to 2 px."""
    tiles = {f"t{n}.tif": cut(60 * (n // 2), 100 * (n % 2)) for n in range(4)}
    return tiles, "t0.tif,0,0\nt1.tif,1,99\nt2.tif,61,1\nt3.tif,58,101\n"


def fei_tag(pixel_size_um):
    """Return what a microscope writes about its pixel size, as an extra tag of a TIFF file."""
    text = f"[Scan]\r\nPixelWidth={pixel_size_um * 1e-6}\r\n"
    return {"extratags": [(FEI_TAG, "s", 0, text, True)]}


@pytest.fixture(params=["stitch", "recipe"])
def stitch(request, cemi, tmp_path):
    """Write the tiles (and a positions table), run the program in either way, and give what came of it."""
    folder = tmp_path / "tiles"
    folder.mkdir()

    def run(tiles, table=None, pixel_sizes_um=None, pixel_size=None):
        for name, image in tiles.items():
            more = fei_tag(pixel_sizes_um[name]) if pixel_sizes_um else {}
            tifffile.imwrite(folder / name, image, **more)
        if table is not None:
            (tmp_path / "positions.csv").write_text("file,y_px,x_px\n" + table)
        if request.param == "stitch":
            out, layout = tmp_path / "m.h5", tmp_path / "layout.csv"
            more = ["--positions", tmp_path / "positions.csv"] if table is not None else []
            more += ["--set", f"pixel_size={pixel_size}"] if pixel_size else []
            answer = cemi("stitch", folder, *more, "--out", out, "--layout", layout, "--quiet")
        else:
            out, layout = tmp_path / "run" / "mosaic.h5", tmp_path / "run" / "layout.csv"
            more = f", positions: {tmp_path / 'positions.csv'}" if table is not None else ""
            more += f", pixel_size: {pixel_size}" if pixel_size else ""
            (tmp_path / "r.yaml").write_text(f"recipe: 1\nsource: {{use: images, with: {{path: {folder}{more}}}}}\n")
            answer = cemi("recipe", tmp_path / "r.yaml", "--out", tmp_path / "run", "--quiet")
        said = answer.err
        assert "Traceback" not in said
        if answer.code:
            assert len(said.strip().splitlines()) == 1, "a mistake ends in one sentence"
            assert not out.exists()
            return Stitched(answer.code, said, {}, {}, None)
        if request.param == "recipe":
            said += unescape((tmp_path / "run" / "report.html").read_text())
        with layout.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        places = {row["file"]: np.array([float(row["y_px"]), float(row["x_px"])]) for row in rows}
        with open_mosaic(out) as mosaic:
            whole = Box(0, 0, *mosaic.shape)
            picture = np.where(mosaic.read_valid(whole), mosaic.read(whole), np.nan)
        return Stitched(0, said, places, {row["file"]: int(row["component"]) for row in rows}, picture)

    return run


def test_one_tile_is_its_own_mosaic(stitch):
    tile = cut(0, 0)
    found = stitch({"t0.tif": tile})
    assert found.code == 0
    np.testing.assert_array_equal(np.rint(255 * found.mosaic), tile)


def test_two_identical_tiles_lie_on_each_other_and_are_named(stitch):
    tile = cut(0, 0)
    found = stitch({"a.tif": tile, "b.tif": tile})
    assert found.code == 0
    np.testing.assert_allclose(found.places["a.tif"], found.places["b.tif"], atol=0.05)
    np.testing.assert_allclose(found.mosaic[1:99, 1:139] * 255, tile[1:-1, 1:-1], atol=2)
    assert "a.tif' and 'b.tif" in found.said


def test_a_tile_saved_in_place_of_another_stays_at_the_stage_and_is_flagged(stitch):
    tiles, table = grid_of_four()
    found = stitch(tiles | {"t3.tif": tiles["t2.tif"]}, table)
    assert found.code == 0
    np.testing.assert_allclose(found.places["t1.tif"] - found.places["t0.tif"], (0, 100), atol=0.2)
    np.testing.assert_allclose(found.places["t2.tif"] - found.places["t0.tif"], (60, 0), atol=0.2)
    np.testing.assert_allclose(found.places["t3.tif"] - found.places["t0.tif"], (58, 101), atol=5)
    assert [name for name, number in found.component.items() if number] == ["t3.tif"]
    assert "'t2.tif' and 't3.tif'" in found.said
    assert "stage" in found.said


def test_black_tiles_stay_at_the_stage_and_are_flagged(stitch):
    tiles, table = grid_of_four()
    found = stitch({name: np.zeros_like(tile) for name, tile in tiles.items()}, table)
    assert found.code == 0
    assert len(set(found.component.values())) == 4
    np.testing.assert_allclose(found.places["t3.tif"] - found.places["t0.tif"], (58, 101), atol=1e-3)
    assert np.nanmax(found.mosaic) == 0
    assert "No overlap between any two frames was found" in found.said


def test_pixels_without_value_are_filled_by_the_other_tile_and_move_nothing(stitch):
    left, right = SCENE[:100, :140].copy(), SCENE[:100, 100:240]
    left[30:50, 105:130] = np.nan  # seen by the other tile
    left[30:50, 20:40] = np.nan  # seen by none
    found = stitch({"a.tif": left, "b.tif": right, "c.tif": np.full_like(left, np.nan)})
    assert found.code == 0
    np.testing.assert_allclose(found.places["b.tif"] - found.places["a.tif"], (0, 100), atol=0.2)
    assert found.component["a.tif"] == found.component["b.tif"] != found.component["c.tif"]
    y, x = np.rint(found.places["a.tif"]).astype(int)
    assert np.isfinite(found.mosaic[y + 32 : y + 48, x + 107 : x + 128]).all()
    assert np.isnan(found.mosaic[y + 32 : y + 48, x + 22 : x + 38]).all()


def test_tiles_of_different_sizes_are_stitched_and_said(stitch):
    found = stitch({"a.tif": cut(0, 0), "b.tif": cut(10, 90, 80, 150), "c.tif": cut(60, 20, 100, 140)})
    assert found.code == 0
    np.testing.assert_allclose(found.places["b.tif"] - found.places["a.tif"], (10, 90), atol=0.2)
    np.testing.assert_allclose(found.places["c.tif"] - found.places["a.tif"], (60, 20), atol=0.2)
    assert "2 different sizes" in found.said


@pytest.mark.parametrize(("table", "said"), [("a.tif,0,0\nb.tif,1,167\n", "min_overlap"), (None, "side by side")])
def test_an_overlap_of_1_percent_is_no_guess(stitch, table, said):
    found = stitch({"a.tif": cut(0, 0, 170, 170), "b.tif": cut(0, 168, 170, 170)}, table)
    assert found.code == 0
    assert found.component == {"a.tif": 0, "b.tif": 1}
    np.testing.assert_allclose(found.places["b.tif"], (1, 167) if table else (0, 170), atol=1e-3)
    assert said in found.said


def test_pixel_sizes_that_differ_are_refused_with_both_files(stitch):
    sizes = {"t0.tif": 0.1, "t1.tif": 0.1, "t2.tif": 0.2, "t3.tif": 0.1}
    found = stitch(grid_of_four()[0], pixel_sizes_um=sizes)
    assert found.code == 1
    for word in ("100 nm", "200 nm", "t2.tif", "pixel_size"):
        assert word in found.said


def test_a_given_pixel_size_goes_before_those_in_the_files(stitch):
    tiles, table = grid_of_four()
    sizes = dict.fromkeys(tiles, 0.1) | {"t2.tif": 0.2}
    found = stitch(tiles, table, pixel_sizes_um=sizes, pixel_size="100 nm")
    assert found.code == 0
    assert set(found.component.values()) == {0}


def test_a_tile_that_the_positions_table_leaves_out_is_named(stitch):
    tiles, table = grid_of_four()
    found = stitch(tiles, "".join(table.splitlines(keepends=True)[:3]))
    assert found.code == 0
    assert sorted(found.places) == ["t0.tif", "t1.tif", "t2.tif"]
    assert "t3.tif: not in the positions table" in found.said


def test_a_line_of_the_positions_table_without_a_tile_is_named(stitch):
    tiles, table = grid_of_four()
    found = stitch(tiles, table + "t4.tif,0,200\n")
    assert found.code == 0
    assert len(found.places) == 4
    assert "t4.tif: in the positions table, but there is no such image" in found.said


@pytest.mark.parametrize(
    ("table", "said"),
    [("", "has no lines"), ("t0.tif,0,0\nt0.tif,1,99\n", "line 3: file 't0.tif' is in the table twice")],
)
def test_a_table_that_cannot_be_right_is_refused_with_its_line(stitch, table, said):
    found = stitch(grid_of_four()[0], table)
    assert found.code == 1
    assert "positions.csv" in found.said
    assert said in found.said
