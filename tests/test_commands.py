"""Claims about the program: what other programs lean on, exit codes, and one clear sentence for every mistake."""

import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GroupMean
from cemi_core.plugins.manager import registry
from cemi_run.cli.doctor import _plugins
from cemi_run.cli.relate import _mean_text
from cemi_run.store.protocol import open_mosaic

COMMANDS = sorted(plugin.name for plugin in registry().commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(cemi, command):
    answer = cemi(*command.split(), "--help")
    assert answer.code == 0
    assert f"cemi {command}" in answer.out.replace("Usage: cemi " + command, "", 1)


def test_stitch_writes_a_mosaic_and_the_promised_table(cemi, tile_folder, tmp_path):
    folder, positions, truth = tile_folder
    out, layout = tmp_path / "mosaic.h5", tmp_path / "layout.csv"
    answer = cemi("stitch", folder, "--out", out, "--layout", layout, "--positions", positions, "--json", "--quiet")
    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    assert report["frames"] == 6
    assert report["components"] == 1
    with layout.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["index", "file", "y_px", "x_px", "component", "residual_px"]
    assert [row["file"] for row in rows] == [f"t{i}.tif" for i in range(6)]
    found = np.array([(float(row["y_px"]), float(row["x_px"])) for row in rows])
    error = found - truth
    assert np.abs(error - error.mean(axis=0)).max() < 0.5
    with open_mosaic(out) as mosaic:
        assert mosaic.shape == (report["height_px"], report["width_px"])
        assert mosaic.read_valid(Box(20, 20, 50, 50)).all()


def test_stitch_that_averages_writes_how_many_frames_made_each_pixel(cemi, tile_folder, tmp_path):
    folder, positions, _ = tile_folder
    for suffix in (".h5", ".ome.zarr"):
        out = tmp_path / f"m{suffix}"
        plain = cemi("stitch", folder, "--out", out, "--positions", positions, "--json", "--quiet")
        assert json.loads(plain.out)["looks"] is None
        settings = ("--positions", positions, "--set", "blend=average")
        answer = cemi("stitch", folder, "--out", out, *settings, "--json", "--quiet")
        assert answer.code == 0, answer.err
        path = tmp_path / f"m-looks{suffix}"
        assert json.loads(answer.out)["looks"] == str(path)
        with open_mosaic(out) as mosaic, open_mosaic(path) as looks:
            box = Box(0, 0, *mosaic.shape)
            number, seen = looks.read(box), mosaic.read_valid(box)
            assert looks.shape == mosaic.shape
            assert (number[seen] >= 1 - 1e-3).all() and 3.5 <= number.max() <= 4.01  # four tiles meet at corners


def test_stitch_finds_its_way_without_any_positions(cemi, tile_folder, tmp_path):
    folder, _, truth = tile_folder
    layout = tmp_path / "layout.csv"
    answer = cemi("stitch", folder, "--out", tmp_path / "m.h5", "--layout", layout, "--quiet")
    assert answer.code == 0, answer.err
    with layout.open() as stream:
        found = np.array([(float(row["y_px"]), float(row["x_px"])) for row in csv.DictReader(stream)])
    error = found - truth
    assert np.abs(error - error.mean(axis=0)).max() < 0.5


def test_denoise_keeps_name_size_and_type(cemi, tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    folder.mkdir()
    pictures = {
        "a.tif": rng.integers(0, 255, (40, 50), dtype=np.uint8),
        "b.tif": rng.integers(0, 255, (30, 60), dtype=np.uint8),
    }
    for name, pixels in pictures.items():
        tifffile.imwrite(folder / name, pixels)
    answer = cemi("denoise", folder, "--out", tmp_path / "out", "--use", "median", "--quiet")
    assert answer.code == 0, answer.err
    for name, pixels in pictures.items():
        clean = tifffile.imread(tmp_path / "out" / name)
        assert (clean.shape, clean.dtype) == (pixels.shape, pixels.dtype)
        assert clean.std() < pixels.std()


def test_denoise_does_not_write_over_its_input(cemi, tile_folder):
    folder, _, _ = tile_folder
    before = (folder / "t0.tif").read_bytes()
    answer = cemi("denoise", folder / "t0.tif", "--out", folder)
    assert answer.code == 2
    assert "would be overwritten" in answer.err
    assert (folder / "t0.tif").read_bytes() == before


def test_denoise_does_not_write_over_the_folder_that_it_reads(cemi, tile_folder):
    folder, _, _ = tile_folder
    before = (folder / "t0.tif").read_bytes()
    assert cemi("denoise", folder, "--out", folder).code == 2
    assert (folder / "t0.tif").read_bytes() == before


@pytest.fixture
def noisy_and_better(tmp_path):
    """Three noisy 8-bit pictures, and the 16-bit ones without noise behind two of them, one of another size."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :80]
    for name, size in (("a", 80), ("b", 80), ("c", 70)):
        clean = 0.5 + 0.2 * np.sign(np.sin(x / 9) * np.cos(y / 11))
        noisy = np.clip(clean + 0.1 * rng.standard_normal(clean.shape), 0, 1)
        for folder, pixels in (("ld", np.uint8(255 * noisy)), ("hd", np.uint16(65535 * clean[:, :size]))):
            (tmp_path / folder).mkdir(exist_ok=True)
            if (folder, name) != ("hd", "b"):
                tifffile.imwrite(tmp_path / folder / f"{name}.tif", pixels)
    return tmp_path / "ld", tmp_path / "hd"


def test_denoise_against_better_images_prints_what_was_gained(cemi, noisy_and_better, tmp_path):
    noisy, better = noisy_and_better
    answer = cemi("denoise", noisy, "--out", tmp_path / "out", "--use", "nlm", "--against", better, "--json", "--quiet")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert [entry["file"] for entry in found["against"]["images"]] == ["a.tif"]
    first, second = found["against"]["mean"]["as it came"], found["against"]["mean"]["denoised"]
    assert first["psnr"] == pytest.approx(20, abs=0.3)
    assert second["psnr"] > first["psnr"] + 5
    assert {"psnr", "ssim", "phase-fraction", "edge-sharpness", "power-spectrum"} <= set(first)
    reasons = {entry["file"]: entry["reason"] for entry in found["not_compared"]}
    assert "no picture of its name" in reasons["b.tif"]
    assert "it is 80 x 64 px and c.tif 70 x 64 px" in reasons["c.tif"]
    assert len(found["written"]) == 3


def test_denoise_against_prints_a_table_with_a_row_before_and_a_row_after(cemi, noisy_and_better, tmp_path):
    noisy, better = noisy_and_better
    answer = cemi("denoise", noisy / "a.tif", "--out", tmp_path / "out", "--against", better / "a.tif", "--quiet")
    assert answer.code == 0, answer.err
    heads = [line.split("  ")[0] for line in answer.out.splitlines()[1:]]
    assert heads == ["a.tif", "as it came", "denoised", "better is"]
    assert "PSNR (dB)" in answer.out


def test_denoise_against_the_wrong_folder_fails_before_the_work(cemi, noisy_and_better, tile_folder, tmp_path):
    noisy, _ = noisy_and_better
    answer = cemi("denoise", noisy, "--out", tmp_path / "out", "--against", tile_folder[0])
    assert answer.code == 2
    assert "no image has a partner of the same name" in answer.err
    assert not (tmp_path / "out").exists()
    answer = cemi("denoise", noisy, "--out", noisy_and_better[1], "--against", noisy_and_better[1])
    assert answer.code == 2
    assert "would be overwritten" in answer.err
    answer = cemi("denoise", noisy / "c.tif", "--out", tmp_path / "out", "--against", noisy_and_better[1] / "c.tif")
    assert answer.code == 1
    assert "of the same field" in answer.err


def test_a_number_that_could_not_be_measured_is_null_in_json(cemi, tmp_path):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((64, 64), 90, np.uint8))
    answer = cemi("analyze", tmp_path / "flat.tif", "--use", "lamella-width", "--json")
    assert "NaN" not in answer.out
    assert json.loads(answer.out)["value"] is None


def _stripes(path, period=12.0, dtype=np.uint8):
    y, x = np.mgrid[:300, :300]
    phase = (0.8 * x + 0.6 * y) / period % 1
    tifffile.imwrite(path, np.where(phase < 0.35, 80, 170).astype(dtype))


def test_analyze_prints_one_number_with_its_interval_as_json(cemi, tmp_path):
    _stripes(tmp_path / "s.tif")
    answer = cemi("analyze", tmp_path / "s.tif", "--use", "lamella-width", "--set", "pixel_size=100 nm", "--json")
    found = json.loads(answer.out)
    assert {"name", "value", "low", "high", "unit"} <= set(found)
    assert found["name"] == "lamella-width"
    assert found["unit"] == "um"
    assert found["value"] == pytest.approx(1.2, rel=0.03)
    assert found["low"] <= found["value"] <= found["high"]


def test_analyze_measures_the_phase_fraction_of_stripes(cemi, tmp_path):
    _stripes(tmp_path / "s.tif", period=40)
    answer = cemi("analyze", tmp_path / "s.tif", "--use", "bcc-fraction", "--json")
    assert json.loads(answer.out)["value"] == pytest.approx(0.35, abs=0.02)


@pytest.mark.parametrize("suffix", [".h5", ".ome.zarr"])
def test_analyze_measures_a_mosaic_as_it_would_the_picture(cemi, tile_folder, tmp_path, suffix):
    folder, positions, _ = tile_folder
    mosaic, picture = tmp_path / f"m{suffix}", tmp_path / "m.tif"
    assert cemi("stitch", folder, "--out", mosaic, "--positions", positions, "--quiet").code == 0
    with open_mosaic(mosaic) as opened:
        whole = opened.read(Box(0, 0, *opened.shape))
    tifffile.imwrite(picture, whole[20:120, 30:200])
    ask = ("--use", "bcc-fraction", "--json")
    cut = cemi("analyze", mosaic, *ask, "--set", "crop=[20, 120, 30, 200]")
    assert cut.code == 0, cut.err
    assert json.loads(cut.out) == json.loads(cemi("analyze", picture, *ask, "--set", "float_range=[0, 1]").out)
    assert 0 < json.loads(cemi("analyze", mosaic, *ask).out)["value"] < 1  # with corners that were not imaged
    for setting, code, said in (("crop=[0, 9999, 0, 9]", 1, "does not fit"), ("grid.columns=2", 2, "no such setting")):
        answer = cemi("analyze", mosaic, *ask, "--set", setting)
        assert (answer.code, said in answer.err) == (code, True), answer.err


def test_analyze_refuses_what_is_no_mosaic(cemi, tmp_path):
    (tmp_path / "m.h5").write_text("no mosaic")
    (tmp_path / "m.ome.zarr").mkdir()
    for name in ("m.h5", "m.ome.zarr", "none.h5"):
        answer = cemi("analyze", tmp_path / name, "--use", "bcc-fraction")
        assert answer.code == 1 and name in answer.err
        assert len(answer.err.splitlines()) == 1


def test_extract_writes_whole_scans_and_their_places(cemi, recording, tmp_path):
    answer = cemi("extract", recording, "--out", tmp_path / "frames", "--json", "--quiet")
    if answer.code == 2:  # a folder may be refused: name the files
        answer = cemi("extract", *sorted(recording.glob("*.mp4")), "--out", tmp_path / "frames", "--json", "--quiet")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    written = found["written"]
    assert len(written) >= 4
    assert any("not needed for the wanted overlap" in note["reason"] for note in found["notes"])
    assert not any("not needed" in entry["reason"] for entry in found["dropped"])
    with (tmp_path / "frames" / "positions.csv").open() as stream:
        assert [row["file"] for row in csv.DictReader(stream)] == written
    shapes = {tifffile.imread(tmp_path / "frames" / name).shape for name in written}
    assert len(shapes) <= 2


def test_plugins_as_json_lists_every_stage(cemi):
    found = json.loads(cemi("plugins", "--json").out)
    assert {"gaussian", "median", "nlm", "wiener", "tv"} <= {p["name"] for p in found["plugins"]["denoise"]}
    assert {"kornia"} <= {p["name"] for p in found["plugins"]["stitch"]}
    assert {"bcc-fraction", "lamella-width", "lamella-fraction", "sr-phase"} <= {
        p["name"] for p in found["plugins"]["analyze"]
    }
    assert found["problems"] == []


def test_doctor_finds_nothing_broken_here(cemi):
    answer = cemi("doctor", "--json")
    assert answer.code == 0, answer.out
    assert json.loads(answer.out)["ok"]


@pytest.mark.parametrize(
    ("mean", "low", "high", "told"),
    [
        (0.123456, 0.1, 0.146912, "0.123 [0.100, 0.147]"),
        (1234.56, 1100.0, 1369.12, "1235 [1100, 1369]"),
        (0.3, math.nan, math.nan, "0.3 [nan, nan]"),
        (0.3, 0.3, 0.3, "0.3 [0.3, 0.3]"),
    ],
)
def test_relate_shows_the_mean_of_a_class_with_the_digits_that_its_interval_supports(mean, low, high, told):
    assert _mean_text(GroupMean("a", 3, mean, low, high)) == told


def _has_broken_abilities(settings):
    raise ZeroDivisionError("made of nothing")


def test_doctor_asks_for_the_abilities_that_a_plugin_declares(monkeypatch):
    good = registry().denoisers.get("median")
    bad = replace(good, description=replace(good.description, name="odd", abilities=_has_broken_abilities))
    found = SimpleNamespace(problems=[], conflicts=list, plugins=[good, bad])
    monkeypatch.setattr("cemi_core.plugins.manager.registry", lambda: found)
    broken = [check for check in _plugins() if check["state"] == "broken"]
    assert [check["answer"] for check in broken] == ["ZeroDivisionError: made of nothing"]
    assert "'odd'" in broken[0]["what"]


def test_schema_is_json(cemi):
    assert json.loads(cemi("schema").out)["title"] == "CEMI recipe"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("stich",), 2, "Did you mean 'stitch'"),
        (("recipe",), 2, "Missing argument"),
        (("recipe", "none.yaml"), 1, "there is no recipe at none.yaml"),
        (("stitch", "none.tif", "--out", "m.h5"), 1, "none.tif"),
        (("stitch", "none.tif", "--out", "m.jpg"), 2, "written as .h5 or .ome.zarr"),
        (("denoise", "none.tif", "--out", "o", "--use", "nml"), 2, "did you mean 'nlm'"),
        (("denoise", "none.tif", "--out", "o", "--use", "nlm", "--set", "x"), 2, "write it as key=value"),
        (("denoise", "none.tif", "--out", "o", "--use", "gaussian", "--set", "sigma=2"), 2, "unknown key 'sigma'"),
        (("analyze", "none.tif", "--use", "bcc-fraction"), 1, "none.tif"),
        (("relate", "nowhere", "t.csv", "--value", "hv"), 1, "holds no finished run"),
        (("report", "nowhere"), 1, "holds no finished run"),
        (("export", "nowhere", "--to", "png"), 1, "holds no finished mosaic"),
        (("export", "nowhere", "--to", "bmp"), 2, "unknown export format 'bmp'"),
        (("extract", "none.mp4", "--out", "o"), 1, "none.mp4"),
        (("new-plugin", "denoiser", "Box Filter"), 2, "lower-case words joined by dashes"),
        (("stitch", "a.tif", "--out", "m.h5", "--workers", "0"), 2, "--workers"),
        (("stitch", "a.tif", "--out", "m.h5", "--executor", "processes"), 2, ".ome.zarr"),
    ],
)
def test_a_mistake_ends_in_a_sentence_and_the_right_code(cemi, tmp_path, monkeypatch, args, code, said):
    monkeypatch.chdir(tmp_path)
    answer = cemi(*args)
    assert answer.code == code, answer.err
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", ["", "train", "annotations", *COMMANDS, "train denoiser", "train segmenter"])
def test_an_unknown_option_is_a_wrong_call(cemi, command):
    answer = cemi(*command.split(), "--no-such-option")
    assert answer.code == 2, answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("text", ["a: [", "recipe: 1\n", "- 1\n", "recipe: 9\nsource: {use: images}\n", "\x00"])
@pytest.mark.parametrize("command", ["recipe", "train denoiser", "train segmenter"])
def test_a_recipe_that_is_wrong_is_a_wrong_call_and_leaves_nothing(cemi, tmp_path, command, text):
    (tmp_path / "r.yaml").write_text(text)
    answer = cemi(*command.split(), tmp_path / "r.yaml", "--out", tmp_path / "out")
    assert answer.code == 2, answer.err
    assert "r.yaml" in answer.err and "Traceback" not in answer.err
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_it_went_wrong(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cemi_run.cli", "--debug", "report", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("stage", ["source", "denoiser", "stitcher", "analyzer", "relation", "exporter"])
def test_a_new_plugin_passes_its_own_test(cemi, tmp_path, stage):
    assert cemi("new-plugin", stage, "my-thing", "--out", tmp_path).code == 0
    package = tmp_path / "cemi-my-thing"
    # Stands for `pip install -e`: a distribution with the same entry point on the path.
    source = package / "src"
    information = source / "cemi_my_thing-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: cemi-my-thing\nVersion: 0.1.0\n")
    (information / "entry_points.txt").write_text("[cemi]\nmy-thing = cemi_my_thing.plugin\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package / "tests")],
        capture_output=True,
        text=True,
        env={**__import__("os").environ, "PYTHONPATH": str(source)},
        cwd=package,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    for path in package.rglob("*.py"):  # as a formatter leaves them: two empty lines stand before definitions only
        assert not re.search(r"\n\n\n(?!@|def |class |_?[A-Z])|\n\n\n\n|import \w+\n\n\n_?[A-Z]", path.read_text()), (
            path
        )


PLANS = """\
import sys
opened = []
sys.addaudithook(lambda event, about: opened.append(str(about[0])) if event == "open" else None)
from cemi_run.cli.main import run
code = run(sys.argv[1:])
heavy = [name for name in ("torch", "onnxruntime", "kornia") if name in sys.modules]
weights = [name for name in opened if name.endswith((".safetensors", ".onnx", ".pth"))]
print(code, heavy, weights, file=sys.stderr)
"""


def test_a_plan_with_networks_reads_no_weights_and_imports_no_torch(tile_folder, tmp_path):
    folder, positions, _ = tile_folder
    (tmp_path / "r.yaml").write_text(
        f"recipe: 1\nsource: {{use: images, with: {{path: {folder}, positions: {positions}}}}}\n"
        "denoise: [{use: semnet}, {use: n2v}, {use: semgan, with: {adapt: overlaps}}]\nstitch: {use: kornia}\n"
    )
    command = [sys.executable, "-c", PLANS, "recipe", tmp_path / "r.yaml", "--out", tmp_path / "run", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "denoise-1-n2v" in done.stdout, done.stderr
    assert "layout-for-denoise-2-semgan" in done.stdout
    assert done.stderr.splitlines()[-1] == "0 [] []", done.stderr
    assert not (tmp_path / "run").exists()


def test_denoise_does_not_write_into_a_folder_that_it_reads_under_another_name(cemi, noisy_and_better, tmp_path):
    noisy, better = noisy_and_better
    before = {path: path.read_bytes() for path in better.iterdir()}
    (tmp_path / "link").symlink_to(better)
    for out in (better, better / ".." / better.name, tmp_path / "link"):
        answer = cemi("denoise", noisy / "a.tif", "--out", out, "--against", better / "a.tif", "--quiet")
        assert (answer.code, {path: path.read_bytes() for path in better.iterdir()}) == (2, before)


def test_export_does_not_replace_a_channel_of_the_mosaic_that_it_reads(cemi, tmp_path):
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(0, 255, (64, 80, 3), dtype=np.uint8), photometric="rgb")
    assert cemi("stitch", tmp_path / "a.tif", "--out", tmp_path / "m.h5", "--quiet").code == 0
    (channel, *_) = sorted((tmp_path / "m-channels").glob("*.h5"))
    before = channel.read_bytes()
    answer = cemi("export", tmp_path / "m.h5", "--to", "png", "--out", channel)
    assert (answer.code, channel.read_bytes()) == (2, before)
    assert "would be overwritten" in answer.err


def test_a_file_in_the_way_of_the_channels_is_said_before_anything_is_matched(cemi, tmp_path):
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(0, 255, (64, 80, 3), dtype=np.uint8), photometric="rgb")
    (tmp_path / "m-channels").write_text("notes")
    answer = cemi("stitch", tmp_path / "a.tif", "--out", tmp_path / "m.h5", "--quiet")
    assert answer.code == 1 and "m-channels" in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "m-channels"]
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(0, 255, (64, 80), dtype=np.uint8))  # grey needs no folder
    assert cemi("stitch", tmp_path / "a.tif", "--out", tmp_path / "m.h5", "--quiet").code == 0


def test_a_denoising_that_fails_leaves_no_empty_folder(cemi, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50), np.uint8))
    monkeypatch.setattr("cemi_run.engine.executors.open_executor", _refused)
    answer = cemi("denoise", tmp_path / "a.tif", "--out", tmp_path / "x" / "y", "--use", "median", "--quiet")
    assert (answer.code, [path.name for path in tmp_path.iterdir()]) == (2, ["a.tif"])


def _refused(*_):
    raise UsageError("no executor today")
