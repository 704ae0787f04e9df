"""What a file says, in its own words: labels are texts, image names are as written, nothing is checked yet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.annotation import ShapeKind
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.geometry import Outline, Vertices


@dataclass(frozen=True)
class DrawnShape:
    """One shape as a program wrote it, in CEMI's coordinates.

    Attributes
    ----------
    label : str
        As written; empty where the shape has none.
    kind, outline_px, holes_px, group, width_px
        As in `cemi_core.model.annotation.AnnotatedShape`.
    """

    label: str
    kind: ShapeKind
    outline_px: Vertices
    holes_px: tuple[Vertices, ...] = ()
    group: int | None = None
    width_px: float | None = None


@dataclass(frozen=True)
class Drawing:
    """What a file says about one image.

    Attributes
    ----------
    image : str
        Name of the image as written, or of the annotation file where the format names none.
    shape : tuple of int or None
        (height, width) in px; None where the file does not say.
    shapes : tuple of DrawnShape
    mask : ndarray of int32, shape (h, w), or None
        Index into ``mask_labels``; -1 where nothing is said.
    mask_labels : tuple of str
    notes : tuple of str
        Sentences on what could not be kept, or was repaired.
    source : str
        The file, for messages.
    named : bool
        False if the format has no place for the image's name.
    """

    image: str
    shape: tuple[int, int] | None
    shapes: tuple[DrawnShape, ...] = ()
    mask: NDArray[np.int32] | None = None
    mask_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    source: str = ""
    named: bool = True


@dataclass(frozen=True)
class Drawings:
    """What one file says about all its images, with the legend where it has one."""

    drawings: tuple[Drawing, ...]
    legend: tuple[ClassLabel, ...] = ()


def areas(label: str, parts: list[Outline], group: int | None) -> list[DrawnShape]:
    """Return one drawn area for each part."""
    return [DrawnShape(label, "area", part.outline_px, part.holes_px, group) for part in parts]


class Groups:
    """Hands out numbers for objects of several parts that do not collide with those in a file.

    Parameters
    ----------
    taken : iterable of int
        Numbers that the file itself uses.
    """

    def __init__(self, taken: set[int] | None = None) -> None:
        self._next = max(taken or {0}, default=0) + 1

    def new(self) -> int:
        """Return a number that was not handed out before."""
        self._next += 1
        return self._next - 1
