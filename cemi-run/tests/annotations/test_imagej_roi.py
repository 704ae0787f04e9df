"""Regions as ImageJ writes them, byte by byte."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.errors import CemiError, InputError
from cemi_run.annotations import rasterize, read_annotations

SIZE = {"RoiSet.tif": (60, 80)}
POLYGON, RECT, OVAL, LINE, FREELINE, POLYLINE, FREEHAND, TRACED, POINT = 0, 1, 2, 3, 4, 5, 7, 8, 10


def read(path, **options):
    (found,) = read_annotations(path, SIZE, **options)
    return found


def test_integer_areas_are_corners_and_points_are_centres_of_pixels(zipped, imagej):
    path = zipped(
        "RoiSet.zip",
        [
            ("0005-0004.roi", imagej(POLYGON, [2, 7, 7, 2], [3, 3, 9, 9], "pore-0001")),
            ("0012-0030.roi", imagej(RECT, [], [], "pore-0002", box=(10, 20, 14, 26))),
            ("0012-0050.roi", imagej(OVAL, [], [], "particle 1", box=(10, 40, 30, 60))),
            ("0040-0010.roi", imagej(TRACED, [5, 8, 8, 5], [40, 40, 41, 41], "particle 2")),
            ("0040-0020.roi", imagej(FREEHAND, [20.5, 24.25, 22.5], [40.5, 40.5, 44.75], "particle 3", subpixel=True)),
            ("0050-0010.roi", imagej(POINT, [10, 12], [50, 52], "atoms")),
            ("0050-0020.roi", imagej(POLYLINE, [20, 30, 40], [50, 55, 50], "crack", stroke=3)),
            (
                "0050-0030.roi",
                imagej(LINE, [], [], "crack", box=(0, 0, 1, 1), header=struct.pack(">4f", 50, 50, 60, 52)),
            ),
        ],
    )
    found = read(path)
    assert found.image == "RoiSet.tif" and found.notes == ()
    assert [label.name for label in found.classes] == ["pore", "particle", "atoms", "crack"]
    polygon, box, oval, traced, free, points, polyline, line = found.shapes
    assert polygon.outline_px.tolist() == [[2.5, 1.5], [2.5, 6.5], [8.5, 6.5], [8.5, 1.5]]
    assert box.outline_px.min(0).tolist() == [9.5, 19.5] and box.outline_px.max(0).tolist() == [13.5, 25.5]
    assert oval.outline_px.mean(0) == pytest.approx([19.5, 49.5])
    assert np.count_nonzero(rasterize(found)[10:30, 40:60] == 1) == pytest.approx(np.pi * 100, rel=0.01)
    assert (rasterize(found)[40, 4:9] == 1).tolist() == [False, True, True, True, False]
    assert free.outline_px.tolist() == [[40, 20], [40, 23.75], [44.25, 22]]
    assert points.kind == "points" and points.outline_px.tolist() == [[50, 10], [52, 12]]
    assert polyline.kind == "line" and polyline.outline_px[0].tolist() == [50, 20] and polyline.width_px == 3
    assert line.outline_px.tolist() == [[50, 50], [52, 60]] and traced.kind == "area"


def test_a_composite_has_its_holes_and_parts(zipped, imagej):
    path = struct.pack(
        ">" + "f" * 39,
        *(0, 10, 10, 1, 30, 10, 1, 30, 30, 1, 10, 30, 4),
        *(0, 15, 15, 1, 15, 25, 1, 25, 25, 1, 25, 15, 4),
        *(0, 40, 10, 1, 50, 10, 1, 50, 20, 1, 40, 20, 4),
    )
    content = imagej(RECT, [], [], "grain", box=(10, 10, 30, 50), tail=path, shape_size=39)
    found = read(zipped("RoiSet.zip", [("grain.roi", content)]))
    assert sorted(len(shape.holes_px) for shape in found.shapes) == [0, 1]
    assert found.shapes[0].group == found.shapes[1].group is not None
    assert (rasterize(found) == 0).sum() == 400 - 100 + 100


def test_curves_of_a_composite_are_followed(zipped, imagej):
    k = 0.5522847 * 10
    circle = (0, 30, 20, 3, 30, 20 + k, 20 + k, 30, 20, 30, 3, 20 - k, 30, 10, 20 + k, 10, 20,
              3, 10, 20 - k, 20 - k, 10, 20, 10, 3, 20 + k, 10, 30, 20 - k, 30, 20, 4)  # fmt: skip
    content = imagej(
        RECT, [], [], "g", box=(10, 10, 30, 30), tail=struct.pack(f">{len(circle)}f", *circle), shape_size=len(circle)
    )
    found = read(zipped("RoiSet.zip", [("g.roi", content)]))
    assert (rasterize(found) == 0).sum() == pytest.approx(np.pi * 100, rel=0.02)


def test_a_turned_ellipse_and_a_turned_rectangle_follow_their_axis(zipped, imagej):
    axis = struct.pack(">4f", 10, 10, 34, 42)  # x1, y1, x2, y2: 40 px long
    ellipse = imagej(FREEHAND, [10, 34, 30], [10, 42, 30], "e", subtype=3, header=axis, param=struct.pack(">f", 0.5))
    box = imagej(FREEHAND, [10, 34, 30], [10, 42, 30], "b", subtype=5, header=axis, param=struct.pack(">f", 8.0))
    (one,) = read_annotations(zipped("a.zip", [("e.roi", ellipse)]), {"a.tif": (60, 80)})
    (two,) = read_annotations(zipped("b.zip", [("b.roi", box)]), {"b.tif": (60, 80)})
    assert (rasterize(one) == 0).sum() == pytest.approx(np.pi * 20 * 10, rel=0.02)
    assert (rasterize(two) == 0).sum() == pytest.approx(40 * 8, rel=0.05)
    for found in (one, two):
        y, x = np.argwhere(rasterize(found) == 0).T
        assert (y.mean(), x.mean()) == pytest.approx((25.5, 21.5), abs=0.3)


def test_automatic_names_are_no_classes(zipped, imagej):
    entries = [("0005-0004.roi", imagej(POLYGON, [2, 7, 7], [3, 3, 9], "0005-0004"))]
    found = read(zipped("RoiSet.zip", entries))
    assert [label.name for label in found.classes] == ["object"]
    assert "shapes without a label were read as 'object'" in found.notes
    only = read(zipped("RoiSet.zip", entries), classes=["background", "pore"])
    assert [only.classes[shape.class_index].name for shape in only.shapes] == ["pore"]
    grouped = [("0005-0004.roi", imagej(POLYGON, [2, 7, 7], [3, 3, 9], "0005-0004", group=3))]
    assert read(zipped("RoiSet.zip", grouped)).classes[0].name == "group 3"


def test_a_single_region_is_read_and_the_size_is_guessed_without_image(tmp_path, imagej):
    (tmp_path / "x.roi").write_bytes(imagej(POLYGON, [2, 7, 7, 2], [3, 3, 9, 9], "pore"))
    (found,) = read_annotations(tmp_path / "x.roi")
    assert found.shape == (9, 7) and "7 x 9 px hold all shapes" in found.notes[0]


def test_texts_are_left_out_and_said(zipped, imagej):
    entries = [
        ("a.roi", imagej(POLYGON, [2, 7, 7], [3, 3, 9], "pore")),
        (
            "t.roi",
            imagej(RECT, [], [], "note", box=(1, 1, 5, 5), subtype=1, tail=struct.pack(">iiii", 9, 0, 0, 0) + bytes(4)),
        ),
    ]
    assert "1 regions of the kind 'text' were left out" in read(zipped("RoiSet.zip", entries)).notes


def test_names_that_point_outside_are_said_and_write_nothing(zipped, imagej, tmp_path):
    content = imagej(POLYGON, [2, 7, 7], [3, 3, 9], "pore")
    found = read(zipped("RoiSet.zip", [("../../evil.roi", content)]))
    assert "point outside ('../../evil.roi')" in found.notes[0] and len(found.shapes) == 1
    assert not list(tmp_path.parent.glob("**/evil.roi"))


def test_a_zip_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    import zipfile

    from cemi_run.annotations import files

    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.roi", bytes(5_000_000))
    with pytest.raises(InputError, match=r"unpack to 1 entries of 5 MB"):
        read_annotations(tmp_path / "b.zip")


@pytest.mark.parametrize("cut", [3, 40, 70])
def test_a_damaged_region_is_named(tmp_path, imagej, cut):
    (tmp_path / "x.roi").write_bytes(imagej(POLYGON, list(range(50)), list(range(50)), "pore")[:cut].ljust(4, b"t"))
    with pytest.raises(InputError, match=r"x\.roi"):
        read_annotations(tmp_path / "x.roi")


@settings(max_examples=150)
@given(st.integers(0, 250), st.integers(0, 255), st.booleans())
def test_any_byte_changed_in_a_region_ends_in_a_sentence_or_an_annotation(
    tmp_path_factory, imagej, place, value, subpixel
):
    content = bytearray(imagej(POLYGON, [2, 7, 7, 4], [3, 3, 9, 5], "pore-0001", subpixel=subpixel))
    content[place % len(content)] = value
    path = tmp_path_factory.mktemp("roi") / "x.roi"
    path.write_bytes(bytes(content))
    with suppress(CemiError):
        read_annotations(path, {"x.tif": (60, 80)})


def test_a_damaged_zip_is_named(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="damaged or protected zip"):
        read_annotations(tmp_path / "x.zip")


def test_a_nan_in_a_region_is_refused(zipped, imagej):
    content = imagej(POLYGON, [2.0, 7.0, 7.0], [3.0, 3.0, 9.0], "pore", subpixel=True)
    content = content.replace(struct.pack(">f", 9.0), struct.pack(">f", float("nan")))
    with pytest.raises(InputError, match="not two numbers"):
        read(zipped("RoiSet.zip", [("a.roi", content)]))
