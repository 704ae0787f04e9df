"""Exports as Label Studio writes them; the brush was encoded with label_studio_converter 0.0.59."""

import json
import math

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_run.annotations import rasterize, read_annotations
from cemi_run.annotations.geometry import area_and_centroid

BRUSH = [0, 0, 0, 192, 57, 27, 254, 39, 0, 194, 127, 246, 192, 39, 255, 140, 2, 127, 251, 96, 19, 255, 198, 1, 63, 253,
         176, 12, 39, 255, 136, 192, 0]  # fmt: skip


def region(kind, value, **more):
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    names = {"from_name": "label", "to_name": "image", "type": kind, "origin": "manual"}
    return {"id": f"r{len(str(value))}{kind}", **names, "value": value, **size, **more}


TASK = {
    "id": 5,
    "annotations": [
        {
            "id": 8,
            "completed_by": 1,
            "was_cancelled": False,
            "ground_truth": False,
            "result": [
                region("rectanglelabels", {"x": 10, "y": 20, "width": 25, "height": 30, "rotation": 0,
                                           "rectanglelabels": ["pore"]}),
                region("rectanglelabels", {"x": 60, "y": 20, "width": 10, "height": 10, "rotation": 90,
                                           "rectanglelabels": ["pore"]}),
                region("polygonlabels", {"points": [[1, 2], [3.5, 2], [3.5, 9], [1, 9]], "closed": True,
                                         "polygonlabels": ["grain"]}),
                region("ellipselabels", {"x": 50, "y": 70, "radiusX": 10, "radiusY": 10, "rotation": 0,
                                         "ellipselabels": ["grain"]}),
                region("keypointlabels", {"x": 90.25, "y": 90.5, "width": 0.3, "keypointlabels": ["atom"]}),
                {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
                region("choices", {"choices": ["good"]}),
            ],
        }
    ],
    "file_upload": "1a2b3c4d-field_3.tif",
    "predictions": [],
    "data": {"image": "/data/upload/3/1a2b3c4d-field_3.tif"},
    "project": 3,
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(data):
        (tmp_path / "export.json").write_text(json.dumps(data))
        return tmp_path / "export.json"

    return write


def test_percent_become_pixels_for_every_kind_of_region(written):
    (found,) = read_annotations(written([TASK]))
    assert (found.image, found.shape) == ("field_3.tif", (100, 200))
    box, turned, polygon, ellipse, point = found.shapes
    assert box.outline_px.min(0).tolist() == [19.5, 19.5] and box.outline_px.max(0).tolist() == [49.5, 69.5]
    # turned clockwise by 90 degrees about its first corner: 20 x 10 px become 10 x 20 px to its left
    assert turned.outline_px.min(0) == pytest.approx([19.5, 109.5]) and turned.outline_px.max(0) == pytest.approx(
        [39.5, 119.5]
    )
    assert polygon.outline_px[0].tolist() == [1.5, 1.5]
    assert ellipse.outline_px.mean(0) == pytest.approx([69.5, 99.5]) and np.ptp(
        ellipse.outline_px, axis=0
    ) == pytest.approx([20, 40], abs=0.1)
    assert point.kind == "points" and point.outline_px[0] == pytest.approx([90, 180])
    assert found.notes == ("1 results are not regions (choices) and were left out",)


def test_a_turned_ellipse_keeps_its_area(written):
    task = json.loads(json.dumps(TASK))
    task["annotations"][0]["result"] = [
        region("ellipselabels", {"x": 50, "y": 50, "radiusX": 15, "radiusY": 8, "rotation": 33, "ellipselabels": ["g"]})
    ]
    (found,) = read_annotations(written([task]))
    from cemi_run.annotations.geometry import Outline

    area, y, x = area_and_centroid([Outline(found.shapes[0].outline_px)])
    assert area == pytest.approx(math.pi * 30 * 8, rel=0.01) and (y, x) == pytest.approx((49.5, 99.5))


def test_a_brush_gives_its_pixels_with_the_hole(written):
    task = json.loads(json.dumps(TASK))
    size = {"original_width": 8, "original_height": 6}
    task["annotations"][0]["result"] = [
        region("brushlabels", {"format": "rle", "rle": BRUSH, "brushlabels": ["pore"]}) | size
    ]
    (found,) = read_annotations(written([task]))
    expected = np.zeros((6, 8), bool)
    expected[1:5, 2:7] = True
    expected[2:4, 4] = False
    assert np.array_equal(rasterize(found) == 0, expected)
    for damaged, sentence in ((BRUSH[:20], "cut off or damaged"), ([0, 0, 255, 255, *BRUSH[4:]], "its brush has")):
        task["annotations"][0]["result"][0]["value"]["rle"] = damaged
        with pytest.raises(InputError) as caught:
            read_annotations(written([task]))
        assert sentence in str(caught.value)


def test_a_bare_tool_and_its_label_are_one_region(written):
    task = json.loads(json.dumps(TASK))
    value = {"x": 10, "y": 20, "width": 25, "height": 30, "rotation": 0}
    task["annotations"][0]["result"] = [
        region("rectangle", value) | {"id": "q"},
        region("labels", value | {"labels": ["pore"]}) | {"id": "q"},
    ]
    (found,) = read_annotations(written([task]))
    assert len(found.shapes) == 1 and found.classes[0].name == "pore"


def test_json_min_is_read(written):
    value = {"x": 10, "y": 20, "width": 25, "height": 30, "rotation": 0, "rectanglelabels": ["pore"]}
    entry = {"image": "https://x.org/a%20b.png?token=1", "id": 1, "annotator": 1, "annotation_id": 4,
             "label": [value | {"original_width": 200, "original_height": 100}]}  # fmt: skip
    (found,) = read_annotations(written([entry]))
    assert found.image == "a b.png" and found.shapes[0].outline_px.min(0).tolist() == [19.5, 19.5]


def test_of_several_annotators_the_last_counts_and_it_is_said(written):
    task = json.loads(json.dumps(TASK))
    task["annotations"].append({"id": 9, "was_cancelled": False, "result": []})
    task["annotations"].append({"id": 10, "was_cancelled": True, "result": TASK["annotations"][0]["result"]})
    (found,) = read_annotations(written([task]))
    assert found.shapes == () and "2 annotations of this image; the last was read" in found.notes


def test_an_upload_prefix_is_dropped_to_find_the_image(written):
    task = json.loads(json.dumps(TASK))
    task["data"]["image"] = "s3://bucket/1a2b3c4d-field_3.tif"
    (found,) = read_annotations(written([task]), {"field_3.tif": (100, 200)})
    assert found.image == "field_3.tif"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image_rotation": 90}, "turned by 90 degrees"),
        ({"original_width": None}, "without the size"),
        ({"value": {"x": "a", "y": 1, "width": 2, "height": 3, "rectanglelabels": ["pore"]}}, "'a', not a number"),
        (
            {"value": {"x": 1e12, "y": 1, "width": 2, "height": 3, "rectanglelabels": ["pore"]}},
            "no image is that large",
        ),
    ],
)
def test_a_damaged_region_is_named(written, change, sentence):
    task = json.loads(json.dumps(TASK))
    task["annotations"][0]["result"][0] |= change
    with pytest.raises(InputError, match="task 5, region") as caught:
        read_annotations(written([task]))
    assert sentence in str(caught.value)
