"""Projects, annotations and CSV as VIA 1, 2 and 3 write them."""

import json

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_run.annotations import rasterize, read_annotations

SIZES = {"swan.jpg": (400, 600), "two.jpg": (400, 600)}
POLYGON = {"name": "polygon", "all_points_x": [116, 94, 176, 343], "all_points_y": [157, 195, 264, 273]}
METADATA = {
    "swan.jpg-1": {
        "filename": "swan.jpg",
        "size": -1,
        "regions": [
            {"shape_attributes": POLYGON,
             "region_attributes": {"name": "Swan", "type": "bird", "image_quality": {"good": True}}},
            {"shape_attributes": {"name": "rect", "x": 174, "y": 139, "width": 108, "height": 227},
             "region_attributes": {"name": "Plato", "type": "human"}},
            {"shape_attributes": {"name": "ellipse", "cx": 316, "cy": 180, "rx": 17, "ry": 12, "theta": 1.5707963},
             "region_attributes": {"name": "Hemlock", "type": "cup"}},
            {"shape_attributes": {"name": "circle", "cx": 50, "cy": 60, "r": 10}, "region_attributes": {"type": "cup"}},
            {"shape_attributes": {"name": "point", "cx": 5, "cy": 6}, "region_attributes": {"type": "cup"}},
            {"shape_attributes": {"name": "polyline", "all_points_x": [1, 9], "all_points_y": [2, 4]},
             "region_attributes": {"type": "crack"}},
        ],
        "file_attributes": {"caption": "x"},
    },
    "two.jpg-1": {"filename": "two.jpg", "size": -1, "regions": [], "file_attributes": {}},
}  # fmt: skip
PROJECT = {
    "_via_settings": {"ui": {}, "core": {"buffer_size": "18", "filepath": {}, "default_filepath": ""},
                      "project": {"name": "p"}},
    "_via_img_metadata": METADATA,
    "_via_attributes": {
        "region": {
            "name": {"type": "text", "description": "", "default_value": "not_defined"},
            "type": {"type": "dropdown", "description": "", "options": {"bird": "Bird", "human": "Human", "cup": "Cup"},
                     "default_options": {"bird": True}},
        },
        "file": {},
    },
    "_via_data_format_version": "2.0.10",
    "_via_image_id_list": list(METADATA),
}  # fmt: skip
CSV = """filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
swan.jpg,-1,"{}",2,0,"{""name"":""polygon"",""all_points_x"":[116,94,343],""all_points_y"":[157,195,273]}","{""type"":""bird""}"
swan.jpg,-1,"{}",2,1,"{""name"":""rect"",""x"":174,""y"":139,""width"":108,""height"":227}","{""type"":""human""}"
two.jpg,-1,"{}",0,0,"{}","{}"
"""
VIA3 = {
    "project": {"pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__", "pname": "p",
                "creator": "VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
                "created": 1573815248007, "vid_list": ["1", "2"], "data_format_version": "3.1.1"},
    "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}},
    "attribute": {
        "1": {"aname": "Comment", "anchor_id": "FILE1_Z0_XY0", "type": 1, "desc": "", "options": {},
              "default_option_id": ""},
        "4": {"aname": "Type", "anchor_id": "FILE1_Z0_XY1", "type": 3, "desc": "",
              "options": {"0": "Grain", "1": "Pore"}, "default_option_id": "0"},
    },
    "file": {"1": {"fid": "1", "fname": "swan.jpg", "type": 2, "loc": 1, "src": ""},
             "2": {"fid": "2", "fname": "two.jpg", "type": 2, "loc": 1, "src": ""}},
    "metadata": {
        "1_a": {"vid": "1", "flg": 0, "z": [], "xy": [2, 10, 20, 40, 50], "av": {"4": "1"}},
        "1_b": {"vid": "1", "flg": 0, "z": [], "xy": [7, 100, 100, 150, 100, 150, 160], "av": {"4": "0"}},
        "1_c": {"vid": "1", "flg": 0, "z": [], "xy": [3, 200, 100, 20], "av": {"4": "0"}},
        "1_d": {"vid": "1", "flg": 0, "z": [], "xy": [4, 300, 100, 20, 10], "av": {"4": "0"}},
        "1_e": {"vid": "1", "flg": 0, "z": [], "xy": [1, 5.5, 6.5], "av": {"4": "1"}},
        "1_f": {"vid": "1", "flg": 0, "z": [], "xy": [6, 1, 2, 9, 4], "av": {"4": "1"}},
        "1_g": {"vid": "1", "flg": 0, "z": [], "xy": [8, 400, 100, 420, 90, 440, 110, 410, 130], "av": {"4": "1"}},
        "1_h": {"vid": "1", "flg": 0, "z": [], "xy": [9, 500, 90, 510, 100, 500, 110], "av": {"4": "1"}},
        "1_i": {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {"1": "whole image"}},
    },
    "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(data, name="via.json"):
        (tmp_path / name).write_text(data if isinstance(data, str) else json.dumps(data))
        return tmp_path / name

    return write


@pytest.mark.parametrize("data", [PROJECT, METADATA], ids=["project", "annotations"])
def test_regions_of_version_2_lie_where_they_were_drawn(written, data):
    first, second = read_annotations(written(data), SIZES)
    assert (first.image, second.image, second.shapes) == ("swan.jpg", "two.jpg", ())
    assert [label.name for label in first.classes] == ["bird", "human", "cup", "crack"]
    polygon, box, ellipse, circle, point, line = first.shapes
    assert polygon.outline_px[0].tolist() == [156.5, 115.5]
    assert box.outline_px.max(0).tolist() == [365.5, 281.5]
    assert np.ptp(ellipse.outline_px, axis=0) == pytest.approx([34, 24], abs=0.1)  # turned by pi / 2
    assert circle.outline_px.mean(0) == pytest.approx([59.5, 49.5])
    assert point.outline_px.tolist() == [[5.5, 4.5]] and line.kind == "line"


def test_version_1_numbers_its_regions(written):
    data = json.loads(json.dumps(METADATA))
    for image in data.values():
        image["regions"] = {str(k): region for k, region in enumerate(image["regions"])}
    assert len(read_annotations(written(data), SIZES)[0].shapes) == 6


@pytest.mark.parametrize("start", ["", "#"])
def test_the_csv_is_read_with_and_without_its_old_mark(written, start):
    first, second = read_annotations(written(start + CSV, "via.csv"), SIZES)
    assert len(first.shapes) == 2 and second.shapes == ()
    assert first.shapes[0].outline_px[0].tolist() == [156.5, 115.5]


def test_every_shape_of_version_3_is_read(written):
    first, _ = read_annotations(written(VIA3), SIZES)
    assert [label.name for label in first.classes] == ["Grain", "Pore"]
    box, polygon, circle, ellipse, point, line, extreme, through = first.shapes
    assert box.outline_px.min(0).tolist() == [19.5, 9.5] and box.outline_px.max(0).tolist() == [69.5, 49.5]
    assert polygon.outline_px[2].tolist() == [159.5, 149.5]
    assert np.ptp(circle.outline_px, axis=0) == pytest.approx([40, 40], abs=0.1)
    assert np.ptp(ellipse.outline_px, axis=0) == pytest.approx([20, 40], abs=0.1)
    assert point.outline_px.tolist() == [[6, 5]] and line.outline_px.tolist() == [[1.5, 0.5], [3.5, 8.5]]
    assert extreme.outline_px.min(0).tolist() == [89.5, 399.5] and extreme.outline_px.max(0).tolist() == [129.5, 439.5]
    assert through.outline_px.mean(0) == pytest.approx([99.5, 499.5])


def test_the_csv_of_version_3_is_read(written):
    attributes = json.dumps(VIA3["attribute"])
    text = f"""# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# SHAPE_ID = {{"POINT":1,"RECTANGLE":2,"CIRCLE":3}}
# FLAG_ID = {{"RESERVED_FOR_FUTURE":1}}
# ATTRIBUTE = {attributes}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_yT8e","[""swan.jpg""]",0,"[]","[2,10,20,40,50]","{{""4"":""1""}}"
"""
    (found,) = read_annotations(written(text, "via3.csv"), SIZES)
    assert found.classes[found.shapes[0].class_index].name == "Pore"
    assert found.shapes[0].outline_px.min(0).tolist() == [19.5, 9.5]


def test_regions_of_a_video_are_refused(written):
    data = json.loads(json.dumps(VIA3))
    data["metadata"]["1_a"]["z"] = [1.25]
    with pytest.raises(InputError, match="a moment of a video"):
        read_annotations(written(data))


def test_regions_without_attributes_are_objects(written):
    data = json.loads(json.dumps(METADATA))
    for region in data["swan.jpg-1"]["regions"]:
        region["region_attributes"] = {}
    first, _ = read_annotations(written(data), SIZES)
    assert [label.name for label in first.classes] == ["object"]
    assert "shapes without a label were read as 'object'" in first.notes
    assert set(np.unique(rasterize(first))) == {-1, 0}


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"name": "blob", "cx": 1, "cy": 2}, "'blob' is unknown"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "as many x as y"),
        ({"name": "circle", "cx": 1, "cy": 2, "r": None}, "its r is None"),
        ({"name": "rect", "x": 1}, "'y' is missing"),
    ],
)
def test_a_damaged_region_is_told(written, shape, sentence):
    data = json.loads(json.dumps(METADATA))
    data["swan.jpg-1"]["regions"][0]["shape_attributes"] = shape
    with pytest.raises(InputError) as caught:
        read_annotations(written(data))
    assert sentence in str(caught.value)
