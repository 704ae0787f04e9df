"""Files as COCO has them; the run lengths were made with pycocotools 2.0.11."""

import json

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_run.annotations import rasterize, read_annotations

RUNS = np.zeros((6, 8), bool)
RUNS[1:5, 2:7] = True
RUNS[2:4, 4] = False

DATA = {
    "info": {"description": "test"},
    "licenses": [],
    "images": [
        {"id": 3, "width": 8, "height": 6, "file_name": "train/a.png"},
        {"id": 9, "width": 40, "height": 30, "file_name": "b.png"},
        {"id": 10, "width": 40, "height": 30, "file_name": "c.png"},
    ],
    "categories": [
        {"id": 1, "name": "pore", "supercategory": "defect"},
        {"id": 7, "name": "crack", "supercategory": "defect", "color": [255, 0, 16]},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 7, "iscrowd": 1, "area": 18, "bbox": [2, 1, 5, 4],
         "segmentation": {"size": [6, 8], "counts": "=4200M0003005"}},
        {"id": 2, "image_id": 9, "category_id": 1, "iscrowd": 0, "area": 60, "bbox": [2, 3, 20, 6],
         "segmentation": [[2, 3, 7, 3, 7, 9, 2, 9], [17.0, 3.0, 22.0, 3.0, 22.0, 9.0, 17.0, 9.0]]},
        {"id": 3, "image_id": 9, "category_id": 1, "iscrowd": 0, "segmentation": [], "bbox": [30, 20, 5, 4]},
        {"id": 4, "image_id": 9, "category_id": 7, "iscrowd": 0, "bbox": [0, 0, 1, 1],
         "keypoints": [12, 14, 2, 0, 0, 0, 15, 16, 1], "num_keypoints": 2},
    ],
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(data):
        (tmp_path / "coco.json").write_text(json.dumps(data))
        return tmp_path / "coco.json"

    return write


def test_runs_polygons_boxes_and_keypoints_lie_where_they_were_drawn(written):
    first, second, third = read_annotations(written(DATA))
    assert [label.name for label in first.classes] == ["pore", "crack"] and first.classes[1].colour == "#ff0010"
    assert (first.image, first.shape) == ("a.png", (6, 8))
    assert np.array_equal(rasterize(first) == 1, RUNS)
    assert first.notes == ("1 crowd regions (iscrowd), each of many objects, were read as one object each",)
    left, right, box, points = second.shapes
    assert left.group == right.group and left.group is not None
    assert left.outline_px.min(0).tolist() == [2.5, 1.5] and left.outline_px.max(0).tolist() == [8.5, 6.5]
    assert box.outline_px.max(0).tolist() == [23.5, 34.5]
    assert points.outline_px.tolist() == [[14, 12], [16, 15]]
    assert "1 boxes without an outline were read as areas" in second.notes
    assert third.shapes == () and third.notes == ("nothing is annotated",)


def test_uncompressed_runs_say_the_same_as_compressed_ones(written):
    counts = [13, 4, 2, 4, 2, 1, 2, 1, 2, 4, 2, 4, 7]
    data = json.loads(json.dumps(DATA))
    data["annotations"][0]["segmentation"] = {"size": [6, 8], "counts": counts}
    assert np.array_equal(rasterize(read_annotations(written(data))[0]) == 1, RUNS)


def test_a_polygon_of_four_numbers_is_a_box_as_in_pycocotools(written):
    data = json.loads(json.dumps(DATA))
    data["annotations"][1]["segmentation"] = [[2, 3, 5, 6]]
    found = read_annotations(written(data))[1]
    assert (rasterize(found)[3:9, 2:7] == 0).all()
    assert "1 polygons of four numbers were read as boxes" in found.notes


def test_a_hole_reached_over_a_bridge_becomes_a_hole(written):
    data = json.loads(json.dumps(DATA))
    ring = [0, 0, 30, 0, 30, 20, 0, 20, 0, 0, 10, 5, 10, 15, 20, 15, 20, 5, 10, 5]
    data["annotations"][1]["segmentation"] = [ring]
    found = read_annotations(written(data))[1]
    assert len(found.shapes[0].holes_px) == 1
    assert (rasterize(found)[:20, :30] == 0).sum() == 600 - 100 - 1  # a keypoint lies on it


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image_id": 77}, "there is no image with id 77"),
        ({"category_id": 77}, "no category has id 77 (there are 1: pore, 7: crack)"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "an odd number"),
        ({"segmentation": {"size": [6, 8], "counts": "=4200"}}, "its runs cover"),
        ({"segmentation": {"size": [6, 9], "counts": "=4200M0003005"}}, "its image has 8 x 6 px"),
        ({"segmentation": {"size": [6, 8], "counts": [99999999999]}}, "its runs cover 99999999999"),
        ({"segmentation": {"size": [6, 8], "counts": [10, -2, 40]}}, "its runs cover"),
        ({"segmentation": {"counts": [48]}}, "without the size"),
        (
            {"segmentation": {"size": [3000000, 3000000], "counts": [9000000000000]}},
            "size is given as 3000000 x 3000000",
        ),
    ],
)
def test_a_damaged_annotation_is_named(written, change, sentence):
    data = json.loads(json.dumps(DATA))
    data["annotations"][0] |= change
    with pytest.raises(InputError, match="annotation 1") as caught:
        read_annotations(written(data))
    assert sentence in str(caught.value)


def test_results_without_images_are_refused_with_the_remedy(written):
    results = [{"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]
    for data in (results, {"annotations": DATA["annotations"], "categories": DATA["categories"], "images": []}):
        with pytest.raises(InputError, match="no 'images', so names and sizes are unknown"):
            read_annotations(written(data))


def test_two_images_of_one_name_in_two_folders_are_refused(written):
    data = json.loads(json.dumps(DATA))
    data["images"][2]["file_name"] = "other/b.png"
    with pytest.raises(InputError, match=r"image 'b.png' is annotated twice, and differently"):
        read_annotations(written(data))
