"""What is checked whatever the format: labels, names, shapes outside, damage, doubles."""

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cemi_core.errors import CemiError, InputError, UsageError
from cemi_run.annotations import FORMATS, rasterize, read_annotations, write_annotations
from cemi_run.annotations.image_names import KnownImages, file_name

SQUARE = [[10, 10], [30, 10], [30, 25], [10, 25]]


def labelme(folder, *shapes, name="a", size=(40, 50), image=None):
    """Write a Labelme file of (label, points[, shape_type])."""
    entries = [
        {"label": label, "points": points, "group_id": None, "shape_type": kind[0] if kind else "polygon", "flags": {}}
        for label, points, *kind in shapes
    ]
    data = {"version": "5.5.0", "flags": {}, "shapes": entries, "imagePath": image or f"{name}.tif", "imageData": None,
            "imageHeight": size[0], "imageWidth": size[1]}  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(data))
    return folder / f"{name}.json"


def test_an_unknown_label_is_told_with_a_close_match(tmp_path):
    path = labelme(tmp_path, ("Pores", SQUARE), ("dirt", SQUARE[::-1]))
    with pytest.raises(InputError) as caught:
        read_annotations(path, classes=["grain", "pore"])
    sentence = "unknown label 'Pores' (did you mean 'pore'?), 'dirt'; the classes are grain, pore"
    assert str(caught.value) == f"'{path}': {sentence}"
    (found,) = read_annotations(path, classes=["grain", "pore"], unknown="ignore")
    assert found.shapes == ()
    assert found.notes[:2] == (
        "label 'Pores' is not one of the classes and was ignored",
        "label 'dirt' is not one of the classes and was ignored",
    )


def test_labels_that_differ_in_case_or_space_only_are_one_class(tmp_path):
    path = labelme(tmp_path, ("Grain Boundary", SQUARE), ("grain_boundary ", [[1, 1], [5, 1], [5, 5]]))
    (found,) = read_annotations(path)
    assert [label.name for label in found.classes] == ["Grain Boundary"]
    assert found.notes == ("label 'grain_boundary ' was read as 'Grain Boundary'",)
    (declared,) = read_annotations(path, classes=["grain boundary"])
    assert len(declared.shapes) == 2 and "label 'Grain Boundary' was read as 'grain boundary'" in declared.notes


def test_shapes_outside_are_clipped_or_left_out_and_said(tmp_path):
    path = labelme(
        tmp_path,
        ("a", [[-20, 10], [30, 10], [30, 25], [-20, 25]]),
        ("a", [[100, 10], [130, 10], [130, 25]]),
        ("a", [[45, 5], [70, 5]], "line"),
        ("a", [[80, 5]], "point"),
        ("a", [[0, 30], [50.7, 30], [50.7, 40]]),
    )
    (found,) = read_annotations(path)
    assert found.notes == (
        "2 shapes lie outside the image and were left out",
        "2 shapes reach beyond the image and were clipped to it",
    )
    assert found.shapes[0].outline_px.min() == -0.5 and found.shapes[1].outline_px.max() == 49.5
    assert (rasterize(found)[10:25, :30] == 0).all()


def test_crossing_flat_and_doubled_shapes_are_said(tmp_path):
    path = labelme(
        tmp_path,
        ("a", [[10, 10], [30, 25], [30, 10], [10, 25]]),
        ("a", [[1, 1], [5, 5]]),
        ("a", [[1, 1], [5, 5], [3, 3]]),
        ("a", [[2, 2], [2, 2]], "line"),
        ("a", SQUARE),
        ("a", SQUARE),
    )
    (found,) = read_annotations(path)
    assert len(found.shapes) == 2
    assert found.notes == (
        "3 shapes have no area or length and were left out",
        "1 outlines cross themselves; where they cover a place twice it counts as outside",
        "1 shapes were drawn twice and were read once",
    )


def test_an_image_annotated_twice_is_refused_unless_both_say_the_same(tmp_path):
    one = labelme(tmp_path, ("a", SQUARE), name="one", image="x.tif")
    two = labelme(tmp_path, ("a", SQUARE), name="two", image="D:\\data\\x.tif")
    (found,) = read_annotations([one, two])
    assert found.notes == ("the image is annotated twice, both times the same; it was read once",)
    labelme(tmp_path, ("a", SQUARE[:3]), name="two", image="x.tif")
    with pytest.raises(
        InputError, match=r"image 'x.tif' is annotated twice, and differently, in '.*one.json' and '.*two.json'"
    ):
        read_annotations([one, two])


def test_an_annotation_of_another_size_is_scaled(tmp_path):
    path = labelme(tmp_path, ("a", SQUARE))
    (found,) = read_annotations(path, {"a.tif": (80, 100)})
    assert found.shapes[0].outline_px.min(0).tolist() == [19.5, 19.5]
    assert (rasterize(found)[20:50, 20:60] == 0).all() and (rasterize(found) == 0).sum() == 1200
    assert "it was enlarged by a factor of 2" in found.notes[0]
    with pytest.raises(InputError, match=r"50 x 40 px, and image 'a.tif' 51 x 40 px"):
        read_annotations(path, {"a.tif": (40, 51)})


