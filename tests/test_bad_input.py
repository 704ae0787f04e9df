"""Claims about bad input: one clear sentence, or a finished run that says what is wrong; never a traceback."""

import csv
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from cemi_core.errors import InputError, UsageError
from cemi_core.testing import textured_image
from cemi_run.steps.relate import read_property_table


@pytest.fixture
def stitch(cemi, tmp_path):
    """Stitch arrays written as files; give the answer and the rows of the layout."""

    def stitch(files, *more):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            elif name.endswith(".tif"):
                tifffile.imwrite(folder / name, content)
            else:
                Image.fromarray(content).save(folder / name)
        layout = tmp_path / "layout.csv"
        answer = cemi("stitch", folder, "--out", tmp_path / "m.h5", "--layout", layout, "--quiet", *more)
        assert "Traceback" not in answer.err
        rows = list(csv.DictReader(layout.open())) if answer.code == 0 else []
        return answer, rows

    return stitch


def _u8(image):
    return np.rint(255 * image).astype(np.uint8)


WIDE = _u8(textured_image((120, 300)))
LEFT, RIGHT = WIDE[:, :180], WIDE[:, 120:]


def _apart(rows):
    return float(rows[1]["x_px"]) - float(rows[0]["x_px"])


def test_two_frames_that_overlap_are_placed(stitch):
    answer, rows = stitch({"a.tif": LEFT, "b.tif": RIGHT})
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)


def test_one_frame_is_a_mosaic_of_one(stitch):
    answer, rows = stitch({"a.tif": LEFT})
    assert answer.code == 0
    assert len(rows) == 1


def test_the_same_frame_twice_lies_on_itself(stitch):
    answer, rows = stitch({"a.tif": LEFT, "b.tif": LEFT})
    assert answer.code == 0
    assert abs(_apart(rows)) < 0.5


def test_frames_that_show_different_places_are_flagged_not_overlapped(stitch):
    files = {f"{i}.tif": _u8(textured_image((100, 120), seed=i)) for i in range(4)}
    answer, rows = stitch(files)
    assert answer.code == 0
    assert len({row["component"] for row in rows}) == 4
    assert answer.err.strip()


def test_black_frames_are_placed_and_flagged(stitch):
    files = {"a.tif": LEFT, "b.tif": RIGHT, "c.tif": np.zeros_like(LEFT)}
    answer, rows = stitch(files)
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)
    assert rows[2]["component"] != rows[0]["component"]


def test_all_black_is_a_flagged_mosaic(stitch):
    answer, rows = stitch({f"{i}.tif": np.zeros((60, 80), np.uint8) for i in range(3)})
    assert answer.code == 0
    assert len(rows) == 3
    assert answer.err.strip()


def test_nan_pixels_do_not_spread(stitch):
    left, right = LEFT.astype(np.float32) / 255, RIGHT.astype(np.float32) / 255
    left[10:20, 5:30] = np.nan
    answer, rows = stitch({"a.tif": left, "b.tif": right})
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)


def test_mixed_sizes_are_stitched(stitch):
    answer, rows = stitch({"a.tif": LEFT, "b.tif": RIGHT[10:, :]})
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)
    assert float(rows[1]["y_px"]) - float(rows[0]["y_px"]) == pytest.approx(10, abs=0.3)


def test_mixed_depths_are_one_sentence_that_names_both_files(stitch):
    answer, _ = stitch({"a.tif": LEFT, "b.tif": RIGHT.astype(np.uint16) * 257})
    assert answer.code == 1
    assert "a.tif" in answer.err
    assert "b.tif" in answer.err


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_saved_as_colour_is_grey(stitch, channels):
    def coloured(image):
        planes = [image] * 3 + [np.full_like(image, 255)] * (channels - 3)
        return np.stack(planes, axis=-1)

    answer, rows = stitch({"a.png": coloured(LEFT), "b.png": coloured(RIGHT)})
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)


