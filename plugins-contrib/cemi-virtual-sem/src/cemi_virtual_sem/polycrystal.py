"""A polycrystal: grains of different grey with dark boundaries, as in bright-field or channelling contrast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import label_objects
from cemi_specimens.plane import Plane
from cemi_specimens.random_field import lattice_uniform, smooth_noise
from cemi_virtual_sem.colonies import Tessellation, tessellate

_MARGIN_PX = 12


class PolycrystalSettings(SpecimenSettings):
    """What a polycrystal looks like."""

    grain_um: float = Field(6.0, gt=0, description="Mean width of a grain, um.")
    boundary_px: float = Field(5.0, ge=1, le=16, description="Width of a boundary in the truth, px (5 in annotations).")
    groove_px: float = Field(2.2, gt=0, le=8, description="Width of the dark line on a boundary, px.")
    groove_depth: float = Field(0.22, ge=0, le=1, description="How much darker a boundary is, grey levels.")
    grain_contrast: float = Field(0.28, ge=0, le=1, description="Range of grey levels of the grains.")
    mean_grey: float = Field(0.52, ge=0, le=1, description="Mean grey level.")


class Polycrystal(Plane):
    """A virtual polycrystal; neighbouring grains may have nearly the same grey, as in reality.

    Parameters
    ----------
    settings : PolycrystalSettings
        Sizes and contrasts.
    seed : int
        Another seed gives another specimen.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("boundary",)
    has_labels: ClassVar[bool] = True

    settings: PolycrystalSettings

    def __init__(self, settings: PolycrystalSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self._key = int(lattice_uniform(seed, [7], [17])[0, 0] * 2**24) * 64

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s = self.settings
        grains, away = self._grains(box)
        grey = grains.spread((grains.random(self._key + 5) - np.float32(0.5)) * np.float32(s.grain_contrast), box)
        grey = grey + np.float32(s.mean_grey)
        # Bend contours: soft stripes that differ from grain to grain.
        tilt = grains.spread(grains.random(self._key + 6), box)
        grey += np.float32(0.05) * np.sin(6 * (smooth_noise(self._key + 7, box, 24.0) + 4 * tilt))
        grey += np.float32(0.015) * smooth_noise(self._key + 8, box, 1.5)
        grey -= np.float32(s.groove_depth) * np.exp(-((away / np.float32(0.6 * s.groove_px)) ** 2))
        return grey

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the grain boundaries and the number of each pixel's grain."""
        grains, away = self._grains(box)
        numbers = grains.spread(grains.number(), box)
        return SpecimenTruth(masks={"boundary": away <= self.settings.boundary_px / 2}, labels=numbers)

    def objects(self, box: Box) -> Objects:
        """Return the grains whose centroid lies in a box."""
        # a grain competes within 1.92 mean widths of its centre, and so does its centroid
        reach = math.ceil(2 * 1.92 * self.settings.grain_um / self.pixel_size_um) + 1
        return label_objects(box, self.labels, reach, "grains", "Grains", self.pixel_size_um)

    def properties(self) -> Mapping[str, float]:
        """Return the density of the grains."""
        return {"grains_per_um2": 1 / self.settings.grain_um**2}

    def _grains(self, box: Box) -> tuple[Tessellation, NDArray[np.float32]]:
        """Return the grains of a box and each pixel's distance to the nearest boundary, px (at most the margin)."""
        grown = box.grown(_MARGIN_PX)
        grains = tessellate(grown, self.settings.grain_um / self.pixel_size_um, self._key, step=1)
        labels = grains.labels
        inner = np.ones(labels.shape, np.uint8)
        inner[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
        inner[1:][labels[1:] != labels[:-1]] = 0
        away = cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        cut = (slice(_MARGIN_PX, -_MARGIN_PX), slice(_MARGIN_PX, -_MARGIN_PX))
        here = Tessellation(labels[cut], 1, grains.node_y, grains.node_x, grains.centre_y_px, grains.centre_x_px)
        return here, np.minimum(away[cut], np.float32(_MARGIN_PX))


def make_polycrystal(settings: PolycrystalSettings, runtime: Runtime) -> Polycrystal:
    """Return the specimen; the seed is that of the runtime."""
    return Polycrystal(settings, runtime.seed)
