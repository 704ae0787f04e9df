from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cemi_core.errors import InputError, UsageError
from cemi_core.model.frame import FrameSource
from cemi_run.sources.images import ImagesSettings, ImagesSource
from cemi_run.sources.positions import GridHints

DATA = Path(os.environ.get("CEMI_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real images (CEMI_DATA) are not here")


def picture(seed: int = 0, shape: tuple[int, int] = (40, 50), dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype=dtype, endpoint=True)


def open_images(path: object, **settings: object) -> ImagesSource:
    paths = [str(p) for p in path] if isinstance(path, list) else str(path)
    return ImagesSource(ImagesSettings(path=paths, **settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 10, 11):
        Image.fromarray(picture(number)).save(tmp_path / f"tile {number}.png")
    (tmp_path / "LICENSE").write_text("not an image")
    return tmp_path


def test_folder_comes_in_natural_order_and_is_a_frame_source(folder: Path) -> None:
    source = open_images(folder)
    assert isinstance(source, FrameSource)
    assert [frame.name for frame in source.frames] == ["tile 1.png", "tile 2.png", "tile 10.png", "tile 11.png"]
    assert [frame.index for frame in source.frames] == [0, 1, 2, 3]
    np.testing.assert_allclose(source.read(2), picture(10) / 255, rtol=1e-6)


def test_glob_list_and_folder_name_the_same_frames(folder: Path) -> None:
    by_list = open_images(sorted(folder.glob("*.png")))
    by_glob = open_images(folder / "*")
    assert by_list.frames == by_glob.frames == open_images(folder).frames


def test_file_whose_name_is_also_a_pattern_is_found(tmp_path: Path) -> None:
    path = tmp_path / "tile[Grid@0 0].png"
    Image.fromarray(picture()).save(path)
    assert open_images(path).frames[0].name == path.name


def test_source_travels_to_another_process(folder: Path) -> None:
    source = open_images(folder)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(1), source.read(1))


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_tiff_is_read_as_stored(tmp_path: Path, compression: str | None, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(3, dtype=dtype), compression=compression)
    source = open_images(tmp_path)
    assert source.dtype == dtype
    np.testing.assert_array_equal(source.read_native(0), picture(3, dtype=dtype))
    assert source.read(0).max() <= 1.0


def test_sixteen_bit_png_keeps_its_depth(tmp_path: Path) -> None:
    Image.fromarray(picture(1, dtype=np.uint16)).save(tmp_path / "a.png")
    source = open_images(tmp_path)
    assert source.dtype == np.uint16
    np.testing.assert_array_equal(source.read_native(0), picture(1, dtype=np.uint16))


def test_float_tiff_in_unit_range_is_kept_and_others_share_one_range(tmp_path: Path) -> None:
    unit = np.linspace(0.2, 0.8, 2000, dtype=np.float32).reshape(40, 50)
    tifffile.imwrite(tmp_path / "a.tif", unit)
    np.testing.assert_allclose(open_images(tmp_path).read(0), unit)
    tifffile.imwrite(tmp_path / "b.tif", unit * 500 - 100)
    source = open_images(tmp_path)
    assert source.float_range == pytest.approx((0.0, 300.0), abs=1e-3)
    assert source.read(1).max() == pytest.approx(1.0)
    low, high = source.float_range
    np.testing.assert_allclose(source.read(0), (unit - low) / (high - low), rtol=1e-5)
    assert open_images(tmp_path, float_range=(0.0, 500.0)).read(1).max() == pytest.approx(0.6)


def test_a_float_range_of_integers_is_one_sentence(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(1, dtype=np.uint16))
    with pytest.raises(InputError, match=r"float_range is for .* floats.*a.tif' is uint16, whose white is 65535"):
        open_images(tmp_path, float_range=(0.0, 1300.0))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((40, 50), np.float32))
    settings = ImagesSettings(path=str(tmp_path), float_range=(0.0, 1300.0))
    ImagesSource(settings, apart=True).require_floats()  # one of floats is enough


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_saved_in_another_mode_gives_its_grey_values(tmp_path: Path, mode: str) -> None:
    Image.fromarray(picture(5)).convert(mode).save(tmp_path / "a.png")
    source = open_images(tmp_path)
    np.testing.assert_array_equal(source.read_native(0), picture(5))
    assert source.notes == ()


