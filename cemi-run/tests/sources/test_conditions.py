"""Claims about tables of conditions: what fits, and what is said of what does not."""

import numpy as np
import pytest
import tifffile

from cemi_core.errors import InputError
from cemi_run.sources.conditions import read_conditions_table
from cemi_run.sources.images import ImagesSettings, ImagesSource


@pytest.fixture
def images(tmp_path):
    """Return the conditions of three images in ``tmp_path`` with a table."""
    for name in "abc":
        tifffile.imwrite(
            tmp_path / f"{name}.tif", np.random.default_rng(ord(name)).integers(0, 255, (40, 50), np.uint8)
        )

    def conditions(text, **settings):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        path = str(tmp_path / "*.tif")
        source = ImagesSource(ImagesSettings(path=path, conditions=str(tmp_path / "t.csv"), **settings))
        return [dict(frame.conditions) for frame in source.frames], list(source.notes)

    return conditions


@pytest.mark.parametrize("head", ["file", "image", "name", "filename", "File"])
def test_the_column_that_names_the_image_has_one_of_four_names(images, head):
    found, notes = images(f"{head},dose\nb.tif,2\na.tif,1\nc.tif,3\n")
    assert [entry["dose"] for entry in found] == ["1", "2", "3"]
    assert notes == []


@pytest.mark.parametrize(
    "text", ["\ufefffile;dose\na.tif;1,5\n", "file\tdose\na.tif\t1,5\n", "file,dose,,\na.tif,1.5,,\n"]
)
def test_byte_order_marks_semicolons_tabs_and_decimal_commas_are_read(images, text):
    found, _ = images(text)
    assert found[0]["dose"] == "1.5"


def test_words_with_commas_stay_as_they_are(images):
    found, _ = images("file;remark\na.tif;1,5 and more\nb.tif;1,5\n")
    assert [entry.get("remark") for entry in found] == ["1,5 and more", "1,5", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dose,class\n1,a\n", "has no column that names the image; call it 'file'"),
        ("file\na.tif\n", "has no column beside the names of the images"),
        ("file,dose,dose\na.tif,1,2\n", "has 2 columns 'dose'; name them apart"),
        ("file,dose\na.tif,1\na.tif,2\n", "names the image 'a.tif' in line 2 and in line 3"),
        ("file,dose\na.tif,1\n./a.tif,2\n", "lines 2 and 3 name the same image"),
        ("file,dose\n,1\n", "line 2 names no image"),
        ("file,dose\na.tif,1,5\n", "line 2 has 3 cells and the head line 2; a decimal comma needs ';'"),
        ("file,dose,class\na.tif,1\n", "line 2 has 2 cells and the head line 3"),
        ("file;dose\na.tif;1,5\nb.tif;2.5\n", "a decimal comma in line 2 and a decimal point in line 3"),
        ("file,,dose\na.tif,3,1\n", "column 2 has no name, but a value in line 2"),
        ("file,dose\nx.tif,1\n", "names none of the images: its first line is 'x.tif', the first image is 'a.tif'"),
        ("file,dose\n", "has a head line but no images"),
        ("", "is empty"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_words(images, text, said):
    with pytest.raises(InputError) as error:
        images(text)
    assert said in str(error.value)


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(InputError, match="there is no table"):
        read_conditions_table(tmp_path / "t.csv")


def test_images_and_lines_without_counterpart_are_named(images):
    found, notes = images("file,dose\na.tif,1\nz.tif,4\nb.tif,\n")
    assert "dose" not in found[1]
    assert notes == [
        "t.csv names images that are not there: z.tif.",
        "t.csv does not name these images, whose conditions are unknown: c.tif.",
    ]


def test_every_image_knows_its_number_and_its_time_even_behind_a_damaged_one(tmp_path):
    for name in "abd":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((40, 50), np.uint8))
    (tmp_path / "c.tif").write_bytes(b"no image")
    source = ImagesSource(ImagesSettings(path=str(tmp_path), seconds_per_frame=0.5))
    assert [dict(frame.conditions) for frame in source.frames] == [
        {"number": "1", "time_s": "0"},
        {"number": "2", "time_s": "0.5"},
        {"number": "4", "time_s": "1.5"},
    ]


def test_pages_of_a_stack_have_a_number_and_share_the_line_of_their_file(tmp_path):
    tifffile.imwrite(
        tmp_path / "s.tif", np.random.default_rng(0).integers(0, 255, (3, 40, 50), np.uint8), photometric="minisblack"
    )
    (tmp_path / "t.csv").write_text("file,dose\ns.tif,1\ns.tif[1],2\n")
    source = ImagesSource(ImagesSettings(path=str(tmp_path / "s.tif"), conditions=str(tmp_path / "t.csv")))
    assert [dict(frame.conditions)["dose"] for frame in source.frames] == ["1", "2", "1"]
    assert len({dict(frame.conditions)["page"] for frame in source.frames}) == 3


def test_class_folders_give_each_image_its_folder(tmp_path):
    for kind in ("annealed", "quenched"):
        (tmp_path / kind / "images").mkdir(parents=True)
        tifffile.imwrite(tmp_path / kind / "images/1.tif", np.zeros((40, 50), np.uint8))
    paths = [str(tmp_path / kind / "images") for kind in ("annealed", "quenched")]
    source = ImagesSource(ImagesSettings(path=paths))
    assert [dict(frame.conditions)["folder"] for frame in source.frames] == ["annealed", "quenched"]
    (tmp_path / "t.csv").write_text("file,dose\n1.tif,2\n")
    with pytest.raises(InputError, match=r"several images are called '1.tif'; write 'annealed/images/1.tif'"):
        ImagesSource(ImagesSettings(path=paths, conditions=str(tmp_path / "t.csv")))
