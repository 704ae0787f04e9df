"""Annotated images from files: an image and its mask have the same name but for the suffix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES, read_pixels
from cemi_core.model.classes import class_labels
from cemi_learn.data.labelled import IGNORED, LabelledImage, LabelledSet


def read_labelled(
    images: str | Sequence[str],
    masks: str | Sequence[str],
    classes: Sequence[str],
    *,
    values: Sequence[int] | None = None,
    ignored: int | None = None,
    specimen: str | None = None,
) -> LabelledSet:
    """Read images with their masks.

    Parameters
    ----------
    images, masks : str or sequence of str
        Files, folders or patterns.
    classes : sequence of str
        Names, in the order of ``values``.
    values : sequence of int, optional
        Grey level of each class in a mask; by default 0, 1, 2, ..., and for masks in black and white 0 and the other
        level that there is.
    ignored : int, optional
        Grey level of pixels of which nothing is said.
    specimen : str, optional
        Regular expression with one group that finds the specimen in a file's name, such as ``"^(S[0-9]+)_"``; by
        default each image is a specimen of its own.

    Raises
    ------
    InputError
        A file cannot be read, an image has no mask, a mask has grey levels that stand for no class, or the expression
        does not fit a name.
    """
    files, drawn = (find_files(path, IMAGE_SUFFIXES, what) for path, what in ((images, "images"), (masks, "masks")))
    by_stem = {path.stem: path for path in drawn}
    missing = [path.name for path in files if path.stem not in by_stem]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f"'{missing[0]}' has no mask of the same name{more}; leave it out, or annotate it")
    read = []
    for path in files:
        mask = _mask(by_stem[path.stem], len(classes), values, ignored)
        read.append(LabelledImage(path.name, read_pixels(path), mask, specimen_of(path, specimen)))
    return LabelledSet(tuple(read), class_labels(classes))


def _mask(path: Path, classes: int, values: Sequence[int] | None, ignored: int | None) -> NDArray[np.int32]:
    grey = np.rint(read_pixels(path)).astype(np.int64)
    levels = [level for level in np.unique(grey).tolist() if level != ignored]
    if values is None:
        # drawn in black and white
        values = levels if classes == 2 and len(levels) == 2 and levels[0] == 0 else list(range(classes))
    unknown = [level for level in levels if level not in values]
    if unknown:
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise InputError(
            f"the mask '{path}' holds the grey levels {shown}, which stand for no class: classes are drawn as "
            f"{', '.join(map(str, values))}, each pixel one of them (save it without losses and smoothing)"
        )
    mask = np.full(grey.shape, IGNORED, np.int32)
    for index, value in enumerate(values):
        mask[grey == value] = index
    return mask


def specimen_of(path: Path, specimen: str | None) -> str:
    """Return the specimen of an image by its file's name; see ``specimen`` of `read_labelled`.

    Raises
    ------
    InputError
        The expression does not fit the name.
    """
    if specimen is None:
        return path.name
    match = re.search(specimen, path.name)
    if match is None or not match.groups():
        raise InputError(
            f"'{specimen}' finds no specimen in the name '{path.name}'; it needs one group, as ^(S[0-9]+)_"
        )
    return match.group(1)
