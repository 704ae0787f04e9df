"""Masks: values, palettes, colours, edges, sizes, legends."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from cemi_core.errors import InputError
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations import rasterize, read_annotations
from cemi_run.annotations.mask_levels import class_levels, levels_of


def disc(size=(80, 100), radius=25, value=1, dtype=np.uint8):
    y, x = np.mgrid[: size[0], : size[1]]
    return (np.hypot(y - size[0] / 2, x - size[1] / 2) < radius).astype(dtype) * dtype(value)


def save(folder, pixels, name="a.png", **options):
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name, **options)
    return folder / name


def one(path, classes=None, images=None, **options):
    (found,) = read_annotations(path, images, classes, **options)
    return found


@pytest.mark.parametrize("value", [1, 255])
def test_a_binary_mask_needs_no_legend(tmp_path, value):
    found = one(save(tmp_path, disc(value=value)))
    assert [label.name for label in found.classes] == ["background", "foreground"]
    assert np.array_equal(found.mask, disc().astype(np.int32)) and found.notes == ()


def test_values_are_given_to_declared_classes(tmp_path):
    direct = one(save(tmp_path, disc()), ["matrix", "pore"])
    scaled = one(save(tmp_path, disc(value=255)), ["matrix", "pore"])
    assert np.array_equal(direct.mask, scaled.mask) and direct.notes == ()
    assert "in their order (0: matrix, 255: pore)" in scaled.notes[0]
    three = disc(radius=30, value=100) + disc(radius=10, value=100)
    assert np.array_equal(np.unique(one(save(tmp_path, three), ["a", "b", "c"]).mask), [0, 1, 2])
    with pytest.raises(InputError, match=r"has the values 0, 100, 200, and there are 2 classes \(a, b\)"):
        one(save(tmp_path, three), ["a", "b"])


def test_255_says_nothing_where_the_other_values_are_indices(tmp_path):
    pixels = disc(radius=30) + disc(radius=10)
    pixels[:, :4] = 255
    found = one(save(tmp_path, pixels), ["a", "b", "c"])
    assert (found.mask[:, :4] == -1).all() and set(np.unique(found.mask)) == {-1, 0, 1, 2}
    assert "where the mask is 255 it says nothing" in found.notes


def test_sixteen_bit_and_one_bit_and_tiff_masks_are_read(tmp_path):
    expected = disc().astype(np.int32)
    assert np.array_equal(one(save(tmp_path, disc(value=1000, dtype=np.uint16))).mask, expected)
    Image.fromarray(disc() > 0).save(tmp_path / "b.png")
    assert np.array_equal(one(tmp_path / "b.png").mask, expected)
    tifffile.imwrite(tmp_path / "c.tif", disc().astype(np.float32))
    assert np.array_equal(one(tmp_path / "c.tif").mask, expected)
    tifffile.imwrite(tmp_path / "d.tif", disc().astype(np.float32) * 0.3)
    with pytest.raises(InputError, match="holds fractions"):
        one(tmp_path / "d.tif")


def test_a_palette_counts_by_its_entries_or_by_its_colours(tmp_path):
    image = Image.fromarray(disc(radius=30) * 2 + disc(radius=10))
    image.putpalette([0, 0, 0, 9, 9, 9, 255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.png")
    plain = one(tmp_path / "a.png")
    assert [(label.name, label.colour) for label in plain.classes] == [
        ("background", "#000000"), ("class 2", "#ff0000"), ("class 3", "#0000ff"),
    ]  # fmt: skip
    coloured = [
        ClassLabel("core", "", "#0000ff"),
        ClassLabel("matrix", "", "#000000"),
        ClassLabel("shell", "", "#ff0000"),
    ]
    named = one(tmp_path / "a.png", coloured)
    assert named.mask[40, 50] == 0 and named.mask[0, 0] == 1 and named.mask[40, 30] == 2


def test_an_anti_aliased_mask_is_snapped_without_rims_and_it_is_said(tmp_path):
    big = Image.new("L", (800, 640), 0)
    draw = ImageDraw.Draw(big)
    draw.ellipse((100, 80, 600, 560), fill=255)
    draw.rectangle((620, 100, 760, 300), fill=128)
    smooth = np.asarray(big.resize((200, 160), Image.Resampling.BILINEAR))
    assert len(np.unique(smooth)) > 20
    found = one(save(tmp_path, smooth), ["matrix", "grain", "pore"])
    sharp = np.asarray(big)[2::4, 2::4]
    expected = np.select([sharp == 255, sharp == 128], [2, 1], 0)
    assert np.count_nonzero(found.mask != expected) / expected.size < 0.01
    assert (found.mask[:, :150] != 1).all()  # no rim of grey around the white grain
    assert "anti-aliased or lossy" in found.notes[0]


def test_a_jpeg_mask_is_snapped(tmp_path, compare):
    Image.fromarray(disc(radius=30, value=255)).save(tmp_path / "a.jpg", quality=70)
    found = one(tmp_path / "a.jpg", ["matrix", "pore"])
    assert compare["differing_px"](disc(radius=30) > 0, found.mask == 1) < 2
    assert np.count_nonzero(found.mask != disc(radius=30)) / found.mask.size < 0.02
    assert any("lossy" in note for note in found.notes)


def test_a_thin_line_keeps_its_value(tmp_path):
    pixels = disc(radius=30, value=255)
    pixels[3, 5:90] = 128
    found = one(save(tmp_path, pixels), ["matrix", "crack", "pore"])
    assert (found.mask[3, 5:90] == 1).all() and found.notes[0].startswith("the mask's values were given")


def test_a_grey_image_is_no_mask(tmp_path):
    generator = np.random.default_rng(1)
    with pytest.raises(InputError, match="not a mask"):
        one(save(tmp_path, generator.integers(0, 255, (80, 80), dtype=np.uint8)))


def test_numbered_objects_become_areas_of_one_class(tmp_path):
    numbers = np.zeros((120, 120), np.uint16)
    for k in range(100):
        y, x = divmod(k, 10)
        numbers[12 * y + 2 : 12 * y + 9, 12 * x + 2 : 12 * x + 8] = k + 1
    found = one(save(tmp_path, numbers))
    assert len(found.shapes) == 100 and found.mask is None
    assert any("numbers 100 objects" in note for note in found.notes)
    assert np.array_equal(rasterize(found) == 0, numbers > 0)


def coloured():
    pixels = np.zeros((80, 100, 3), np.uint8)
    pixels[disc(radius=30) > 0] = (255, 0, 0)
    pixels[disc(radius=10) > 0] = (0, 0, 255)
    return pixels


def test_colours_are_classes_by_a_legend_or_get_their_own_names(tmp_path):
    path = save(tmp_path, coloured())
    plain = one(path)
    assert {label.name for label in plain.classes} == {"#000000", "#0000ff", "#ff0000"}
    assert "the mask has no legend; classes were named after their colours" in plain.notes
    named = [
        ClassLabel("background", "", "#000000"),
        ClassLabel("shell", "", "#ff0000"),
        ClassLabel("core", "", "#0000ff"),
    ]
    assert np.array_equal(one(path, named).mask, disc(radius=30).astype(np.int32) + disc(radius=10))
    with pytest.raises(InputError, match=r"unknown label '#0000ff'"):
        one(path, named[:2])
    ignored = one(path, named[:2], unknown="ignore")
    assert ignored.mask[40, 50] == -1 and "label '#0000ff' is not one of the classes and was ignored" in ignored.notes
    with pytest.raises(
        InputError, match=r"the colours #000000 \(.*no class names its colour; give them, such as 'a=#000000'"
    ):
        one(path, ["a", "b", "c"])


def test_a_transparent_mask_says_nothing_where_nothing_was_painted(tmp_path):
    pixels = np.dstack([coloured(), (disc(radius=30) * 255)])
    found = one(save(tmp_path, pixels))
    assert (found.mask[0, 0], found.mask[40, 50] >= 0) == (-1, True)
    assert any("is transparent" in note for note in found.notes)


def test_a_mask_without_a_painted_pixel_says_nothing(tmp_path):
    pixels = np.dstack([coloured(), np.zeros((80, 100), np.uint8)])
    found = one(save(tmp_path, pixels))
    assert (found.mask == -1).all() and "nothing is annotated" in found.notes


def test_a_grey_image_that_was_painted_over_says_nothing_of_its_grey_pixels(tmp_path):
    grey = np.random.default_rng(2).integers(90, 160, (80, 100), dtype=np.uint8)
    pixels = np.repeat(grey[..., None], 3, 2)
    pixels[disc(radius=30) > 0] = (0, 0, 255)
    found = one(save(tmp_path, pixels), [ClassLabel("pore", "", "#0000ff")])
    assert np.array_equal(found.mask == 0, disc(radius=30) > 0) and (found.mask[0] == -1).all()
    assert any("painted over" in note for note in found.notes)


def test_a_legend_beside_the_masks_names_values_and_images(tmp_path):
    path = save(tmp_path, disc(radius=30, value=7) + disc(radius=10, value=4))
    legend = {"classes": [{"value": 0, "name": "matrix"}, {"value": 7, "name": "pore"}], "nothing": 11,
              "images": {"a.png": "field.tif"}}  # fmt: skip
    (tmp_path / "classes.json").write_text(json.dumps(legend))
    found = one(path)
    assert found.image == "field.tif" and [label.name for label in found.classes] == ["matrix", "pore"]
    assert found.mask[40, 50] == -1 and found.mask[40, 30] == 1
    (found,) = read_annotations(tmp_path)
    assert found.image == "field.tif"


def test_the_label_map_of_cvat_names_colours(tmp_path):
    path = save(tmp_path, coloured())
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncore:0,0,255::\nshell:255,0,0::\n"
    (tmp_path / "labelmap.txt").write_text(text)
    found = one(path)
    assert [label.name for label in found.classes] == ["background", "core", "shell"]
    assert found.mask[40, 50] == 1 and found.mask[40, 30] == 2
    (tmp_path / "labelmap.txt").write_text("core;0;0;255\n")
    with pytest.raises(InputError, match=r"line 1: 'core;0;0;255' is not name:red,green,blue"):
        one(path)


def test_a_mask_of_another_size_is_scaled_by_a_whole_factor_or_refused(tmp_path):
    path = save(tmp_path, disc(), "a_mask.png")
    large = one(path, images={"a.tif": (240, 300)})
    assert (large.image, large.shape) == ("a.tif", (240, 300))
    assert np.array_equal(large.mask, disc().repeat(3, 0).repeat(3, 1))
    assert "it was enlarged by a factor of 3" in large.notes[0]
    small = one(path, images={"a.tif": (40, 50)})
    assert small.mask.shape == (40, 50) and abs((small.mask == 1).mean() - disc().mean()) < 0.01
    with pytest.raises(InputError, match=r"is of 100 x 80 px, and image 'a.tif' 101 x 80 px; they must be of one size"):
        one(path, images={"a.tif": (80, 101)})
    with pytest.raises(InputError, match="whole multiples"):
        one(path, images={"a.tif": (160, 300)})


def test_an_inverted_mask_in_a_set_is_told(tmp_path):
    for number in range(4):
        save(tmp_path, disc(radius=20 + number, value=255), f"{number}.png")
    save(tmp_path, 255 - disc(radius=21, value=255), "wrong.png")
    found = read_annotations(tmp_path, classes=["matrix", "pore"])
    told = {annotation.image: annotation.notes for annotation in found}
    assert any("looks inverted: 'pore' covers 83% of it, and 1" in note for note in told["wrong.png"])
    assert not any("inverted" in note for name, notes in told.items() if name != "wrong.png" for note in notes)


def test_a_single_mask_that_is_almost_all_object_is_told(tmp_path):
    found = one(save(tmp_path, 255 - disc(radius=10, value=255)))
    assert found.notes == ("'foreground' covers 96% of the mask: check that it is not inverted",)


def test_masks_of_different_fractions_are_not_called_inverted(tmp_path):
    for number, radius in enumerate((5, 15, 25, 35, 38)):
        save(tmp_path, disc(radius=radius, value=255), f"{number}.png")
    assert not any("inverted" in note for found in read_annotations(tmp_path) for note in found.notes)


def test_a_cut_file_and_a_picture_are_refused(tmp_path):
    path = save(tmp_path, np.random.default_rng(0).integers(0, 2, (200, 200), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"a\.png"):
        one(path)
    photo = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="mask"):
        one(save(tmp_path, photo, "b.png"))


def test_small_consecutive_values_are_all_classes():
    pixels = np.zeros((40, 40), np.uint8)
    pixels[5:9, 5:9], pixels[20:35, 20:35], pixels[30, :15] = 1, 2, 3
    assert class_levels(levels_of(pixels)).all()
