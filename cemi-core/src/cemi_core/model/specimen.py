"""Specimens: made structures of which everything is known, rendered box by box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.settings import PositiveLengthUm, Settings


@dataclass(frozen=True)
class SpecimenTruth:
    """What is really there in a box, pixel by pixel.

    Attributes
    ----------
    masks : mapping of str to ndarray of bool, shape (h, w)
        Phases and structures, by name: ``"bcc"``, ``"boundary"``.
    means : mapping of str to (ndarray of float32, ndarray of bool), each (h, w)
        Quantities that are averaged over an area (``"lamella_spacing_um"``), and where they are defined.
    labels : ndarray of int64, shape (h, w), or None
        The number of the object that each pixel belongs to, 0 for none. An object has one number in every box.
    fields : mapping of str to ndarray of float32, shape (h, w)
        Quantities that are defined everywhere: ``"height_nm"``, ``"composition"``.
    """

    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    means: Mapping[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = field(default_factory=dict)
    labels: NDArray[np.int64] | None = None
    fields: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class SpecimenSettings(Settings):
    """What every specimen can be told; derive the settings of a specimen from it."""

    pixel_size: PositiveLengthUm = Field(0.1, description="Edge of a pixel, such as '100 nm'.")
    extent_px: tuple[PositiveInt, PositiveInt] = Field(
        (1200, 6000), description="(height, width) of the specimen, px; a planted trend runs over it."
    )
    blur_px: float = Field(0.6, ge=0, le=8, description="Standard deviation of the beam's point spread, px.")


@runtime_checkable
class Specimen(Protocol):
    """A made structure with its exact truth; picklable.

    A pixel has the same value, and an object the same number, in whatever box it is asked for; the seed decides
    everything. Boxes may lie anywhere, also beyond ``extent_px``.
    """

    @property
    def pixel_size_um(self) -> float:
        """Edge of a pixel, micrometres."""
        ...

    @property
    def extent_px(self) -> tuple[int, int]:
        """(height, width) of the specimen, px."""
        ...

    @property
    def mask_names(self) -> tuple[str, ...]:
        """Names of the masks in `truth`."""
        ...

    @property
    def mean_names(self) -> tuple[str, ...]:
        """Names of the means in `truth`."""
        ...

    def render(self, box: Box) -> NDArray[np.float32]:
        """Return the image of a box as an ideal microscope would show it, float32 (h, w) in [0, 1], without noise."""
        ...

    def truth(self, box: Box) -> SpecimenTruth:
        """Return the truth of a box."""
        ...

    def objects(self, box: Box) -> Objects | None:
        """Return the objects whose centroid lies in a box, complete and in specimen coordinates; None if it has none.

        Each object lies in exactly one of several boxes that cover a region without overlap.
        """
        ...

    def properties(self) -> Mapping[str, float]:
        """Return the planted numbers of the whole specimen, by names that carry their unit: ``"pore_fraction"``."""
        ...
