"""Claims about `cemi denoise`: files go out as they came in, and odd ones end in one sentence."""

import json
import os
import signal
import subprocess
import sys
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from cemi_core.images.read_image import read_headers

RNG = np.random.default_rng(0)


@pytest.fixture
def denoise(cemi, tmp_path):
    """Denoise the folder ``in`` into ``out``, by a median unless another is named."""
    (tmp_path / "in").mkdir()

    def run(*options, use="median"):
        return cemi("denoise", tmp_path / "in", "--out", tmp_path / "out", "--use", use, "--quiet", *options)

    return run


def test_a_stack_becomes_a_stack_and_one_line_says_so(denoise, tmp_path):
    stack = RNG.integers(100, 150, (3, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in" / "stack.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "in" / "single.tif", stack[1])
    answer = denoise()
    assert answer.code == 0, answer.err
    said = f"2 image(s) written to {tmp_path / 'out'} (1 of them with several pages, 4 pictures in all)"
    assert answer.out.splitlines() == [said]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["single.tif", "stack.tif"]
    clean = tifffile.imread(tmp_path / "out" / "stack.tif")
    assert (clean.shape, clean.dtype) == (stack.shape, stack.dtype)
    np.testing.assert_array_equal(clean[1], tifffile.imread(tmp_path / "out" / "single.tif"))
    assert (clean.std(axis=(1, 2)) < 0.6 * stack.std(axis=(1, 2))).all()


def test_a_stack_of_several_sizes_and_types_keeps_them(denoise, tmp_path):
    pages = [RNG.integers(0, 99, (20 + 4 * n, 30)).astype(dtype) for n, dtype in enumerate((np.uint8, np.uint16))]
    with tifffile.TiffWriter(tmp_path / "in" / "s.tif") as tiff:
        for page in pages:
            tiff.write(page, photometric="minisblack")
    assert denoise("--executor", "processes", "--workers", "1").code == 0
    with tifffile.TiffFile(tmp_path / "out" / "s.tif") as tiff:
        assert [(page.shape, page.dtype) for page in tiff.pages] == [(page.shape, page.dtype) for page in pages]


def test_what_fiji_says_of_a_stack_stays(denoise, tmp_path):
    stack = RNG.integers(0, 255, (3, 2, 20, 30), dtype=np.uint8)
    said = {"axes": "TZYX", "unit": "um", "finterval": 0.25, "spacing": 0.5}
    tifffile.imwrite(tmp_path / "in" / "fiji.tif", stack, imagej=True, resolution=(4.0, 4.0), metadata=said)
    tifffile.imwrite(tmp_path / "in" / "plain.tif", stack, photometric="minisblack")
    assert denoise().code == 0
    for name in ("fiji.tif", "plain.tif"):
        assert tifffile.imread(tmp_path / "out" / name).shape == stack.shape
    with (
        tifffile.TiffFile(tmp_path / "in" / "fiji.tif") as before,
        tifffile.TiffFile(tmp_path / "out" / "fiji.tif") as after,
    ):
        assert after.imagej_metadata == before.imagej_metadata
        assert [page.tags["XResolution"].value for page in after.pages] == [(4, 1)] * 6
        assert after.series[0].axes == "TZYX"


@pytest.mark.parametrize("how", [{"imagej": True, "metadata": {"axes": "TYX"}}, {"photometric": "minisblack"}])
def test_a_stack_with_one_header_is_refused_and_not_cut_to_its_first_picture(denoise, tmp_path, how):
    tifffile.imwrite(tmp_path / "in" / "s.tif", np.zeros((5, 20, 30), np.uint8), truncate=True, **how)
    answer = denoise()
    assert answer.code == 1
    assert "holds 5 pictures behind one header" in answer.err


def test_what_the_microscope_says_stays_unless_the_pixel_size_is_given(cemi, denoise, tmp_path):
    words = b"[Scan]\r\nPixelWidth=1e-7\r\n[Image]\r\nResolutionY=30\r\n\0"
    pixels = RNG.integers(0, 255, (40, 50), dtype=np.uint8)
    tag = (34682, "s", len(words), words, True)
    tifffile.imwrite(tmp_path / "in" / "fei.tif", pixels, metadata=None, extratags=[tag], resolution=(96, 96))
    assert denoise().code == 0
    before, after = (read_headers(tmp_path / folder / "fei.tif")[0].vendor for folder in ("in", "out"))
    assert after == before and after.pixel_size_um == pytest.approx(0.1)
    with tifffile.TiffFile(tmp_path / "out" / "fei.tif") as tiff:  # 100 nm: 100,000 pixels in a centimetre
        assert (tiff.pages[0].tags["XResolution"].value, tiff.pages[0].tags["ResolutionUnit"].value) == (
            (100_000, 1),
            3,
        )
    assert denoise("--set", "pixel_size=50 nm").code == 0
    assert read_headers(tmp_path / "out" / "fei.tif")[0].vendor.pixel_size_um is None
    with tifffile.TiffFile(tmp_path / "out" / "fei.tif") as tiff:
        assert tiff.pages[0].tags["XResolution"].value == (200_000, 1)


def test_every_type_of_pixel_comes_back_and_types_may_be_mixed(cemi, denoise, tmp_path):
    noise = RNG.normal(0, 10, (40, 50))
    pictures = {
        "uint8": np.uint8(100 + noise),
        "uint16": np.uint16(20_000 + noise),
        "int16": np.int16(-300 + noise),
        "uint32": np.uint32(70_000 + noise),
        "float16": np.float16(50 + noise),
        "float32": np.float32(0.5 + noise / 100),
        "float64": np.float64(1e4 + noise),
    }
    for name, pixels in pictures.items():
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", pixels)
    answer = denoise()
    assert answer.code == 0, answer.err
    for name, pixels in pictures.items():
        clean = tifffile.imread(tmp_path / "out" / f"{name}.tif")
        assert clean.dtype == pixels.dtype, name
        assert clean.mean(dtype=float) == pytest.approx(pixels.mean(dtype=float), abs=0.3 * pixels.std(dtype=float))
        assert clean.std(dtype=float) < 0.5 * pixels.std(dtype=float), name
    # others beside a picture change nothing in it, not even through the range of their grey levels
    cemi("denoise", tmp_path / "in" / "float32.tif", "--out", tmp_path / "alone", "--use", "median", "--quiet")
    alone, beside = (tifffile.imread(tmp_path / folder / "float32.tif") for folder in ("alone", "out"))
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [2, 3, 4])
def test_colour_and_alpha_stay_and_each_channel_is_denoised(denoise, tmp_path, dtype, samples):
    top = np.iinfo(dtype).max
    image = RNG.integers(0.3 * top, 0.5 * top, (30, 40, samples)).astype(dtype)
    alphas = ["unassalpha"] if samples != 3 else None
    colour = "rgb" if samples > 2 else "minisblack"
    tifffile.imwrite(tmp_path / "in" / "c.tif", image, photometric=colour, planarconfig="contig", extrasamples=alphas)
    (tmp_path / "in" / "a.png").write_bytes(imagecodecs.png_encode(image))
    answer = denoise()
    assert (answer.code, answer.err) == (0, "")
    for name, read in (("c.tif", tifffile.imread), ("a.png", lambda path: imagecodecs.png_decode(path.read_bytes()))):
        clean = read(tmp_path / "out" / name)
        assert (clean.shape, clean.dtype) == (image.shape, image.dtype)
        colours = samples if samples == 3 else samples - 1
        assert (clean[..., :colours].std(axis=(0, 1)) < 0.6 * image[..., :colours].std(axis=(0, 1))).all()
        np.testing.assert_array_equal(clean[..., colours:], image[..., colours:])
    header = read_headers(tmp_path / "out" / "c.tif")[0]
    assert (header.model, header.alpha) == ("rgb" if samples > 2 else "grey", samples != 3)


