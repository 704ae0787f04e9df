"""Real annotations: polygons of melt pools in COCO; masks of coatings, grains, bubbles and superalloys."""

import numpy as np
import pytest
import tifffile

from cemi_core.model.classes import ClassLabel
from cemi_run.annotations import FORMATS, objects_of, rasterize, read_annotations, write_annotations
from cemi_run.annotations.checks import class_shares


@pytest.fixture(scope="module")
def melt_pools(cemi_data):
    folder = cemi_data / "nasa_melt_pools"
    return read_annotations(folder / "annotations.json", folder / "images"), folder / "images"


def test_the_melt_pools_have_the_areas_that_their_file_states(melt_pools):
    import json

    found, images = melt_pools
    assert len(found) == 100 and not any(annotation.notes for annotation in found)
    stated = json.loads((images.parent / "annotations.json").read_text())["annotations"]
    areas = np.concatenate([objects_of(annotation).area_px for annotation in found])
    assert len(areas) == len(stated) == 563
    assert areas == pytest.approx([entry["area"] for entry in stated], rel=0.02, abs=60)


@pytest.mark.parametrize("name", FORMATS)
def test_the_melt_pools_cover_the_same_pixels_through_every_format(name, melt_pools, tmp_path):
    found, images = melt_pools
    some = found[::7]
    form = FORMATS[name]
    target = tmp_path / (name + ("" if form.per_image or name == "mask-png" else form.suffixes[0]))
    assert write_annotations(some, target, name) == []
    back = {annotation.image: annotation for annotation in read_annotations(target, images)}
    for annotation in some:
        assert np.array_equal(rasterize(back[annotation.image]), rasterize(annotation))


def test_the_masks_of_coatings_are_read_as_they_are_stored(cemi_data):
    folder = cemi_data / "nasa_ebc"
    found = read_annotations(folder / "masks", folder / "images", ["background", "oxide", "crack"])
    assert len(found) == 15
    for annotation in found[:4]:
        stored = tifffile.imread(folder / "masks" / annotation.image)
        assert np.array_equal(annotation.mask, stored) and annotation.notes == ()


@pytest.mark.parametrize(("folder", "count"), [("uo2_tem_gb_1024", 10), ("uo2_tem_bubble_1024", 7)])
def test_masks_of_0_and_255_find_their_jpeg_images(cemi_data, folder, count):
    found = read_annotations(cemi_data / folder / "masks", cemi_data / folder / "images", ["matrix", "object"])
    assert len(found) == count and all(annotation.image.endswith(".jpg") for annotation in found)
    assert all(0.03 < class_shares(annotation)[1] < 0.35 for annotation in found)


def test_masks_painted_over_the_image_say_nothing_elsewhere(cemi_data):
    folder = cemi_data / "nasa_super"
    classes = [ClassLabel("secondary", "", "#0000ff"), ClassLabel("tertiary", "", "#ff0000")]
    found = read_annotations(folder / "masks", folder / "images", classes)
    assert len(found) == 14
    for annotation in found[:3]:
        pixels = tifffile.imread(folder / "masks" / annotation.image)
        assert np.array_equal(annotation.mask == 0, (pixels[..., :3] == (0, 0, 255)).all(2))
        assert np.array_equal(annotation.mask == 1, (pixels[..., :3] == (255, 0, 0)).all(2))
        assert any("painted over" in note for note in annotation.notes)


def test_boundaries_of_a_mask_become_outlines_and_come_back_exactly(cemi_data, tmp_path):
    folder = cemi_data / "uo2_tem_gb_1024"
    (found,) = read_annotations(folder / "masks" / "1.png", folder / "images", ["background", "boundary"])
    for name in ("labelme", "coco", "qupath", "imagej-roi", "via", "label-studio"):
        target = tmp_path / f"1{FORMATS[name].suffixes[0]}"
        write_annotations([found], target, name)
        (back,) = read_annotations(target, folder / "images", ["background", "boundary"])
        assert np.array_equal(rasterize(back), found.mask), name
