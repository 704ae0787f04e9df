"""Claims about annotated images: read as they were drawn, and every mistake in them is one sentence with its image."""

import logging

import numpy as np
import pytest
import tifffile
import torch

from cemi_core.errors import InputError
from cemi_core.model.annotation import Annotation
from cemi_core.model.classes import class_labels
from cemi_learn.data.label_checks import check_labels, check_split, require_sound
from cemi_learn.data.labelled import IGNORED, LabelledImage, LabelledSet, labelled_set
from cemi_learn.data.patches import LabelledPatches
from cemi_learn.data.read import read_labelled
from cemi_learn.data.split import Split

CLASSES = class_labels(["matrix", "pore"])


def image_of(name="a.tif", share=0.2, bright=True, seed=0, specimen="a", shape=(40, 50)):
    """Return an image in which pores have a share and are bright or dark, and its mask."""
    rng = np.random.default_rng(seed)
    mask = (rng.random(shape) < share).astype(np.int32)
    grey = np.where((mask == 1) == bright, 180, 80) + rng.normal(0, 5, shape)
    return LabelledImage(name, grey.astype(np.uint8), mask, specimen)


def set_of(*images):
    return LabelledSet(images, CLASSES)


def told(data):
    return [(problem.image, problem.sentence, problem.fatal) for problem in check_labels(data)]


def test_sound_labels_have_no_problems():
    assert told(set_of(*(image_of(f"{n}.tif", seed=n) for n in range(5)))) == []


@pytest.mark.parametrize(
    ("change", "sentence", "fatal"),
    [
        (lambda mask: mask[:, :-3], "the mask has 47 x 40 px and the image 50 x 40 px", True),
        (lambda mask: np.full_like(mask, IGNORED), "nothing is annotated", True),
        (lambda mask: np.zeros_like(mask), "all that is annotated is 'matrix'", False),
        (lambda mask: mask * 7, "the mask holds 7; it may hold -1 for nothing said, 0 to 1 for the classes", True),
        (lambda mask: mask - 2, "the mask holds -2", True),
    ],
)
def test_what_is_wrong_with_a_mask_is_named(change, sentence, fatal):
    good, bad = image_of("good.tif"), image_of("bad.tif", seed=1)
    bad = LabelledImage(bad.name, bad.pixels, change(bad.mask), bad.specimen)
    ((image, said, is_fatal),) = told(set_of(good, bad))
    assert image == "bad.tif" and sentence in said and is_fatal is fatal


def test_a_mask_with_its_classes_exchanged_is_seen():
    images = [image_of(f"{n}.tif", seed=n) for n in range(5)]
    wrong = images[2]
    images[2] = LabelledImage(wrong.name, wrong.pixels, 1 - wrong.mask, wrong.specimen)
    ((image, said, fatal),) = told(set_of(*images))
    assert image == "2.tif" and "exchanged" in said and not fatal


def test_another_contrast_or_another_share_alone_is_not_taken_for_an_exchange():
    dark = image_of("dark.tif", bright=False, seed=9)
    full = image_of("full.tif", share=0.8, seed=8)
    assert told(set_of(*(image_of(f"{n}.tif", seed=n) for n in range(4)), dark, full)) == []


def test_a_class_that_no_image_has_is_named():
    data = LabelledSet((image_of(),), class_labels(["matrix", "pore", "crack"]))
    assert told(data) == [("", "no pixel of any image is 'crack'", False)]


def test_the_same_pixels_on_both_sides_of_a_split_are_named_whatever_their_names():
    one, copy = image_of("a.tif", specimen="a"), image_of("copy.tif", specimen="b")
    (problem,) = check_split(Split(set_of(one), set_of(copy)))
    assert problem.image == "copy.tif" and "has the pixels of 'a.tif', which is trained on" in problem.sentence
    other = image_of("c.tif", specimen="a", seed=3)
    (problem,) = check_split(Split(set_of(one), set_of(other)))
    assert "its specimen 'a' is trained on as well" in problem.sentence


def test_a_class_that_is_measured_and_never_learnt_is_named():
    plain = image_of("a.tif", share=0.0)
    (problem,) = check_split(Split(set_of(plain), set_of(image_of("b.tif", specimen="b", seed=1))))
    assert problem.fatal and "'pore' is measured and never seen in training" in problem.sentence


def test_fatal_problems_are_one_error_and_doubts_are_logged(caplog):
    data = set_of(
        LabelledImage("a.tif", np.zeros((4, 4), np.uint8), np.full((4, 4), 5, np.int32), "a"),
        LabelledImage("b.tif", np.ones((4, 4), np.uint8), np.full((4, 4), IGNORED, np.int32), "b"),
        image_of("c.tif", share=0.0),
    )
    with caplog.at_level(logging.WARNING, "cemi"), pytest.raises(InputError, match=r"'a.tif': .*; 'b.tif': nothing is"):
        require_sound(check_labels(data))
    assert "'c.tif': all that is annotated is 'matrix'" in caplog.text


