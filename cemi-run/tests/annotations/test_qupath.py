"""GeoJSON as QuPath writes it."""

import json

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_run.annotations import rasterize, read_annotations

TEXT = """{"type":"FeatureCollection","features":[
{"type":"Feature","id":"c67ef6e1-2ba4-4ba3-a0b5-0a1f6ba3b3fb",
 "geometry":{"type":"Polygon",
  "coordinates":[[[2, 3],[7, 3],[7, 9],[2, 9],[2, 3]],[[4, 5],[4, 7],[6, 7],[6, 5],[4, 5]]]},
 "properties":{"objectType":"annotation","classification":{"name":"Pore","color":[200, 0, 16]},"isLocked":true}},
{"type":"Feature","id":"PathDetectionObject",
 "geometry":{"type":"MultiPolygon",
  "coordinates":[[[[10,3],[14,3],[14,9],[10,9],[10,3]]],[[[20,3],[24,3],[24,9],[20,3]]]]},
 "properties":{"classification":{"name":"Grain","colorRGB":-3670016},"measurements":[]}},
{"type":"Feature","geometry":{"type":"LineString","coordinates":[[0.5,20.5],[12.5,24.5]]},
 "properties":{"objectType":"annotation","classification":{"names":["Crack","Thin"],"color":[1,2,3]}}},
{"type":"Feature","geometry":{"type":"MultiPoint","coordinates":[[30.5,5.5],[33.5,6.5]]},
 "properties":{"objectType":"annotation","name":"atom"}},
{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[40,0],[40,30],[0,30],[0,0]]]},
 "properties":{"objectType":"root"}}
]}"""


@pytest.fixture
def written(tmp_path):
    def write(text=TEXT):
        (tmp_path / "field 3.geojson").write_text(text)
        return tmp_path / "field 3.geojson"

    return write


def test_geometries_and_classifications_are_read(written):
    (found,) = read_annotations(written(), {"field 3.ome.tif": (30, 40)})
    assert found.image == "field 3.ome.tif" and found.notes == ()
    assert [label.name for label in found.classes] == ["Pore", "Grain", "Crack: Thin", "atom"]
    assert [label.colour for label in found.classes[:3]] == ["#c80010", "#c80000", "#010203"]
    pore, one, two, line, atoms = found.shapes
    assert pore.outline_px.tolist() == [[2.5, 1.5], [2.5, 6.5], [8.5, 6.5], [8.5, 1.5]] and len(pore.holes_px) == 1
    assert (rasterize(found) == 0).sum() == 30 - 4
    assert one.group == two.group is not None
    assert line.outline_px.tolist() == [[20, 0], [24, 12]]
    assert atoms.outline_px.tolist() == [[5, 30], [6, 33]]


@pytest.mark.parametrize("form", [lambda data: data["features"], lambda data: data["features"][0]])
def test_a_list_of_features_and_a_single_one_are_read(written, form):
    (found,) = read_annotations(written(json.dumps(form(json.loads(TEXT)))), {"field 3.png": (30, 40)})
    assert found.shapes[0].outline_px.max() == 8.5


@pytest.mark.parametrize(
    ("geometry", "sentence"),
    [
        ({"type": "Circle", "coordinates": [1, 2]}, "'Circle' is unknown"),
        ({"type": "Polygon", "coordinates": []}, "without an outline"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, None], [4, 5]]]}, "point 2"),
        (None, "not as QuPath writes it"),
    ],
)
def test_a_damaged_feature_is_named(written, geometry, sentence):
    data = json.loads(TEXT)
    data["features"][0]["geometry"] = geometry
    with pytest.raises(InputError) as caught:
        read_annotations(written(json.dumps(data)))
    assert sentence in str(caught.value)


def test_regions_of_several_slices_are_said(written):
    data = json.loads(TEXT)
    data["features"][0]["geometry"]["plane"] = {"c": -1, "z": 4, "t": 0}
    (found,) = read_annotations(written(json.dumps(data)), {"field 3.png": (30, 40)})
    assert "regions of several slices or channels were read as of one image" in found.notes
    assert np.unique(rasterize(found)).tolist() == [-1, 0, 1, 2, 3]
