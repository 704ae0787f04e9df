"""Files as Labelme writes them."""

import json

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_run.annotations import rasterize, read_annotations

# The shape "mask" holds the PNG that Pillow writes of a 4 x 5 mask with a hole of 2 px.
TEXT = """{
  "version": "5.5.0",
  "flags": {},
  "shapes": [
    {
      "label": "pore",
      "points": [[2.0, 3.0], [7.0, 3.0], [7.0, 9.0], [2.0, 9.0]],
      "group_id": null,
      "description": "",
      "shape_type": "polygon",
      "flags": {},
      "mask": null
    },
    {
      "label": "pore",
      "points": [[19.0, 9.0], [11.0, 3.0]],
      "group_id": null,
      "description": "",
      "shape_type": "rectangle",
      "flags": {},
      "mask": null
    },
    {
      "label": "particle",
      "points": [[30.5, 30.5], [30.5, 40.5]],
      "group_id": 4,
      "shape_type": "circle",
      "flags": {}
    },
    {
      "label": "particle",
      "points": [[45, 30], [48, 28], [49, 33]],
      "group_id": 4,
      "shape_type": "polygon",
      "flags": {}
    },
    {"label": "crack", "points": [[0.5, 20.5], [12.5, 24.5], [20.5, 20.5]], "group_id": null,
     "shape_type": "linestrip", "flags": {}},
    {"label": "crack", "points": [[1.0, 30.0], [9.0, 30.0]], "group_id": null, "shape_type": "line", "flags": {}},
    {"label": "atom", "points": [[40.5, 5.5]], "group_id": null, "shape_type": "point", "flags": {}},
    {
      "label": "pore",
      "points": [[24.0, 2.0], [28.0, 5.0]],
      "group_id": null,
      "shape_type": "mask",
      "flags": {},
      "mask": "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAEAQAAAABuSMjtAAAAEElEQVR4nGP4wfSAiYHhBwAMPALVA/YgZgAAAABJRU5ErkJggg=="
    }
  ],
  "imagePath": "..\\\\images\\\\field 3.tif",
  "imageData": null,
  "imageHeight": 50,
  "imageWidth": 60
}"""


@pytest.fixture
def written(tmp_path):
    def write(text=TEXT, name="field 3.json"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_every_kind_of_shape_lies_where_it_was_drawn(written):
    (found,) = read_annotations(written())
    assert (found.image, found.shape) == ("field 3.tif", (50, 60))
    assert [label.name for label in found.classes] == ["pore", "particle", "crack", "atom"]
    assert [shape.kind for shape in found.shapes] == ["area"] * 4 + ["line", "line", "points", "area"]
    polygon, box, circle, part, strip, line, atom, mask = found.shapes
    # the canvas begins at the corner of the first pixel: 2..7 covers the columns 2 to 6
    assert polygon.outline_px.min(0).tolist() == [2.5, 1.5] and polygon.outline_px.max(0).tolist() == [8.5, 6.5]
    assert box.outline_px.min(0).tolist() == [2.5, 10.5]
    assert circle.outline_px.mean(0) == pytest.approx([30, 30]) and circle.outline_px.max(0) == pytest.approx(
        [40, 40], abs=0.03
    )
    assert circle.group == part.group == 4
    assert strip.outline_px.tolist() == [[20, 0], [24, 12], [20, 20]] and len(line.outline_px) == 2
    assert atom.outline_px.tolist() == [[5, 40]]
    assert len(mask.holes_px) == 1
    covered = rasterize(found)
    assert np.argwhere(covered[:, 20:30] == 0).min(0).tolist() == [2, 4]
    assert (covered[2:6, 24:29] == 0).sum() == 18 and covered[3, 26] == -1
    assert covered[3, 2] == 0 and covered[3, 1] == -1 and covered[8, 6] == 0 and covered[9, 6] == -1


def test_old_files_without_type_and_size_are_read(written, tmp_path):
    text = """{"flags": {}, "lineColor": [0, 255, 0, 128], "imagePath": "a.png", "imageData": null, "fillColor":
    [255, 0, 0, 128], "shapes": [{"line_color": null, "points": [[1, 1], [5, 1], [5, 7]], "fill_color": null,
    "label": "grain"}]}"""
    (found,) = read_annotations(written(text))
    assert found.shape == (7, 5)
    assert any("size of the image is unknown; 5 x 7 px" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shape_type": "blob"}, "'blob' is unknown"),
        ({"shape_type": "circle"}, "a circle has 4 points"),
        ({"points": [[1, 2], [3, "x"], [5, 6]]}, "a coordinate is 'x', not a number"),
        ({"points": [[1, 2], [3, float("nan")], [5, 6]]}, "point 2 is"),
        ({"points": [[1, 2], [1e300, 3], [5, 6]]}, "no image is that large"),
        ({"points": "abc"}, "not a list of"),
        ({"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "###"}, "not a PNG in base64"),
    ],
)
def test_a_damaged_shape_is_named_by_its_number(written, change, sentence):
    data = json.loads(TEXT)
    data["shapes"][0] |= change
    with pytest.raises(InputError, match="shape 1") as caught:
        read_annotations(written(json.dumps(data)))
    assert sentence in str(caught.value)


def test_a_missing_key_is_told_with_the_program(written):
    data = json.loads(TEXT)
    del data["shapes"][2]["label"]
    with pytest.raises(InputError, match="not as Labelme writes it \\('label' is missing\\)"):
        read_annotations(written(json.dumps(data)))
