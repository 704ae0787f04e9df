"""Annotations: what a person drew on an image, whatever program it was drawn with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.classes import ClassLabel

#: What an outline's vertices mean: a closed area, an open line (a grain boundary), or single points (atoms).
ShapeKind = Literal["area", "line", "points"]


@dataclass(frozen=True)
class AnnotatedShape:
    """One shape.

    Attributes
    ----------
    kind : {"area", "line", "points"}
    class_index : int
        Index into the annotation's classes.
    outline_px : ndarray of float64, shape (k, 2)
        Vertices (y, x) in image coordinates, px: the centre of the first pixel is (0, 0), so that an area which covers
        the whole first pixel begins at (-0.5, -0.5). At least three for an area, two for a line, one for points.
    holes_px : tuple of ndarray of float64, each (k, 2)
        Outlines inside an area that do not belong to it.
    group : int or None
        Shapes of one object that consists of several parts share a number.
    width_px : float or None
        Width of a line, px.
    """

    kind: ShapeKind
    class_index: int
    outline_px: NDArray[np.float64]
    holes_px: tuple[NDArray[np.float64], ...] = ()
    group: int | None = None
    width_px: float | None = None


@dataclass(frozen=True)
class Annotation:
    """What was drawn on one image: shapes, or a mask, or both.

    Attributes
    ----------
    image : str
        Name of the image's file, without folders.
    shape : tuple of int
        (height, width) of the image, px.
    classes : tuple of ClassLabel
        The legend; class 0 of a mask is the first of them.
    shapes : tuple of AnnotatedShape
    mask : ndarray of int32, shape (h, w), or None
        Class of each pixel, an index into ``classes``; -1 where nothing is said. None where only shapes are known.
    notes : tuple of str
        Sentences on what could not be kept, or was repaired: an anti-aliased mask, an unknown label.
    """

    image: str
    shape: tuple[int, int]
    classes: tuple[ClassLabel, ...]
    shapes: tuple[AnnotatedShape, ...] = ()
    mask: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.mask is not None and self.mask.shape != self.shape:
            raise InputError(
                f"the mask of '{self.image}' has {self.mask.shape[1]} x {self.mask.shape[0]} px, "
                f"and the image {self.shape[1]} x {self.shape[0]} px"
            )
