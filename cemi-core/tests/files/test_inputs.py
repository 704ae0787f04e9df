"""What a user gave as input is recognised by whatever name it is called."""

import os

import pytest

from cemi_core.errors import UsageError
from cemi_core.files.inputs import require_no_input


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    path.write_bytes(b"pixels")
    return path


def _other_names(image, tmp_path):
    (tmp_path / "link.tif").symlink_to(image)
    (tmp_path / "same").symlink_to(image.parent)
    os.link(image, tmp_path / "hard.tif")
    return [
        image,
        image.parent / ".." / "in" / "a.tif",
        *(tmp_path / p for p in ("link.tif", "same/a.tif", "hard.tif")),
    ]


def test_an_input_is_refused_by_any_of_its_names(image, tmp_path):
    for written in _other_names(image, tmp_path):
        with pytest.raises(UsageError, match=r"is one of the images, which would be overwritten"):
            require_no_input([tmp_path / "new.tif", written], iter([image]), "images")


def test_another_file_is_written_even_beside_the_input_or_over_an_older_one(image, tmp_path):
    (image.parent / "old.tif").write_bytes(b"pixels")
    require_no_input([image.parent / "b.tif", image.parent / "old.tif", tmp_path / "no" / "a.tif"], [image], "images")


def test_an_input_that_does_not_exist_yet_is_known_by_its_path(tmp_path):
    with pytest.raises(UsageError):
        require_no_input([tmp_path / "x" / ".." / "t.csv"], [tmp_path / "t.csv"], "tables")


def test_a_folder_that_is_read_is_an_input(tmp_path):
    (tmp_path / "m.ome.zarr").mkdir()
    with pytest.raises(UsageError, match=r"m\.ome\.zarr"):
        require_no_input([tmp_path / "m.ome.zarr"], [tmp_path / "m.ome.zarr"], "mosaics")