def test_four_channels_that_are_no_colour_are_kept_and_the_first_is_matched(stitch, tmp_path):
    def of_four(image):
        planes = np.stack([image, np.full_like(image, 9), 255 - image, image // 2], axis=-1)
        options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"] * 3}
        stream = io.BytesIO()
        tifffile.imwrite(stream, planes, **options)
        return stream.getvalue()

    answer, rows = stitch({"a.tif": of_four(LEFT), "b.tif": of_four(RIGHT)})
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)
    assert "channel1 is matched" in answer.err
    kept = sorted(path.name for path in (tmp_path / "m-channels").iterdir())
    assert kept == ["channel2.h5", "channel3.h5", "channel4.h5", "channels.json"]


def test_channels_of_other_size_are_one_sentence_with_both_sizes(stitch, tmp_path):
    (tmp_path / "se").mkdir()
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / "se" / name, LEFT[:50, :70])
    answer, _ = stitch({"a.tif": LEFT, "b.tif": RIGHT}, "--set", f"more_channels.SE={tmp_path / 'se'}")
    assert answer.code == 1
    assert "channel 'SE'" in answer.err
    assert "50 x 70 px" in answer.err
    assert "120 x 180 px" in answer.err
    assert answer.err.count("\n") == 1


def test_a_channel_to_match_that_is_not_there_is_one_sentence_that_lists_those_that_are(stitch):
    def coloured(image):
        return np.stack([image, image // 2, 255 - image], axis=-1)

    files = {"a.png": coloured(LEFT), "b.png": coloured(RIGHT)}
    answer, _ = stitch(files, "--match-channel", "infrared")
    assert answer.code == 1
    assert "there is no channel 'infrared'; the channels are red, green, blue" in answer.err
    answer, rows = stitch(files, "--match-channel", "green")
    assert answer.code == 0
    assert _apart(rows) == pytest.approx(120, abs=0.3)


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"II*\0" + b"\xff" * 60], ids=["empty", "text", "broken-tiff"]
)
def test_a_damaged_image_among_good_ones_is_dropped_and_named(stitch, content):
    answer, rows = stitch({"a.tif": LEFT, "b.tif": RIGHT, "c.tif": content})
    assert answer.code == 0
    assert [row["file"] for row in rows] == ["a.tif", "b.tif"]
    assert answer.err.count("dropped c.tif: ") == 1


def test_a_truncated_image_among_good_ones_is_dropped_and_named(cemi, tmp_path, stitch):
    stitch({"a.tif": LEFT, "b.tif": RIGHT, "c.tif": LEFT})
    broken = tmp_path / "in" / "c.tif"
    broken.write_bytes(broken.read_bytes()[:9000])
    recipe = tmp_path / "r.yaml"
    recipe.write_text("recipe: 1\nsource: {use: images, with: {path: in/*.tif}}\n")
    answer = cemi("recipe", recipe, "--out", tmp_path / "run", "--quiet")
    assert answer.code == 0, answer.err
    assert "c.tif" in (tmp_path / "run" / "report.html").read_text()


def test_stitch_alone_drops_an_image_whose_pixels_are_damaged(stitch, tmp_path):
    path = tmp_path / "c.png"
    Image.fromarray(LEFT).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = b"\0" * 400
    answer, rows = stitch({"a.png": LEFT, "b.png": RIGHT, "c.png": bytes(content)})
    assert answer.code == 0, answer.err
    assert [row["file"] for row in rows] == ["a.png", "b.png"]
    assert "c.png" in answer.err


def test_only_damaged_images_end_in_one_sentence(stitch):
    answer, _ = stitch({"a.tif": b"", "b.tif": b"x"})
    assert answer.code == 1
    assert "a.tif" in answer.err


def test_an_empty_folder_is_one_sentence(stitch):
    answer, _ = stitch({})
    assert answer.code == 1
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("rows", "file,y_px\na.tif,1\n"),
        ("number", "file,y_px,x_px\na.tif,one,2\n"),
        ("nobody", "file,y_px,x_px\nz.tif,1,2\n"),
    ],
)
def test_a_wrong_positions_table_is_one_sentence(stitch, tmp_path, name, header):
    table = tmp_path / f"{name}.csv"
    table.write_text(header)
    answer, _ = stitch({"a.tif": LEFT, "b.tif": RIGHT}, "--positions", table)
    assert answer.code in (1, 2)
    assert f"{name}.csv" in answer.err


