"""Annotated images in memory, and what is known of each: its name, its specimen, its classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.annotation import Annotation
from cemi_core.model.classes import ClassLabel
from cemi_core.model.frame import to_unit_range
from cemi_learn.digest import digest_of

#: The class of pixels of which nothing is said; no loss looks at them.
IGNORED = -1


@dataclass(frozen=True)
class LabelledImage:
    """One image with its mask.

    Attributes
    ----------
    name : str
        Of its file, without folders.
    pixels : ndarray, shape (h, w) or (c, h, w)
        uint8, uint16, or float in [0, 1].
    mask : ndarray of int32, shape (h, w)
        Class of each pixel, an index into the classes of the set; -1 where nothing is said.
    specimen : str
        What it was taken from: images of one specimen are never both trained on and measured on.
    """

    name: str
    pixels: NDArray[Any]
    mask: NDArray[np.int32]
    specimen: str

    @property
    def channels(self) -> NDArray[np.float32]:
        """The image as float32 in [0, 1], (c, h, w)."""
        unit = to_unit_range(self.pixels)
        return unit if unit.ndim == 3 else unit[None]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return int(self.pixels.shape[-2]), int(self.pixels.shape[-1])

    @property
    def digest(self) -> str:
        """Hash of its pixels, whatever its name."""
        return digest_of([self.pixels])

    def share_of(self, index: int) -> float:
        """Return the share of a class in the pixels of which something is said; NaN if nothing is."""
        said = self.mask != IGNORED
        return float((self.mask == index).sum() / said.sum()) if said.any() else float("nan")


@dataclass(frozen=True)
class LabelledSet:
    """Images with their masks and the legend that they share.

    Attributes
    ----------
    images : tuple of LabelledImage
    classes : tuple of ClassLabel
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[ClassLabel, ...]

    @property
    def specimens(self) -> tuple[str, ...]:
        """Names of the specimens, each once, in the order of the images."""
        return tuple(dict.fromkeys(image.specimen for image in self.images))

    @property
    def digest(self) -> str:
        """Hash of all pixels and masks."""
        return digest_of(array for image in self.images for array in (image.pixels, image.mask))

    def only(self, indices: Iterable[int]) -> LabelledSet:
        """Return the set of some of the images."""
        return replace(self, images=tuple(self.images[index] for index in sorted(indices)))

    def summary(self) -> str:
        """Return in words how much there is, for a card."""
        pixels = sum(image.mask.size for image in self.images)
        count, specimens = len(self.images), len(self.specimens)
        return (
            f"{count} annotated image{'s'[: count != 1]} ({pixels / 1e6:.1f} Mpx) of {specimens} "
            f"specimen{'s'[: specimens != 1]}, classes {', '.join(label.name for label in self.classes)}"
        )


def labelled_set(
    pixels: Mapping[str, NDArray[Any]], annotations: Sequence[Annotation], specimens: Mapping[str, str] | None = None
) -> LabelledSet:
    """Return the images that were annotated, with their masks, by the names of their files.

    Parameters
    ----------
    pixels : mapping of str to ndarray
        Images by name.
    annotations : sequence of Annotation
        With masks; their legends may order classes differently, and are brought into one.
    specimens : mapping of str to str, optional
        Specimen of each image; by default each image is a specimen of its own.

    Raises
    ------
    InputError
        An annotation has no image or no mask, or an image has several annotations.
    """
    classes: dict[str, ClassLabel] = {}
    found: dict[str, LabelledImage] = {}
    for annotation in annotations:
        name = annotation.image
        if name not in pixels:
            raise InputError(f"there is an annotation of '{name}', and no such image among {_some(pixels)}")
        if name in found:
            raise InputError(f"'{name}' is annotated twice: keep one of the two")
        if annotation.mask is None:
            raise InputError(f"the annotation of '{name}' has shapes and no mask: fill them in first")
        for label in annotation.classes:
            classes.setdefault(label.name, label)
        mask = _renumbered(annotation.mask, [list(classes).index(label.name) for label in annotation.classes])
        specimen = name if specimens is None else specimens.get(name, name)
        found[name] = LabelledImage(name, pixels[name], mask, specimen)
    return LabelledSet(tuple(found.values()), tuple(classes.values()))


def _renumbered(mask: NDArray[np.int32], numbers: Sequence[int]) -> NDArray[np.int32]:
    """Return a mask with other numbers for its classes; what is not a class of its legend stays as it is."""
    known = (mask >= 0) & (mask < len(numbers))
    if not numbers:
        return mask
    return np.where(known, np.asarray(numbers, np.int32)[np.where(known, mask, 0)], mask).astype(np.int32)


def _some(names: Iterable[str]) -> str:
    first = [f"'{name}'" for name in list(names)[:3]]
    return ", ".join(first) or "none"
