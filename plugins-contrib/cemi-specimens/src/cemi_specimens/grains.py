"""What Voronoi, Laguerre and Potts polycrystals share: channelling contrast, grooved boundaries and grain numbers."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_specimens.label_objects import label_objects
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import number_uniform, smooth_noise

_MARGIN_PX = 12


class GrainSettings(SpecimenSettings):
    """What every polycrystal can be told."""

    grain_um: float = Field(5.0, gt=0, description="Diameter of a circle with the mean area of a grain, um.")
    boundary_px: float = Field(3.0, ge=1, le=16, description="Width of a boundary in the truth, px.")
    groove_px: float = Field(1.8, gt=0, le=8, description="Width of the dark line on a boundary, px.")
    groove_depth: float = Field(0.2, ge=0, le=1, description="How much darker a boundary is, grey levels.")
    grain_contrast: float = Field(0.3, ge=0, le=1, description="Range of grey levels of the grains.")
    mean_grey: float = Field(0.52, ge=0, le=1, description="Mean grey level.")


class Grains(Plane):
    """A polycrystal as electron channelling shows it: each grain has a grey of its own, boundaries are grooved.

    A specimen derives from it and says to which grain each pixel belongs (`numbers`).
    """

    mask_names: ClassVar[tuple[str, ...]] = ("boundary",)
    has_labels: ClassVar[bool] = True
    settings: GrainSettings

    def __init__(self, settings: GrainSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.require_px("grain_um", 3, 256)

    @abstractmethod
    def numbers(self, box: Box) -> NDArray[np.int64]:
        """Return for each pixel of a box the number of its grain, positive, the same in every box."""

    @property
    @abstractmethod
    def reach_px(self) -> int:
        """No pixel of a grain is farther than this from its centroid, px."""

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s, key = self.settings, self.key(101)
        numbers, away = self._grains(box)
        found, index = np.unique(numbers, return_inverse=True)
        shade = (number_uniform(key, found) - np.float32(0.5)) * np.float32(s.grain_contrast)
        grey = shade[index.reshape(numbers.shape)] + np.float32(s.mean_grey)
        grey += np.float32(0.01) * smooth_noise(key + 1, box, 1.5)
        grey -= np.float32(s.groove_depth) * np.exp(-((away / np.float32(0.6 * s.groove_px)) ** 2))
        return grey.astype(np.float32, copy=False)

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return grain numbers and the mask of the boundaries."""
        numbers, away = self._grains(box)
        return SpecimenTruth(masks={"boundary": away <= self.settings.boundary_px / 2}, labels=numbers)

    def labels_of(self, box: Box) -> NDArray[np.int64]:
        """Return the grain numbers of a box."""
        return self.numbers(box)

    def objects(self, box: Box) -> Objects:
        """Return the grains whose centroid lies in a box."""
        return label_objects(box, self.labels, self.reach_px, "grains", "Grains", self.pixel_size_um)

    def _grains(self, box: Box) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return grain numbers and each pixel's distance to the nearest boundary, px (at most the margin)."""
        numbers = self.numbers(box.grown(_MARGIN_PX))
        inner = np.ones(numbers.shape, np.uint8)
        beside, below = numbers[:, 1:] != numbers[:, :-1], numbers[1:] != numbers[:-1]
        inner[:, 1:][beside] = 0
        inner[:, :-1][beside] = 0
        inner[1:][below] = 0
        inner[:-1][below] = 0
        # the boundary runs between two pixels, half a pixel away from either
        away = cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) + np.float32(0.5)
        cut = (slice(_MARGIN_PX, -_MARGIN_PX), slice(_MARGIN_PX, -_MARGIN_PX))
        return numbers[cut], np.minimum(away[cut], np.float32(_MARGIN_PX))
