"""Claims about splits: no specimen is on both sides, and crops of one image stay together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.errors import InputError
from cemi_core.model.classes import class_labels
from cemi_learn.data.labelled import LabelledImage, LabelledSet
from cemi_learn.data.same_origin import groups_of, marks_of
from cemi_learn.data.split import split_into_folds, split_once


def noisy(seed, shape=(48, 48)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def labelled(specimens, arrays=None):
    images = []
    for number, specimen in enumerate(specimens):
        pixels = noisy(number) if arrays is None else arrays[number]
        images.append(LabelledImage(f"{number}.tif", pixels, (pixels > 127).astype(np.int32), specimen))
    return LabelledSet(tuple(images), class_labels(["matrix", "pore"]))


def names(data):
    return [image.name for image in data.images]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=20), st.integers(2, 4), st.integers(0, 99))
def test_folds_measure_each_image_once_and_never_see_its_specimen(specimens, folds, seed):
    data = labelled(specimens)
    if len(set(specimens)) < folds:
        with pytest.raises(InputError, match=rf"cannot be split into {folds} folds"):
            split_into_folds(data, folds, seed)
        return
    splits = split_into_folds(data, folds, seed)
    assert sorted(name for split in splits for name in names(split.validation)) == sorted(names(data))
    for split in splits:
        assert not set(split.train.specimens) & set(split.validation.specimens)
        assert sorted(names(split.train) + names(split.validation)) == sorted(names(data))
        assert split.train.images and split.validation.images


def test_the_same_seed_splits_in_the_same_way_and_another_one_does_not():
    data = labelled("abcdefghij")
    first, again, other = (split_once(data, 0.3, seed) for seed in (1, 1, 2))
    assert names(first.validation) == names(again.validation) != names(other.validation)
    assert len(first.validation.images) == 3


def test_folds_hold_about_as_many_pixels():
    data = labelled("aaaabbccddeefg")
    sizes = [sum(image.mask.size for image in split.validation.images) for split in split_into_folds(data, 3)]
    assert max(sizes) - min(sizes) <= 48 * 48


def test_one_specimen_cannot_be_split():
    with pytest.raises(InputError, match=r"3 images of 1 specimen cannot be split: annotate images of a second"):
        split_once(labelled("aaa"))


def test_overlapping_crops_of_one_image_stay_together_whatever_they_are_called():
    whole = noisy(7, (200, 300))
    crops = [whole[:120, :120], whole[70:190, 60:180], whole[:, 200:], noisy(8, (120, 120))]
    assert groups_of(crops, "abcd") == (0, 0, 2, 3)
    with pytest.raises(InputError, match=r"1 specimen \(some of the 2 that are named show the same pixels\)"):
        split_once(labelled("ab", crops[:2]))
    data = labelled("abcd", crops)
    for split in split_into_folds(data, 3):
        assert len({"0.tif", "1.tif"} & set(names(split.validation))) in (0, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_crops_are_known_in_every_type_of_pixels(dtype):
    whole = (noisy(3, (150, 150)).astype(float) * (200 if dtype == np.uint16 else 1)).astype(dtype)
    if dtype == np.float32:
        whole /= np.float32(255)
    common = marks_of(whole[:100, :100]) & marks_of(whole[41:, 37:])
    assert len(common) >= 3
    assert not marks_of(whole) & marks_of(noisy(4, (150, 150)).astype(dtype))


def test_images_that_share_flat_and_drawn_regions_are_not_taken_for_one():
    one, other = noisy(1, (120, 120)), noisy(2, (120, 120))
    for image in (one, other):
        image[:60] = 0
        image[60:66, ::2] = 255
        image[:40, 30:60] = np.arange(30, dtype=np.uint8) // 3 * 20
    assert groups_of([one, other], "ab") == (0, 1)


def test_equal_small_images_are_one():
    tiny = np.zeros((8, 8), np.uint8)
    assert groups_of([tiny, tiny.copy(), tiny + 1], "abc") == (0, 0, 2)