def test_a_channel_of_colour_is_denoised_as_the_same_grey_image_is(denoise, tmp_path):
    image = RNG.integers(80, 130, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "in" / "colour.png")
    Image.fromarray(image[..., 1]).save(tmp_path / "in" / "green.png")
    assert denoise().code == 0
    green = np.asarray(Image.open(tmp_path / "out" / "green.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "colour.png"))[..., 1], green)


def test_grey_saved_as_colour_stays_so(denoise, tmp_path):
    Image.fromarray(RNG.integers(80, 130, (30, 40), dtype=np.uint8)).convert("RGB").save(tmp_path / "in" / "a.png")
    assert denoise().code == 0
    clean = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert clean.shape == (30, 40, 3)
    assert (clean[..., :1] == clean).all()


def test_a_palette_becomes_colour_and_that_is_said(denoise, tmp_path):
    image = Image.fromarray(RNG.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    image.quantize(16).save(tmp_path / "in" / "p.png")
    answer = denoise()
    assert answer.code == 0
    assert "stored with a palette of colours, written as red, green and blue: p.png" in answer.err
    assert np.asarray(Image.open(tmp_path / "out" / "p.png")).shape == (30, 40, 3)


def test_names_of_channels_are_refused_where_each_page_stands_alone(denoise, tmp_path):
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.zeros((9, 9), np.uint8))
    answer = denoise("--set", "channels=[BSE]")
    assert answer.code == 2
    assert "leave them out" in answer.err


def test_one_bit_becomes_eight_and_that_is_said(denoise, tmp_path):
    Image.fromarray(RNG.random((30, 40)) > 0.5).save(tmp_path / "in" / "mask.png")
    answer = denoise()
    assert answer.code == 0
    assert "stored with 1 bit, written with 8: mask.png" in answer.err
    assert np.asarray(Image.open(tmp_path / "out" / "mask.png")).dtype == np.uint8


ODD = {
    "long.tif": np.uint8(RNG.integers(90, 110, (300, 20_000))),
    "flat.tif": np.uint8(RNG.integers(90, 110, (3, 5_000))),
    "point.tif": np.full((1, 1), 90, np.uint8),
    "line.tif": np.uint16(RNG.integers(90, 110, (1, 700))),
    "white.tif": np.full((60, 70), 255, np.uint8),
    "some_nan.tif": np.where(RNG.random((60, 70)) < 0.5, np.nan, 0.5).astype(np.float32),
}


@pytest.mark.parametrize("use", ["gaussian", "median", "wiener", "tv", "nlm", "semnet"])
def test_pictures_of_odd_shapes_and_contents_are_denoised(denoise, tmp_path, use):
    width = 2500 if use in ("tv", "nlm", "semnet") else None  # slow ones get less of it, but two tiles
    for name, pixels in ODD.items():
        tifffile.imwrite(tmp_path / "in" / name, pixels[:, :width])
    answer = denoise("--json", use=use)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["failed"] == []
    for name in ODD:
        before, after = (tifffile.imread(tmp_path / folder / name) for folder in ("in", "out"))
        assert (after.shape, after.dtype) == (before.shape, before.dtype), name
        np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    assert (tifffile.imread(tmp_path / "out" / "white.tif") >= 252).all()
    assert tifffile.imread(tmp_path / "out" / "point.tif") == 90


def test_a_file_that_cannot_be_denoised_is_named_and_the_others_are_done(denoise, tmp_path):
    good = RNG.integers(0, 255, (30, 40), dtype=np.uint8)
    folder = tmp_path / "in"
    tifffile.imwrite(folder / "good.tif", good)
    (folder / "empty.tif").touch()
    (folder / "text.tif").write_text("no picture")
    tifffile.imwrite(folder / "nan.tif", np.full((30, 40), np.nan, np.float32))
    tifffile.imwrite(folder / "named.png", good.astype(np.float32))
    (folder / "cut.tif").write_bytes((folder / "good.tif").read_bytes()[:600])
    (folder / "folder.tif").mkdir()
    answer = denoise("--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["written"] == [str(tmp_path / "out" / "good.tif")]
    reasons = {entry["file"]: entry["reason"] for entry in found["failed"]}
    assert "is empty (0 bytes)" in reasons["empty.tif"]
    assert "not a TIFF, PNG or JPEG" in reasons["text.tif"]
    assert reasons["nan.tif"] == "none of its pixels is a number"
    assert "png cannot hold float32 pixels; use .tif" in reasons["named.png"]
    assert "truncated" in reasons["cut.tif"] or "damaged" in reasons["cut.tif"]
    assert set(reasons) == {"empty.tif", "text.tif", "nan.tif", "named.png", "cut.tif"}


@pytest.mark.parametrize("name", ["empty.tif", "text.tif", "nothing.tif", "folder"])
def test_a_single_file_that_is_no_picture_ends_in_one_sentence(cemi, tmp_path, name):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("no picture")
    (tmp_path / "folder").mkdir()
    answer = cemi("denoise", tmp_path / name, "--out", tmp_path / "out", "--use", "median")
    assert answer.code == 1
    assert answer.err.startswith("Error: ") and len(answer.err.splitlines()) == 1
    assert name in answer.err
    assert not (tmp_path / "out").exists()


def test_a_stack_with_a_page_that_cannot_be_denoised_is_not_written(denoise, tmp_path):
    pages = np.zeros((3, 30, 40), np.float32)
    pages[1] = np.nan
    tifffile.imwrite(tmp_path / "in" / "s.tif", pages, photometric="minisblack")
    answer = denoise()
    assert answer.code == 1
    assert "not denoised: s.tif: s.tif[1]: none of its pixels is a number" in answer.err
    assert list((tmp_path / "out").iterdir()) == []


def test_each_page_of_a_stack_is_compared_with_that_of_the_better_one(denoise, tmp_path):
    x = np.mgrid[:64, :80][1]
    clean = np.stack([0.5 + 0.2 * np.sign(np.sin(x / period)) for period in (7, 9)])
    noisy = clean + RNG.normal(0, 0.1, clean.shape)
    (tmp_path / "hd").mkdir()
    tifffile.imwrite(tmp_path / "in" / "s.tif", noisy.astype(np.float32), photometric="minisblack")
    tifffile.imwrite(tmp_path / "hd" / "s.tif", np.uint16(65535 * clean), photometric="minisblack")
    answer = denoise("--against", tmp_path / "hd", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert [image["file"] for image in found["against"]["images"]] == ["s.tif[0]", "s.tif[1]"]
    assert found["not_compared"] == []
    for image in found["against"]["images"]:
        assert image["denoised"]["phase-fraction"] < 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_one_line_and_no_half_written_file(tmp_path, number):
    (tmp_path / "in").mkdir()
    stack = RNG.integers(0, 255, (40, 500, 600), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "in" / "a.tif", stack[0])
    tifffile.imwrite(tmp_path / "in" / "b.tif", stack, photometric="minisblack")
    command = [sys.executable, "-m", "cemi_run.cli", "denoise", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    work = subprocess.Popen(
        [*command, "--use", "nlm", "--quiet", "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "a.tif").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    work.send_signal(number)
    _, err = work.communicate(timeout=60)
    assert work.returncode == 130, err
    assert err.splitlines() == [f"Interrupted: what is finished is in {tmp_path / 'out'}; no file is half written."]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


def test_learning_from_overlaps_is_refused_with_the_word_where_it_works(denoise, tmp_path):
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.zeros((30, 40), np.uint8))
    answer = denoise("--set", "adapt=overlaps", "--set", "strength=0.5", use="semgan")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "--set adapt=overlaps learns from the overlaps of a run" in answer.err
    assert "denoise: [{use: semgan, with: {adapt: overlaps}}] into a recipe for 'cemi recipe'" in answer.err
    assert denoise("--set", "adapt=none", "--set", "strength=0", use="semgan").code == 0


def test_a_range_of_floats_for_integers_is_not_ignored(denoise, tmp_path):
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.arange(400, dtype=np.uint16).reshape(20, 20))
    answer = denoise("--set", "float_range=[0, 1300]")
    assert answer.code == 1
    assert "float_range is for images of floats" in answer.err
