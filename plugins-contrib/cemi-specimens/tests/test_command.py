"""Claims about ``cemi specimen`` and the folder that it writes and `files` reads."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from cemi_core.errors import CemiError, InputError, UsageError
from cemi_core.model.mosaic import Box
from cemi_core.plugins.types import load_object
from cemi_specimens import make_specimen, plugin, specimen_names
from cemi_specimens.command import specimen


def _run(*words: str) -> Result:
    return CliRunner().invoke(specimen, list(words))


def _refused(*words: str) -> str:
    error = _run(*words).exception
    assert isinstance(error, CemiError), error
    return str(error)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "deep" / "grains"
    result = _run("voronoi", "--out", str(out), "--size", "300,420", "--seed", "5", "--set", "grain_um=3", "--json")
    assert result.exit_code == 0, result.exception
    report = json.loads(result.stdout)
    assert report["files"] == ["image.tif", "labels.tif", "masks/boundary.png", "objects.csv", "properties.json"]
    return out


def test_the_image_and_its_truth_are_those_of_the_specimen(written: Path) -> None:
    made, box = make_specimen("voronoi", seed=5, grain_um=3.0, extent_px=(300, 420)), Box(0, 0, 300, 420)
    truth = made.truth(box)
    image = tifffile.imread(written / "image.tif")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, np.rint(made.render(box) * 65535).astype(np.uint16))
    mask = cv2.imread(str(written / "masks" / "boundary.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask > 0, truth.masks["boundary"])
    labels = tifffile.imread(written / "labels.tif")
    assert len(np.unique(labels)) == len(np.unique(truth.labels))
    assert sorted(np.unique(labels)) == list(range(1, labels.max() + 1))
    about = json.loads((written / "properties.json").read_text())
    assert about["specimen"] == "voronoi" and about["seed"] == 5 and about["settings"]["grain_um"] == 3
    assert about["properties"]["grains_per_um2"] == pytest.approx(4 / np.pi / 9)
    assert about["mask_fractions"]["boundary"] == pytest.approx(truth.masks["boundary"].mean())


def test_each_label_of_the_image_has_its_row_with_the_right_centroid(written: Path) -> None:
    labels = tifffile.imread(written / "labels.tif")
    with (written / "objects.csv").open() as stream:
        rows = {int(row["label"]): row for row in csv.DictReader(stream)}
    assert set(np.unique(labels)) == set(rows)
    for label, row in rows.items():
        y, x = np.nonzero(labels == label)
        if y.min() > 0 and y.max() < 299 and x.min() > 0 and x.max() < 419:
            assert (y.mean(), x.mean()) == pytest.approx((float(row["y_px"]), float(row["x_px"])), abs=1e-3)
            assert len(y) == float(row["area_px"])


def test_files_reads_what_the_command_writes(written: Path) -> None:
    made, again = make_specimen("voronoi", seed=5, grain_um=3.0), make_specimen("files", path=str(written))
    box = Box(20, 40, 200, 300)
    assert again.extent_px == (300, 420)
    assert again.pixel_size_um == pytest.approx(0.1)
    assert again.mask_names == ("boundary",)
    np.testing.assert_allclose(again.render(box), made.render(box), atol=1e-5)
    np.testing.assert_array_equal(again.truth(box).masks["boundary"], made.truth(box).masks["boundary"])
    objects, wanted = again.objects(box), made.objects(box)
    assert objects is not None and wanted is not None and len(objects) == len(wanted)
    assert np.sort(objects.column("diameter_um")) == pytest.approx(np.sort(wanted.column("diameter_um")))
    labels = again.truth(Box(0, 0, 300, 420)).labels
    here = [labels[round(y), round(x)] for y, x in zip(objects.y_px, objects.x_px, strict=True)]
    assert np.mean(here == objects.column("number")) > 0.98
    assert again.properties()["mean_grain_area_um2"] == pytest.approx(9 * np.pi / 4)
    assert not again.render(Box(-50, -50, 40, 40)).any()


@pytest.mark.parametrize("name", sorted({*specimen_names()} - {"files", "dendrites"}))
@pytest.mark.parametrize("size", ["1,1", "3,70"])
def test_every_specimen_is_written_at_any_size(tmp_path: Path, name: str, size: str) -> None:
    quick = {"cahn-hilliard": ("--set", "spacings_across=8"), "eutectic": ("--set", "colony_um=5")}
    result = _run(name, "--out", str(tmp_path / "out"), "--size", size, *quick.get(name, ()))
    assert result.exit_code == 0, result.exception
    height, width = (int(part) for part in size.split(","))
    assert tifffile.imread(tmp_path / "out" / "image.tif").reshape(height, width).shape == (height, width)


def test_fields_and_pixel_sizes_are_written_and_read(tmp_path: Path) -> None:
    assert _run("graphene", "--out", str(tmp_path / "a"), "--size", "64,64").exit_code == 0
    assert make_specimen("files", path=str(tmp_path / "a")).pixel_size_um == pytest.approx(1e-5, rel=1e-6)
    assert _run("particles", "--out", str(tmp_path / "b"), "--size", "64,64").exit_code == 0
    fields = make_specimen("files", path=str(tmp_path / "b")).truth(Box(0, 0, 64, 64)).fields
    np.testing.assert_array_equal(
        fields["height_um"], make_specimen("particles").truth(Box(0, 0, 64, 64)).fields["height_um"]
    )


def test_a_diffraction_pattern_has_its_own_size(tmp_path: Path) -> None:
    assert _run("diffraction", "--out", str(tmp_path / "d"), "--set", "zone_axis=[0, 1, 1]").exit_code == 0
    assert tifffile.imread(tmp_path / "d" / "image.tif").shape == (512, 512)
    assert json.loads((tmp_path / "d" / "properties.json").read_text())["settings"]["zone_axis"] == [0, 1, 1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("voronoy",), "unknown specimen 'voronoy'; did you mean 'voronoi'?"),
        (("voronoi", "--size", "1"), "--size takes height,width in px, such as 512,512, not '1'"),
        (("voronoi", "--size", "0,5"), "height and width are at least 1 px"),
        (("voronoi", "--size", "-3,5"), "height and width are at least 1 px"),
        (("voronoi", "--size", "a,b"), "--size takes height,width"),
        (("voronoi", "--size", "1000000,1000000"), "choose a smaller --size"),
        (("voronoi", "--set", "grain_mu=3"), "grain_mu: Extra inputs are not permitted (known: pixel_size, "),
        (("voronoi", "--set", "grain_um"), "--set takes key=value"),
        (("voronoi", "--set", "grain_um=big"), "grain_um: Input should be a valid number"),
        (("voronoi", "--set", "grain_um=-1"), "grain_um: Input should be greater than 0"),
        (("voronoi", "--set", "pixel_size=5"), "a length needs a unit"),
        (("voronoi", "--set", "extent_px=[0, 5]"), "extent_px.0: Input should be greater than 0"),
        (("files",), "path: Field required"),
        (("files", "--set", "path=nowhere"), "there is no folder 'nowhere'"),
    ],
)
def test_wrong_calls_are_answered_in_one_sentence(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    assert says in _refused(*words, "--out", str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_it_overwrites_nothing_unasked(written: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    assert "--force" in _refused("wires", "--out", str(written), "--size", "20,20")
    assert before == {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    (tmp_path / "file").touch()
    assert "is a file" in _refused("wires", "--out", str(tmp_path / "file"), "--size", "20,20")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert _run("wires", "--out", str(tmp_path / "full"), "--size", "20,20", "--force").exit_code == 0
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "full"], "no half-written folder is left"


def test_out_is_asked_for() -> None:
    assert "--out is missing" in _refused("voronoi")


def test_help_lists_the_specimens_and_settings_lists_theirs() -> None:
    shown = _run("--help").stdout
    assert all(name in shown for name in specimen_names())
    assert "vacancy_share (default 0.003): Share of empty sites." in _run("graphene", "--settings").stdout
    described = json.loads(_run("graphene", "--settings", "--json").stdout)["properties"]["vacancy_share"]
    assert described["default"] == 0.003 and described["description"] == "Share of empty sites."


def _folder(tmp_path: Path, image: np.ndarray) -> Path:
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "image.png"), image)
    return tmp_path


def test_files_derives_objects_from_labels_and_reads_tables_of_others(tmp_path: Path) -> None:
    folder = _folder(tmp_path, np.full((40, 50), 128, np.uint8))
    labels = np.zeros((40, 50), np.uint8)
    labels[5:15, 10:30], labels[20:30, 5:9] = 3, 9
    cv2.imwrite(str(folder / "labels.png"), labels)
    objects = make_specimen("files", path=str(folder)).objects(Box(0, 0, 40, 50))
    assert objects is not None and sorted(objects.area_px) == [40, 200]
    assert sorted(objects.column("number")) == [3, 9]
    (folder / "objects.csv").write_text("x_px,y_px,class,length_um\n4,5,rod,1.5\n45,30,dot,\n")
    objects = make_specimen("files", path=str(folder)).objects(Box(0, 0, 40, 20))
    assert objects is not None and len(objects) == 1
    assert objects.classes[objects.class_index[0]].name == "rod" and objects.column("length_um")[0] == 1.5


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "image.png").unlink(), "there is no image in"),
        (lambda f: (f / "image.png").write_bytes(b"no image"), "damaged or of another kind"),
        (lambda f: (f / "image.png").rename(f / "image.tif"), "cannot read"),
        (lambda f: cv2.imwrite(str(f / "image.png"), np.zeros((40, 50, 3), np.uint8)), "one grey channel"),
        (lambda f: cv2.imwrite(str(f / "masks" / "a.png"), np.zeros((4, 5), np.uint8)), "but its image is (40, 50)"),
        (lambda f: tifffile.imwrite(f / "labels.tif", np.zeros((40, 50), np.float32)), "labels are whole numbers"),
        (lambda f: tifffile.imwrite(f / "image.tif", np.zeros((40, 50), np.uint8)), "keep one of them"),
        (lambda f: (f / "objects.csv").write_text("y,x\n1,2\n"), "has no column y_px and x_px"),
        (lambda f: (f / "objects.csv").write_text("y_px,x_px\n1,two\n"), "line 2: x_px is 'two'"),
        (lambda f: (f / "properties.json").write_text("{"), "as JSON"),
    ],
)
def test_a_folder_that_is_wrong_is_explained(tmp_path: Path, spoil: object, says: str) -> None:
    folder = _folder(tmp_path, np.full((40, 50), 128, np.uint8))
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(InputError) as error:
        make_specimen("files", path=str(folder)).render(Box(0, 0, 10, 10))
    assert says in str(error.value)


def test_floats_outside_the_unit_range_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.full((8, 8), 3.0, np.float32))
    with pytest.raises(InputError, match="floats outside"):
        make_specimen("files", path=str(tmp_path)).render(Box(0, 0, 8, 8))


def test_registration_imports_nothing_heavy_and_names_what_exists() -> None:
    code = "import sys, cemi_specimens.plugin as p; list(p.cemi_specimens()); list(p.cemi_commands()); "
    code += "print([m for m in ('numpy', 'scipy', 'cv2', 'pydantic', 'tifffile') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
    for description in plugin.cemi_specimens():
        assert callable(description.load_factory()) and description.summary.endswith(".")
    (command,) = plugin.cemi_commands()
    assert load_object(command.command) is specimen


def test_unknown_names_and_settings_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="unknown specimen"):
        make_specimen("steel")
    with pytest.raises(UsageError, match="known: pixel_size"):
        make_specimen("voronoi", size=3)
