"""Layers: masks and probabilities of the size of the mosaic, stored beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cemi_core.model.classes import ClassLabel


@dataclass(frozen=True)
class LayerSpec:
    """What a layer shows.

    Attributes
    ----------
    name : str
        Short identifier, lower case with underscores: ``"lamella"``; also the name of its file.
    label : str
        Words for a legend: ``"Lamellar colonies"``.
    kind : {"mask", "probability", "classes"}
        ``mask``: 0 or 1 in each pixel. ``probability``: 0 to 1. ``classes``: an index into ``classes``; a pixel that
        belongs to none holds `NO_CLASS`.
    classes : tuple of ClassLabel
        The legend of a layer of classes; at most 255 of them. A mask has one at most, for its colour.
    """

    name: str
    label: str
    kind: Literal["mask", "probability", "classes"] = "mask"
    classes: tuple[ClassLabel, ...] = ()


#: Value of a pixel of a layer of classes that belongs to none of them.
NO_CLASS = 255


@dataclass(frozen=True)
class Layer:
    """A layer that was written.

    Attributes
    ----------
    spec : LayerSpec
    path : str
        Where it lies, relative to the run folder: ``"layers/lamella.h5"``; it opens as a mosaic.
    """

    spec: LayerSpec
    path: str