def test_annotations_with_legends_in_another_order_become_one_set():
    mask = np.array([[0, 1], [IGNORED, 1]], np.int32)
    first = Annotation("a.tif", (2, 2), class_labels(["matrix", "pore"]), mask=mask)
    second = Annotation("b.tif", (2, 2), class_labels(["pore", "crack"]), mask=mask)
    pixels = {"a.tif": np.zeros((2, 2), np.uint8), "b.tif": np.ones((2, 2), np.uint8)}
    data = labelled_set(pixels, [first, second], {"b.tif": "S2"})
    assert [label.name for label in data.classes] == ["matrix", "pore", "crack"]
    assert data.images[0].mask.tolist() == mask.tolist()
    assert data.images[1].mask.tolist() == [[1, 2], [IGNORED, 2]]
    assert data.specimens == ("a.tif", "S2")
    assert "2 annotated images (0.0 Mpx) of 2 specimens, classes matrix, pore, crack" in data.summary()


def test_annotations_that_fit_nothing_are_one_sentence():
    mask = np.zeros((2, 2), np.int32)
    one = Annotation("a.tif", (2, 2), CLASSES, mask=mask)
    with pytest.raises(InputError, match=r"annotation of 'a.tif', and no such image among 'b.tif'"):
        labelled_set({"b.tif": mask}, [one])
    with pytest.raises(InputError, match="annotated twice"):
        labelled_set({"a.tif": mask}, [one, one])
    with pytest.raises(InputError, match="has shapes and no mask"):
        labelled_set({"a.tif": mask}, [Annotation("a.tif", (2, 2), CLASSES)])


@pytest.fixture
def files(tmp_path):
    """Images and masks of two specimens; pores are drawn white."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        image = image_of(seed=number)
        tifffile.imwrite(tmp_path / f"images/S{number // 2}_{number}.tif", image.pixels)
        tifffile.imwrite(tmp_path / f"masks/S{number // 2}_{number}.tif", (255 * image.mask).astype(np.uint8))
    return tmp_path


def test_files_of_images_and_masks_are_read_by_their_names(files):
    data = read_labelled(str(files / "images"), str(files / "masks"), ["matrix", "pore"], specimen="^(S[0-9]+)_")
    assert [image.name for image in data.images] == ["S0_0.tif", "S0_1.tif", "S1_2.tif"]
    assert data.specimens == ("S0", "S1")
    np.testing.assert_array_equal(data.images[1].mask, image_of(seed=1).mask)


def test_values_and_a_level_for_nothing_said_can_be_given(files):
    tifffile.imwrite(files / "masks/S0_0.tif", np.array([[10, 20], [99, 10]], np.uint8))
    data = read_labelled(
        str(files / "images/S0_0.tif"), str(files / "masks"), ["matrix", "pore"], values=[10, 20], ignored=99
    )
    assert data.images[0].mask.tolist() == [[0, 1], [IGNORED, 0]]


def test_files_that_do_not_fit_are_one_sentence(files):
    folders = str(files / "images"), str(files / "masks")
    with pytest.raises(InputError, match=r"finds no specimen in the name 'S0_0.tif'"):
        read_labelled(*folders, ["matrix", "pore"], specimen="^X")
    tifffile.imwrite(files / "masks/S0_0.tif", np.array([[0, 1], [254, 255]], np.uint8))
    with pytest.raises(InputError, match=r"S0_0.tif' holds the grey levels 254, 255, which stand for no class"):
        read_labelled(*folders, ["matrix", "pore"])
    (files / "masks/S1_2.tif").unlink()
    with pytest.raises(InputError, match=r"'S1_2.tif' has no mask of the same name; leave it out"):
        read_labelled(*folders, ["matrix", "pore"])


def test_a_batch_depends_on_its_step_alone_and_mask_and_image_stay_together():
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 2, shape).astype(np.int32) for shape in ((50, 60), (70, 40))]
    data = LabelledSet(
        tuple(LabelledImage(f"{n}", (mask * 200 + 20).astype(np.uint8), mask, f"{n}") for n, mask in enumerate(masks)),
        CLASSES,
    )
    patches = LabelledPatches(data, patch_px=32, batch=6, seed=3)
    (images, classes), (again, _), (others, _) = patches(5), patches(5), patches(6)
    assert images.shape == (6, 1, 32, 32) and classes.shape == (6, 32, 32) and classes.dtype == torch.int64
    assert torch.equal(images, again) and not torch.equal(images, others)
    assert torch.equal((images[:, 0] > 0.5).long(), classes)
    assert float(images.min()) >= 0 and float(images.max()) <= 1


def test_of_what_is_added_to_an_image_smaller_than_a_patch_nothing_is_said():
    images, classes = LabelledPatches(set_of(image_of(shape=(20, 30))), patch_px=32, batch=2)(0)
    assert images.shape[-2:] == (32, 32)
    assert ((classes == IGNORED).sum((1, 2)) == 32 * 32 - 20 * 30).all()


def test_grey_levels_are_spread_by_a_factor_and_the_mask_is_not():
    data = set_of(image_of())
    plain = LabelledPatches(data, 32, 4)(0)
    spread = LabelledPatches(data, 32, 4, contrast=(0.5, 0.5))(0)
    assert torch.equal(plain[1], spread[1])
    torch.testing.assert_close(spread[0].std((2, 3)), 0.5 * plain[0].std((2, 3)))


def test_images_of_different_channels_are_not_mixed():
    colour = LabelledImage("c", np.zeros((3, 40, 50), np.uint8), np.zeros((40, 50), np.int32), "c")
    with pytest.raises(InputError, match="images of 1 and 3 channels are mixed"):
        LabelledPatches(set_of(image_of(), colour))
    with pytest.raises(InputError, match="no annotated image"):
        LabelledPatches(set_of())