@pytest.fixture
def video_recipe(cemi, tmp_path):
    def run(*files):
        recipe = tmp_path / "r.yaml"
        paths = ", ".join(f"'{file}'" for file in files)
        recipe.write_text(f"recipe: 1\nsource: {{use: video, with: {{path: [{paths}], pixel_size: 100 nm}}}}\n")
        answer = cemi("recipe", recipe, "--out", tmp_path / "run", "--quiet")
        assert "Traceback" not in answer.err
        return answer

    return run


def test_a_missing_video_is_one_sentence(video_recipe, tmp_path):
    answer = video_recipe(tmp_path / "none.mp4")
    assert answer.code == 1
    assert "none.mp4" in answer.err


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"ftypmp42" * 50], ids=["empty", "zeros", "no-moov"])
def test_a_file_that_is_no_video_is_one_sentence(video_recipe, tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    answer = video_recipe(path)
    assert answer.code == 1
    assert "bad.mp4" in answer.err


def test_one_damaged_pass_does_not_cost_the_others(video_recipe, recording, tmp_path):
    good = recording / "pass01.mp4"
    bad = tmp_path / "pass02.mp4"
    bad.write_bytes((recording / "pass02.mp4").read_bytes()[:20000])
    answer = video_recipe(good, bad)
    assert answer.code == 0, answer.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "pass02.mp4" in page
    assert "pass01.mp4" in page


def test_ctrl_c_leaves_a_run_that_goes_on(cemi, recording, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"recipe: 1\nsource: {{use: video, with: {{path: '{recording}/pass*.mp4', pixel_size: 100 nm}}}}\n"
        "denoise: [{use: nlm}]\n"
    )
    command = [sys.executable, "-m", "cemi_run.cli", "recipe", str(recipe), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / ".cemi" / "steps" / "frames.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the run was faster than the interrupt")
    assert process.returncode == 130
    assert "goes on from there" in messages
    assert "Traceback" not in messages
    answer = cemi("recipe", recipe, "--out", tmp_path / "run")
    assert answer.code == 0
    assert "Frames: kept" in answer.err


def test_a_folder_that_cannot_be_written_is_one_sentence(cemi, tile_folder, tmp_path):
    folder, _, _ = tile_folder
    (tmp_path / "file").write_text("in the way")
    answer = cemi("stitch", folder, "--out", tmp_path / "file" / "m.h5", "--quiet")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) <= 2


def test_a_mosaic_replaces_no_other_file_or_folder(cemi, tile_folder, tmp_path):
    folder, _, _ = tile_folder
    (tmp_path / "scan.h5").write_text("mine")
    precious = tmp_path / "scan.ome.zarr"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    assert cemi("stitch", folder, "--out", tmp_path / "scan.v2.h5", "--quiet").code == 0
    assert (tmp_path / "scan.h5").read_text() == "mine"
    answer = cemi("stitch", folder, "--out", precious, "--quiet")
    assert answer.code == 1
    assert "scan.ome.zarr" in answer.err
    assert (precious / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("option", ["--out", "--layout"])
def test_what_cannot_be_written_is_found_before_the_long_work(cemi, tile_folder, tmp_path, option):
    folder, _, _ = tile_folder
    where = {"--out": tmp_path / "m.h5", "--layout": tmp_path / "layout.csv"} | {option: tmp_path / "none" / "m.h5"}
    answer = cemi("stitch", folder, *(word for pair in where.items() for word in pair), "--quiet")
    assert answer.code == 1
    assert "there is no folder" in answer.err
    assert not (tmp_path / "m.h5").exists()


def test_an_image_is_not_overwritten_by_the_layout(cemi, tile_folder, tmp_path):
    folder, _, _ = tile_folder
    before = (folder / "t0.tif").read_bytes()
    for way in (folder / "t0.tif", folder / ".." / folder.name / "t0.tif"):
        answer = cemi("stitch", folder, "--out", tmp_path / "m.h5", "--layout", way, "--quiet")
        assert answer.code == 2
        assert (folder / "t0.tif").read_bytes() == before


@pytest.mark.parametrize("target", ["png", "ome-tiff"])
def test_an_export_onto_a_folder_is_one_sentence(cemi, tile_folder, tmp_path, target):
    folder, _, _ = tile_folder
    cemi("stitch", folder, "--out", tmp_path / "m.h5", "--quiet")
    answer = cemi("export", tmp_path / "m.h5", "--to", target, "--out", folder, "--quiet")
    assert answer.code == 1
    assert "a folder is in the way" in answer.err
    assert len(list(folder.iterdir())) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="needs a disk that takes any bytes as a name")