def test_true_colour_becomes_luminance_and_is_noted(tmp_path: Path) -> None:
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[..., 1] = 200
    Image.fromarray(rgb).save(tmp_path / "a.png")
    source = open_images(tmp_path)
    assert (source.read_native(0) == round(0.587 * 200)).all()
    assert "colour" in source.notes[0]


def test_white_is_zero_tiff_is_inverted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(2), photometric="miniswhite")
    np.testing.assert_array_equal(open_images(tmp_path).read_native(0), 255 - picture(2))


def test_every_page_of_a_tiff_is_a_frame(tmp_path: Path) -> None:
    stack = np.stack([picture(seed) for seed in range(4)])
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    source = open_images(tmp_path / "s.tif")
    assert [frame.name for frame in source.frames] == [f"s.tif[{page}]" for page in range(4)]
    np.testing.assert_array_equal(source.read_native(3), stack[3])


def test_missing_path_and_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*does not exist"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no images"):
        open_images(tmp_path)
    with pytest.raises(InputError, match=r"no images .* matches '.*\*\.tif'"):
        open_images(tmp_path / "*.tif")


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "truncated": data[: len(data) // 2], "text": b"hello " * 50}[how])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("how", ["empty", "truncated", "text"])
def test_damaged_file_is_named_alone_and_dropped_among_others(tmp_path: Path, suffix: str, how: str) -> None:
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}{suffix}")
    spoil(tmp_path / f"1{suffix}", how)
    with pytest.raises(InputError, match=rf"1\{suffix}"):
        open_images(tmp_path / f"1{suffix}")
    source = open_images(tmp_path)
    assert [frame.name for frame in source.frames] == [f"0{suffix}", f"2{suffix}"]
    assert source.dropped[0].name == f"1{suffix}"
    with pytest.raises(InputError, match=rf"1\{suffix}"):
        open_images(tmp_path, on_bad="error")
    spoil(tmp_path / f"0{suffix}", how)
    with pytest.raises(InputError, match=rf"0\{suffix}"):
        open_images(tmp_path)


def test_damage_in_the_middle_is_an_error_when_read(tmp_path: Path) -> None:
    Image.fromarray(picture(0, (300, 300))).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[5000:6000] = bytes(1000)
    (tmp_path / "a.png").write_bytes(data)
    source = open_images(tmp_path)
    with pytest.raises(InputError, match=r"a\.png"):
        source.read(0)


def test_a_png_whose_end_was_never_written_is_damaged_not_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture(3, (200, 300))).save(path)
    whole = path.read_bytes()
    for kept in (0.3, 0.6, 0.9):  # its full length, but zeros for the rest, as a broken-off copy leaves it
        some = round(kept * len(whole))
        path.write_bytes(whole[:some] + bytes(len(whole) - some - 12) + whole[-12:])
        with pytest.raises(InputError, match=r"a\.png.*damaged"):
            open_images(tmp_path).read(0)


def test_mixed_depths_name_two_files(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(0))
    tifffile.imwrite(tmp_path / "b.tif", picture(0, dtype=np.uint16))
    with pytest.raises(InputError, match=r"a\.tif.*uint8.*b\.tif.*uint16"):
        open_images(tmp_path)