def test_images_in_a_folder_give_names_and_sizes(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(images / "A.PNG")
    path = labelme(tmp_path, ("a", SQUARE), image="a.tif")
    (found,) = read_annotations(path, images)
    assert found.image == "A.PNG" and found.notes == ()
    (missing,) = read_annotations(labelme(tmp_path, ("a", SQUARE), name="b"), images)
    assert missing.notes == ("there is no image 'b.tif'",)
    with pytest.raises(InputError, match="is not a folder with images"):
        read_annotations(path, tmp_path / "nowhere")


def test_in_a_folder_with_annotation_files_pngs_are_the_images(tmp_path):
    labelme(tmp_path, ("a", SQUARE), image="a.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)).save(tmp_path / "a.png")
    (found,) = read_annotations(tmp_path)
    assert len(found.shapes) == 1


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a.tif", "a.tif"),
        ("..\\images\\a.tif", "a.tif"),
        ("C:\\data\\a b.tif", "a b.tif"),
        ("https://x.org/p/a%20b.png?token=3#f", "a b.png"),
        ("/data/upload/3/1a2b3c4d-a.tif", "a.tif"),
        ("upload/1a2b3c4d-a.tif", "a.tif"),
        ("/data/local-files/?d=sem%2Frun%201/a.tif", "a.tif"),
        ("deadbeef-a.tif", "deadbeef-a.tif"),
        ("010417#4_S2480009.tif", "010417#4_S2480009.tif"),
        ("tile [Grid@0 0].jpg", "tile [Grid@0 0].jpg"),
        ("gs://bucket/deep/a.tif", "a.tif"),
    ],
)
def test_names_of_images_are_told_from_paths_and_addresses(written, name):
    assert file_name(written) == name


def test_images_are_found_by_their_stem_but_not_guessed_among_several():
    known = KnownImages({"a.tif": (1, 1), "b.tif": (1, 1), "b.png": (1, 1), "mask of c.tif": (1, 1)})
    assert known.find("a_mask.png") == known.find("A.json") == known.find("12345678-a.jpg") == "a.tif"
    assert known.find("RoiSet_a.zip") == "a.tif" and known.find("a_RoiSet") == "a.tif"
    assert known.find("b.tif") == "b.tif" and known.find("b.json") is None and known.find("z.tif") is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b'{"shapes": [', "broken JSON"),
        (b'{"shapes": [], "imagePath": "caf\xe9.tif"}', "not UTF-8"),
        (b'{"a": 1}', "none of the known annotation formats"),
        (b"[]", "none of the known annotation formats"),
        (b"[" * 100_000, "not JSON that a program"),
        (b"hello", "none of the known annotation formats"),
        (b'{"shapes": [{"label": "a", "points": [[1, 1' + b"9" * 5000 + b']]}], "imagePath": "x"}', "not JSON"),
    ],
)
def test_damaged_files_end_in_one_sentence(tmp_path, content, sentence):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_annotations(tmp_path / "x.json")
    assert sentence in str(caught.value) and "x.json" in str(caught.value)


def test_a_byte_order_mark_and_utf_16_are_read(tmp_path):
    path = labelme(tmp_path, ("pöre", SQUARE))
    text = json.dumps(json.loads(path.read_text()), ensure_ascii=False)
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert read_annotations(path)[0].classes[0].name == "pöre"


def test_an_unknown_or_wrong_format_is_told(tmp_path):
    path = labelme(tmp_path, ("a", SQUARE))
    with pytest.raises(UsageError, match=r"unknown annotation format 'labelm' \(did you mean 'labelme'\?\)"):
        read_annotations(path, format="labelm")
    with pytest.raises(InputError, match="is not of the format 'coco'"):
        read_annotations(path, format="coco")
    with pytest.raises(InputError, match="does not exist"):
        read_annotations(tmp_path / "none.json")


def test_nothing_is_half_written(tmp_path, specimen):
    with pytest.raises(InputError, match="name a folder"):
        write_annotations([specimen, specimen], tmp_path / "x.geojson", "qupath")
    with pytest.raises(InputError, match="would share the file"):
        write_annotations([specimen, specimen], tmp_path / "folder", "qupath")
    with pytest.raises(InputError, match="no annotations to write"):
        write_annotations([], tmp_path / "x.json", "coco")
    with pytest.raises(CemiError, match="there is no folder"):
        write_annotations([specimen], tmp_path / "no" / "x.json", "coco")
    assert [p.name for p in tmp_path.iterdir()] in ([], ["folder"])


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=120)
@given(st.sampled_from(sorted(set(FORMATS) - {"mask-png", "imagej-roi"})), st.data())
def test_any_value_in_any_place_ends_in_a_sentence_or_an_annotation(tmp_path_factory, name, data):
    """Replaces one value in a good file with junk: only CemiError may come of it."""
    from cemi_core.model.annotation import AnnotatedShape, Annotation
    from cemi_core.model.classes import class_labels
    from cemi_run.annotations.geometry import ellipse

    folder = tmp_path_factory.mktemp("junk")
    good = Annotation(
        "a.tif",
        (30, 30),
        class_labels(["x", "y"]),
        (
            AnnotatedShape("area", 0, ellipse((10, 10), (6, 6)), (ellipse((10, 10), (3, 3)),)),
            AnnotatedShape("area", 1, ellipse((22, 22), (5, 5)), group=2),
            AnnotatedShape("line", 1, np.array([[1.0, 1.0], [5.0, 20.0]]), width_px=2.0),
            AnnotatedShape("points", 0, np.array([[25.0, 3.0], [26.0, 4.0]])),
        ),
    )
    target = folder / f"a{FORMATS[name].suffixes[0]}"
    write_annotations([good], target, name)
    content = json.loads(target.read_text())
    parent, key = None, None
    node = content
    for _ in range(data.draw(st.integers(1, 8))):
        if not isinstance(node, dict | list) or not node:
            break
        parent = node
        key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        node = node[key]
    parent[key] = data.draw(junk)
    target.write_text(json.dumps(content))
    with suppress(CemiError):
        read_annotations(target, {"a.tif": (30, 30)})
