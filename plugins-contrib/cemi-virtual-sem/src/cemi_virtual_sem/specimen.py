"""What every virtual specimen is: a plane of grey levels with its truth, computed tile by tile on demand."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box

TILE_PX = 512
_HALO_PX = 8
_TILES_KEPT = 32


@dataclass(frozen=True)
class SpecimenTruth:
    """What is really there.

    Attributes
    ----------
    masks : dict of str to ndarray of bool, shape (h, w)
        Phases and structures, by name.
    means : dict of str to (ndarray of float32, ndarray of bool)
        Quantities that are averaged over an area (a spacing in um), and the pixels where they are defined.
    """

    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    means: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = field(default_factory=dict)


class Specimen(ABC):
    """An endless plane of grey levels.

    Tiles of 512 x 512 px, always cut and computed in the same way, make a pixel's value independent of the region
    that was asked for. Only the last few tiles are kept, so memory does not grow with the specimen.

    Parameters
    ----------
    pixel_size_um : float
        Edge of a pixel.
    extent_px : tuple of int
        (height, width) over which the planted trends run; the specimen itself goes on beyond.
    seed : int
        Another seed gives another specimen.
    blur_px : float
        Deviation of the beam's point spread, px.
    """

    name: ClassVar[str]
    mask_names: ClassVar[tuple[str, ...]]
    mean_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, *, pixel_size_um: float, extent_px: tuple[int, int] = (1200, 6000), seed: int = 0, blur_px: float = 0.6
    ) -> None:
        self.pixel_size_um = pixel_size_um
        self.extent_px = extent_px
        self.seed = seed
        self.blur_px = blur_px
        self._tiles: OrderedDict[tuple[int, int], NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    @abstractmethod
    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them, float32 (h, w), black 0 and white 1."""

    @abstractmethod
    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the truth of a box, computed for this box."""

    def render(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels of a box as an ideal microscope would show them.

        Parameters
        ----------
        box : Box
            Any place, negative coordinates included.

        Returns
        -------
        ndarray of float32, shape (box.height, box.width)
            Values in [0, 1].
        """
        picture = np.empty((box.height, box.width), np.float32)
        for tile, part in _tiles_of(box):
            grey = self._tile(tile.y, tile.x)
            picture[part.y - box.y :, part.x - box.x :][: part.height, : part.width] = grey[_within(part, tile)]
        return picture

    def truth(self, box: Box) -> SpecimenTruth:
        """Return the truth of a box, pixel by pixel; the same for a pixel in whatever box it is asked for."""
        masks = {name: np.zeros((box.height, box.width), bool) for name in self.mask_names}
        means = {
            name: (np.zeros((box.height, box.width), np.float32), np.zeros((box.height, box.width), bool))
            for name in self.mean_names
        }
        for tile, part in _tiles_of(box):
            truth, target, source = self.truth_of(tile), _within(part, box), _within(part, tile)
            for name, mask in masks.items():
                mask[target] = truth.masks[name][source]
            for name, (values, defined) in means.items():
                values[target], defined[target] = truth.means[name][0][source], truth.means[name][1][source]
        return SpecimenTruth(masks, means)

    def _tile(self, y: int, x: int) -> NDArray[np.float32]:
        with self._lock:
            if (y, x) in self._tiles:
                self._tiles.move_to_end((y, x))
                return self._tiles[y, x]
        sharp = self.sharp(Box(y, x, TILE_PX, TILE_PX).grown(_HALO_PX))
        blurred = cv2.GaussianBlur(sharp, (0, 0), self.blur_px) if self.blur_px > 0 else sharp
        grey = np.clip(blurred[_HALO_PX:-_HALO_PX, _HALO_PX:-_HALO_PX], 0.0, 1.0)
        with self._lock:
            self._tiles[y, x] = grey
            while len(self._tiles) > _TILES_KEPT:
                self._tiles.popitem(last=False)
        return grey

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_tiles", "_lock")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._tiles, self._lock = OrderedDict(), threading.Lock()


def _within(part: Box, whole: Box) -> tuple[slice, slice]:
    return Box(part.y - whole.y, part.x - whole.x, part.height, part.width).slices


def _tiles_of(box: Box) -> list[tuple[Box, Box]]:
    """Return the tiles that a box touches, each with the part of the box that lies in it."""
    pairs = []
    for y in range(box.y // TILE_PX * TILE_PX, box.y + box.height, TILE_PX):
        for x in range(box.x // TILE_PX * TILE_PX, box.x + box.width, TILE_PX):
            top, left = max(y, box.y), max(x, box.x)
            bottom, right = min(y + TILE_PX, box.y + box.height), min(x + TILE_PX, box.x + box.width)
            pairs.append((Box(y, x, TILE_PX, TILE_PX), Box(top, left, bottom - top, right - left)))
    return pairs
