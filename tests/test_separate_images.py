"""Claims about images that stand alone: from a folder with a table of conditions to measurements and a relation."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cemi_run.engine.folder import RunFolder
from cemi_run.steps.finish import opened_run

RECIPES = Path(__file__).parent.parent / "recipes"
DARK = 60
#: Planted dark share of each image, and its dose: the share rises by 0.06 from dose to dose.
SHARES = [0.20 + 0.06 * n for n in range(8)]
TABLE = "file;dose;class\n" + "".join(f"im{n}.tif;{n},5;{'ab'[n // 4]}\n" for n in range(8))
RECIPE = """
recipe: 1
source: {use: images, with: {path: images/*.tif, conditions: conditions.csv, pixel_size: 1 nm}}
stitch: {use: separate}
analyze: [{use: bcc-fraction}]
relate: {condition: dose}
"""


def stripes(share, shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    noise = np.random.default_rng(round(1000 * share)).normal(0, 5, shape)
    return np.clip(np.where((x + 0.3 * y) % 24 < 24 * share, DARK, 180) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Eight images of two sizes whose dark share is planted, a table of conditions, and a recipe."""
    (tmp_path / "images").mkdir()
    for number, share in enumerate(SHARES):
        tifffile.imwrite(tmp_path / f"images/im{number}.tif", stripes(share, (150, 180 + 20 * (number % 2))))
    (tmp_path / "conditions.csv").write_text(TABLE)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def run(cemi, folder):
    def run(*sets, expected=0):
        options = [word for one in sets for word in ("--set", one)]
        answer = cemi("recipe", folder / "recipe.yaml", "--out", folder / "run", "--quiet", *options)
        assert answer.code == expected, answer.err
        return answer

    return run


def table(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_each_image_is_measured_on_its_own_and_its_conditions_reach_the_end_of_the_run(run, folder, cemi):
    run()
    rows = table(folder / "run/maps/bcc_fraction.csv")
    assert [row["file"] for row in rows] == [f"im{n}.tif" for n in range(8)]
    assert np.abs([float(row["value"]) - share for row, share in zip(rows, SHARES, strict=True)]).max() < 0.03
    with opened_run(RunFolder(folder / "run")) as data:
        assert data.separate
        assert dict(data.frames[3].conditions) == {"number": "4", "dose": "3.5", "class": "a"}
        (relation,) = data.relations
        assert relation.r > 0.99
        assert relation.n == relation.n_effective == 8
        assert not any("components" in warning for warning in data.warnings)
    page = (folder / "run/report.html").read_text()
    assert "<h2>Images</h2>" in page
    assert "<h2>Placement</h2>" not in page
    answer = cemi("relate", folder / "run", "--condition", "class", "--use", "groups", "--json")
    (record,) = json.loads(answer.out)
    assert [group["name"] for group in record["groups"]] == ["a", "b"]
    assert 0.02 < record["p_value"] < 0.04  # 2 of the 70 ways to choose four of eight are as far apart


def test_an_image_is_measured_as_it_would_be_alone(run, folder, cemi):
    run()
    alone = cemi("analyze", folder / "images/im5.tif", "--use", "bcc-fraction", "--json")
    in_the_run = float(table(folder / "run/maps/bcc_fraction.csv")[5]["value"])
    assert json.loads(alone.out)["value"] == pytest.approx(in_the_run, abs=0.005)


def test_classes_are_compared_in_the_report(run, folder):
    run("relate.condition=class", "relate.use=groups")
    assert "epsilon squared" in (folder / "run/report.html").read_text()


def test_a_series_has_a_time_for_each_image(run, folder):
    (folder / "recipe.yaml").write_text(RECIPE.replace("conditions: conditions.csv", "seconds_per_frame: 0.5"))
    run("relate.condition=time_s")
    with opened_run(RunFolder(folder / "run")) as data:
        assert data.relations[0].property_values.tolist() == [0.5 * n for n in range(8)]
        assert any("often alike" in warning for warning in data.warnings)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("condition: dose", "condition: temperature", "no image has a condition 'temperature'; known are class, dose"),
        ("condition: dose", "condition: class", "'class' of 'im0.tif' is 'a'"),
        ("condition: dose", "property: t.csv, value: hv", "give 'condition: NAME' instead"),
        ("condition: dose", "condition: dose, property: t.csv", "exclude each other"),
        ("stitch: {use: separate}", "stitch: {use: separate}\ngrid: {rows: 2, columns: 2}", "write 'grid: frames'"),
        ("stitch: {use: separate}", "stitch: {use: kornia}\ngrid: frames", "write 'stitch: {use: separate}'"),
        ("stitch: {use: separate}", "stitch: {use: separate}\ngrid: frame", "'grid' should be 'frames'"),
        ("stitch: {use: separate}", "stitch: {use: kornia}", "'condition' compares images that stand alone"),
    ],
)
def test_what_does_not_fit_images_that_stand_alone_is_said_before_any_work(cemi, folder, old, new, said):
    (folder / "t.csv").write_text("x_um,hv\n1,2\n")
    (folder / "recipe.yaml").write_text(RECIPE.replace(old, new))
    answer = cemi("recipe", folder / "recipe.yaml", "--out", folder / "run", "--quiet")
    assert answer.code in (1, 2)
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (folder / "run/frames.zarr").exists()


def test_images_without_the_condition_are_left_out_and_named(run, folder):
    (folder / "conditions.csv").write_text(TABLE.replace("im2.tif;2,5;", "im2.tif;;").replace("im7.tif", "im9.tif"))
    run()
    with opened_run(RunFolder(folder / "run")) as data:
        assert data.relations[0].n == 6
        warnings = " ".join(data.warnings)
    assert "names images that are not there: im9.tif" in warnings
    assert "whose conditions are unknown: im7.tif" in warnings
    assert "2 of 8 images have no 'dose' and are left out of the relation: im2.tif, im7.tif" in warnings


def test_a_condition_that_is_the_same_everywhere_shows_no_relation(run, folder):
    (folder / "conditions.csv").write_text("file,dose\n" + "".join(f"im{n}.tif,7\n" for n in range(8)))
    run()
    with opened_run(RunFolder(folder / "run")) as data:
        assert np.isnan(data.relations[0].r)
        assert any("the same everywhere" in note for note in data.relations[0].notes)


def test_one_image_can_be_measured_but_not_related(run, folder):
    for number in range(1, 8):
        (folder / f"images/im{number}.tif").unlink()
    answer = run(expected=1)
    assert "'dose' is known of 1 images" in answer.err
    (folder / "recipe.yaml").write_text(RECIPE.replace("relate: {condition: dose}", ""))
    run()
    assert len(table(folder / "run/maps/bcc_fraction.csv")) == 1


def test_images_of_very_different_size_share_a_sheet(run, folder):
    tifffile.imwrite(folder / "images/im0.tif", stripes(0.2, (700, 900)))
    run()
    values = [float(row["value"]) for row in table(folder / "run/maps/bcc_fraction.csv")]
    assert np.abs(np.array(values) - SHARES).max() < 0.03


def test_the_command_stitch_says_that_nothing_was_joined(cemi, folder):
    answer = cemi("stitch", folder / "images", "--use", "separate", "--out", folder / "sheet.h5", "--quiet")
    assert answer.code == 0, answer.err
    assert "each image stands alone" in answer.out


def test_the_command_relate_wants_what_the_run_has(run, folder, cemi):
    run()
    (folder / "hv.csv").write_text("x_um,hv\n0,1\n1,2\n2,3\n")
    assert "use --condition NAME" in cemi("relate", folder / "run", folder / "hv.csv", "--value", "hv").err
    assert "--condition takes the place" in cemi("relate", folder / "run", "--condition", "a", "--x", "x_um").err
    assert "give a TABLE" in cemi("relate", folder / "run").err
    assert "no image has a condition 'a'" in cemi("relate", folder / "run", "--condition", "a").err


@pytest.mark.parametrize(("recipe", "condition"), [("tem-folder", "bubble_share_by_hand"), ("series", "time_s")])
def test_the_recipes_that_ship_measure_all_real_images(cemi, cemi_data, tmp_path, monkeypatch, recipe, condition):
    monkeypatch.setenv("CEMI_DATA", str(cemi_data))
    answer = cemi("recipe", RECIPES / f"{recipe}.yaml", "--out", tmp_path / "run", "--quiet")
    assert answer.code == 0, answer.err
    with opened_run(RunFolder(tmp_path / "run")) as data:
        (relation,) = data.relations
        assert relation.property_name == condition
        assert relation.n == len(data.frames) == 7
        assert abs(relation.r) > 0.5


def test_objects_say_in_which_image_they_lie_and_where(run, folder):
    for number in range(8):
        image = np.full((120, 160 + 20 * number), 40, np.uint8)
        image[30:50, 100:120] = 200
        tifffile.imwrite(folder / f"images/im{number}.tif", image)
    run("analyze=[{use: regions, with: {brighter_than: 0.5}}]", "relate=null")
    (path,) = (folder / "run/objects").glob("*.csv")
    rows = table(path)
    assert [float(row["image"]) for row in rows] == list(range(1, 9))
    assert {(float(row["image_y_px"]), float(row["image_x_px"])) for row in rows} == {(39.5, 109.5)}
    assert len({(row["y_px"], row["x_px"]) for row in rows}) == 8


def test_an_export_does_not_replace_an_image_of_the_run(run, folder, cemi):
    run("relate=null")
    path = folder / "images/im3.tif"
    before = path.read_bytes()
    for way in (path, folder / "run/../images/im3.tif"):
        answer = cemi("export", folder / "run", "--to", "ome-tiff", "--out", way)
        assert answer.code == 2 and "is one of the files that this run has read" in answer.err
    assert path.read_bytes() == before