def test_mixed_sizes_are_accepted(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    Image.fromarray(picture(0, (30, 30))).save(tmp_path / "b.png")
    source = open_images(tmp_path)
    assert [frame.shape for frame in source.frames] == [(40, 50), (30, 30)]


def test_picture_of_180_megapixels_is_not_refused(tmp_path: Path) -> None:
    # twice Pillow's limit and more, so that its guard would raise
    Image.fromarray(np.zeros((10_000, 18_500), np.uint8)).save(tmp_path / "big.png", compress_level=1)
    assert open_images(tmp_path).frames[0].shape == (10_000, 18_500)


def test_crop_is_applied_and_checked(folder: Path) -> None:
    source = open_images(folder, crop=(5, 35, 0, 50))
    np.testing.assert_array_equal(source.read_native(0), picture(1)[5:35])
    assert source.frames[0].shape == (30, 50)
    with pytest.raises(InputError, match="does not fit"):
        open_images(folder, crop=(5, 41, 0, 50))


def write_zeiss(path: Path, image: np.ndarray, lines: str) -> None:
    tifffile.imwrite(path, image, extratags=[(34118, 2, 0, lines.encode("cp1252"), False)])


def test_zeiss_pixel_size_of_the_stored_picture_and_bar_below_it(tmp_path: Path) -> None:
    text = (
        "\r\n0\r\nAP_PIXEL_SIZE\r\nPixel Size = 1.114 µm\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 222.4 nm\r\n"
        "DP_IMAGE_STORE\r\nStore resolution = 50 * 32\r\n"
    )
    write_zeiss(tmp_path / "a.tif", picture(), text)
    source = open_images(tmp_path)
    assert source.frames[0].pixel_size_um == pytest.approx(0.2224)
    assert source.frames[0].shape == (32, 50)
    assert open_images(tmp_path, crop="none").frames[0].shape == (40, 50)
    assert open_images(tmp_path, pixel_size="1 um").frames[0].pixel_size_um == 1.0


def test_zeiss_micro_sign_is_understood(tmp_path: Path) -> None:
    write_zeiss(tmp_path / "a.tif", picture(), "\r\nAP_PIXEL_SIZE\r\nPixel Size = 1.114 \u00b5m\r\n")
    assert open_images(tmp_path).frames[0].pixel_size_um == pytest.approx(1.114)


def grid(folder: Path, count: int, skip: tuple[int, ...] = (), **settings: object) -> ImagesSource:
    for number in range(1, count + 1):
        if number not in skip:
            Image.fromarray(picture(number)).save(folder / f"t2_{number:03d}.png")
    return open_images(folder, **settings)


def test_gap_in_the_numbers_is_a_missing_tile_of_a_column_serpentine(tmp_path: Path) -> None:
    hints = GridHints(columns=2, rows=3, order="column-serpentine", overlap=(0.25, 0.1))
    source = grid(tmp_path, 6, skip=(2,), numbering="name", grid=hints)
    places = {frame.name: frame.position_px for frame in source.frames}
    assert places["t2_001.png"] == (0.0, 0.0)
    assert places["t2_003.png"] == (60.0, 0.0)  # two steps of 0.75 * 40 px
    assert places["t2_004.png"] == (60.0, 45.0)
    assert places["t2_006.png"] == (0.0, 45.0)
    assert [frame.row for frame in source.frames] == [0, 0, 1, 1, 1]
    assert source.frames[0].position_tolerance_px == pytest.approx(0.08 * 50)


def test_a_missing_first_tile_keeps_its_place_if_its_number_is_given(tmp_path: Path) -> None:
    hints = GridHints(columns=3, overlap=0)
    source = grid(tmp_path, 6, skip=(1,), numbering="name", grid=hints, first_number=1)
    assert source.frames[0].name == "t2_002.png"
    assert source.frames[0].position_px == (0.0, 50.0)
    with pytest.raises(InputError, match="below the first number 3"):
        open_images(tmp_path, numbering="name", grid=hints, first_number=3)


@pytest.mark.parametrize(
    ("order", "start", "fourth"),
    [
        ("row", "top-left", (1, 0)),
        ("row-serpentine", "top-left", (1, 2)),
        ("column", "top-left", (1, 1)),
        ("row", "bottom-right", (0, 2)),
        ("column-serpentine", "top-right", (0, 1)),
    ],
)
def test_fourth_tile_of_a_2_x_3_grid(tmp_path: Path, order: str, start: str, fourth: tuple[int, int]) -> None:
    source = grid(tmp_path, 6, grid=GridHints(rows=2, columns=3, order=order, start=start, overlap=0))
    position = next(frame.position_px for frame in source.frames if frame.name == "t2_004.png")
    assert position == (fourth[0] * 40, fourth[1] * 50)


def test_damaged_tile_keeps_its_place_in_the_grid(tmp_path: Path) -> None:
    grid(tmp_path, 6)
    spoil(tmp_path / "t2_002.png", "truncated")
    source = open_images(tmp_path, grid=GridHints(columns=3, overlap=0))
    assert source.frames[1].name == "t2_003.png"
    assert source.frames[1].position_px == (0, 100)


def test_name_pattern_gives_row_and_column(tmp_path: Path) -> None:
    for row in range(2):
        for column in range(3):
            Image.fromarray(picture()).save(tmp_path / f"x[Grid@{column} {row + 7}].png")
    source = open_images(tmp_path, numbering="Grid@{column} {row}", grid=GridHints(overlap=0))
    assert [frame.position_px for frame in source.frames[:4]] == [(0, 0), (0, 50), (0, 100), (40, 0)]
    assert [frame.row for frame in source.frames] == [0, 0, 0, 1, 1, 1]
    with pytest.raises(UsageError, match=r"needs \{row\} and {column}"):
        open_images(tmp_path, numbering="Grid@{column}")
    with pytest.raises(InputError, match="does not fit the name pattern"):
        open_images(tmp_path, numbering="Tile@{column} {row}")


def test_too_many_images_for_the_grid_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot hold 6"):
        grid(tmp_path, 6, grid=GridHints(rows=2, columns=2))


def test_positions_table_places_lines_and_lists_what_it_leaves_out(tmp_path: Path) -> None:
    grid(tmp_path, 5)
    table = tmp_path / "positions.csv"
    lines = ["t2_001.png,0,0", "t2_002.png,1,40", "t2_004.png,30,2", "t2_005.png,31.5,41", "gone.png,0,80"]
    table.write_text("\n".join(["file,y_px,x_px", *lines]) + "\n")
    source = open_images(tmp_path, positions=str(table))
    assert [frame.position_px for frame in source.frames] == [(0, 0), (1, 40), (30, 2), (31.5, 41)]
    assert [frame.row for frame in source.frames] == [0, 0, 1, 1]
    assert {(drop.name, drop.reason) for drop in source.dropped} == {
        ("t2_003.png", "not in the positions table"),
        ("gone.png", "in the positions table, but there is no such image"),
    }


def test_positions_table_may_name_files_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    grid(tmp_path / "frames", 2)
    table = tmp_path / "positions.csv"
    table.write_text("file,y_px,x_px\nframes/t2_002.png,5,6\nframes/t2_001.png,0,0\n")
    source = open_images(tmp_path / "frames", positions=str(table))
    assert [(frame.name, frame.position_px) for frame in source.frames] == [
        ("t2_002.png", (5, 6)),
        ("t2_001.png", (0, 0)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,y,x\na,1,2\n", "missing: x_px, y_px"),
        ("file,y_px,x_px\na,1,two\n", "line 2.*must be numbers"),
        ("file,y_px,x_px\na,1,2\na,1,3\n", "line 3.*twice"),
        ("file,y_px,x_px\n", "no lines"),
        ("file,y_px,x_px\na,1,inf\n", "line 2.*finite"),
    ],
)
def test_wrong_positions_table_names_its_line(folder: Path, text: str, message: str) -> None:
    (folder / "p.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_images(folder, positions=str(folder / "p.csv"))


@needs_data
def test_fei_tiff_gives_its_pixel_size_and_loses_its_data_bar() -> None:
    source = open_images(DATA / "ss316_fei_tiff" / "800_020.tif")
    assert source.frames[0].pixel_size_um == pytest.approx(0.582812)
    assert source.frames[0].shape == (884, 1024)
    assert source.read(0)[-1].mean() > 0.3  # the bar is black


@needs_data
def test_real_dendrite_tiles_have_a_place_each_and_002_is_missing() -> None:
    hints = GridHints(columns=2, rows=15, order="column-serpentine", overlap=0.08)
    source = open_images(DATA / "dendritic_sem_tiles" / "*.jpg", numbering="name", grid=hints)
    places = {frame.name: frame.position_px for frame in source.frames}
    assert len(places) == 29
    assert places["015.jpg"][0] == places["016.jpg"][0] == pytest.approx(14 * 0.92 * 1936)
    assert places["030.jpg"] == (0, pytest.approx(0.92 * 2584))


@needs_data
@pytest.mark.parametrize(
    ("folder", "count", "dtype"),
    [("nasa_ebc/images", 15, "uint8"), ("n2v_sem_noisy", 2, "float32"), ("lde_tem_pairs", 2, "uint16")],
)
def test_real_folder_is_read(folder: str, count: int, dtype: str) -> None:
    source = open_images(DATA / folder)
    assert (len(source.frames), source.dtype) == (count, np.dtype(dtype))
    image = source.read(0)
    assert image.ndim == 2 and image.min() >= 0 and image.max() <= 1
    assert source.notes == ()