def test_names_that_are_no_utf8_or_hold_html_are_carried_and_escaped(cemi, tile_folder, tmp_path):
    folder, _, _ = tile_folder
    (folder / "t0.tif").rename(folder / os.fsdecode(b"\xff\xfe.tif"))
    (folder / "t1.tif").rename(folder / "<script>.tif")
    (folder / "<img src=x>.tif").write_bytes(b"")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"recipe: 1\nsource: {{use: images, with: {{path: {folder}}}}}\nreport: {{title: <script>}}\n")
    answer = cemi("recipe", recipe, "--out", tmp_path / "run", "--quiet")
    assert answer.code == 0, answer.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "\\udcff" in (tmp_path / "run" / "layout.csv").read_text()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("x_um,hv\n\n\n1,2\n5,x\n", "line 5: 'x_um' and 'hv' must be numbers"),
        ("x_um;hv\n1,5;2\n", "with a decimal point"),
        ("x_um,hv,hv\n1,2,3\n", "2 columns 'hv'"),
        ("x_um,hv\n1," + "9" * 200_000, "line 2 cannot be read as CSV"),
    ],
)
def test_a_wrong_property_table_is_one_sentence_with_the_line(tmp_path, table, said):
    path = tmp_path / "hardness.csv"
    path.write_text(table)
    with pytest.raises(InputError, match=said):
        read_property_table(path, "x_um", "hv")


@pytest.mark.parametrize(
    ("table", "y", "said"),
    [
        ("x_um,y,hv\n1,2,3\n", "y", "the column 'y' must carry its unit: name it like y_um"),
        ("x_um,hv\n1,2\n", "y_um", "has no column 'y_um'; its columns are x_um, hv"),
        ("x_um,y_um,hv\n1,here,3\n", "y_um", "line 2: 'x_um', 'y_um' and 'hv' must be numbers"),
        ("x_um,y_um,footprint_um,hv\n1,2,0,3\n", "y_um", "'footprint_um' is the diameter of an indent and must be"),
        ("x_um,y_um,hv\nnan,2,3\n", "y_um", "has a head line but no values"),
    ],
)
def test_a_table_of_indents_that_cannot_be_placed_is_one_sentence(tmp_path, table, y, said):
    path = tmp_path / "hardness.csv"
    path.write_text(table)
    with pytest.raises((InputError, UsageError), match=said):
        read_property_table(path, "x_um", "hv", y)


def test_a_table_of_indents_gives_micrometres_and_says_which_lines_it_left_out(tmp_path):
    path = tmp_path / "hardness.csv"
    path.write_text("x_mm,y_um,footprint_nm,hv\n2,30,35000,500\n1,10,20000,450\n1,20,20000,nan\n")
    table = read_property_table(path, "x_mm", "hv", "y_um")
    assert table.x_um.tolist() == [1000, 2000]
    assert table.y_um.tolist() == [10, 30]
    assert table.footprint_um.tolist() == [20, 35]
    assert table.value.tolist() == [450, 500]
    assert table.notes == ("1 line(s) of hardness.csv without finite numbers were left out of the relation.",)
