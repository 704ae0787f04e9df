"""The commands ``cemi annotations convert`` and ``cemi annotations check``."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cemi_core.errors import InputError, UsageError
from cemi_run.annotations import read_annotations, write_annotations
from cemi_run.cli.annotations import check, convert


@pytest.fixture
def run():
    def call(command, *arguments):
        result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_convert_writes_the_other_format_and_says_what_is_lost(run, specimen, tmp_path):
    write_annotations([specimen], tmp_path / "specimen 1.json", "labelme")
    result = run(convert, tmp_path / "specimen 1.json", "--to", "coco", "--out", tmp_path / "c.json")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'c.json'}\n"
    assert "COCO has no lines" in result.stderr
    (written,) = read_annotations(tmp_path / "c.json")
    assert {label.name for label in written.classes} == {label.name for label in specimen.classes}
    answer = run(convert, tmp_path / "c.json", "--to", "via", "--out", tmp_path / "v.json", "--json").stdout
    assert json.loads(answer)["images"] == 1 and len(json.loads(answer)["classes"]) == len(written.classes)


def test_convert_takes_images_classes_and_a_tolerance(run, tmp_path):
    y, x = np.mgrid[:200, :200]
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "images" / "a.tif")
    disc = np.repeat((np.hypot(y - 100, x - 100) < 60)[..., None], 3, 2) * np.array([0, 0, 255])
    Image.fromarray(disc.astype(np.uint8)).save(tmp_path / "a_mask.png")
    common = (tmp_path / "a_mask.png", "--to", "labelme", "--images", tmp_path / "images",
              "--classes", "background=#000000,gamma prime=#0000ff")  # fmt: skip
    run(convert, *common, "--out", tmp_path / "exact")
    run(convert, *common, "--out", tmp_path / "few", "--tolerance", "1")
    exact, few = (json.loads((tmp_path / name / "a.json").read_text()) for name in ("exact", "few"))
    assert exact["imagePath"] == "a.tif" and exact["shapes"][0]["label"] == "gamma prime"
    assert len(few["shapes"][0]["points"]) < len(exact["shapes"][0]["points"]) / 4


@pytest.mark.parametrize("target", ["mask-png", "labelme", "imagej-roi"])
def test_convert_that_fails_leaves_no_folder(run, specimen, tmp_path, target):
    for name, suffix in (("one", "png"), ("two", "tif")):
        write_annotations([replace(specimen, image=f"a.{suffix}")], tmp_path / f"{name}.json", "coco")
    with pytest.raises(InputError, match="would share"):
        run(convert, tmp_path / "one.json", tmp_path / "two.json", "--to", target, "--out", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_check_prints_counts_shares_and_notes(run, specimen, tmp_path):
    write_annotations([specimen], tmp_path / "c.json", "coco")
    result = run(check, tmp_path / "c.json")
    lines = result.stdout.splitlines()
    assert lines[0] == "1 images" and lines[1].split() == ["class", "shapes", "images", "area"]
    assert lines[2].split()[:3] == ["grain", "2", "1"] and lines[2].endswith("%")
    answer = json.loads(run(check, tmp_path / "c.json", "--json").stdout)
    assert [row["class"] for row in answer["classes"]] == ["grain", "pore", "crack line", "atom"]
    assert answer["classes"][0]["share"] == pytest.approx(0.218, abs=0.02)


def test_mistakes_end_in_one_sentence(run, specimen, tmp_path):
    write_annotations([specimen], tmp_path / "c.json", "coco")
    with pytest.raises(UsageError, match="unknown annotation format 'coc'"):
        run(convert, tmp_path / "c.json", "--to", "coc", "--out", tmp_path / "x")
    with pytest.raises(UsageError, match="'a=red' is neither a name nor name=#rrggbb"):
        run(check, tmp_path / "c.json", "--classes", "a=red")
    with pytest.raises(InputError, match="unknown label"):
        run(check, tmp_path / "c.json", "--classes", "grain,pore")
    result = run(check, tmp_path / "c.json", "--classes", "grain,pore", "--ignore-unknown")
    assert "label 'atom' is not one of the classes and was ignored" in result.stdout


@pytest.mark.parametrize("beside", [False, True], ids=["--images", "beside the annotations"])
def test_convert_replaces_no_image(run, specimen, tmp_path, beside):
    image, drawn = tmp_path / "images" / "a.png", tmp_path / ("images" if beside else "drawn")
    image.parent.mkdir()
    drawn.mkdir(exist_ok=True)
    Image.fromarray(np.full(specimen.shape, 128, np.uint8)).save(image)
    before = image.read_bytes()
    write_annotations([replace(specimen, image="a.png")], drawn / "a.json", "labelme")
    images = () if beside else ("--images", image.parent)
    with pytest.raises(UsageError, match=r"a\.png' is one of the images or annotations, which would be overwritten"):
        run(convert, drawn / "a.json", "--to", "mask-png", "--out", image.parent, *images)
    assert image.read_bytes() == before and sorted(p.name for p in image.parent.glob("*.png")) == ["a.png"]
    for _ in range(2):  # its own masks may be written again
        run(convert, drawn / "a.json", "--to", "mask-png", "--out", tmp_path / "masks", *images)
    run(convert, tmp_path / "masks", "--to", "qupath", "--out", image.parent, *images)  # beside the images


def test_convert_replaces_no_annotation_that_it_reads(run, specimen, tmp_path):
    write_annotations([specimen], tmp_path / "masks", "mask-png")
    (mask,) = (tmp_path / "masks").glob("*.png")
    before = mask.read_bytes()
    for target, out in (("mask-png", tmp_path / "masks"), ("coco", mask), ("mask-png", mask)):
        with pytest.raises(UsageError, match="would be overwritten"):
            run(convert, tmp_path / "masks", "--to", target, "--out", out)
    assert mask.read_bytes() == before
