"""What every made specimen is: an endless plane of grey levels with its truth, computed tile by tile on demand."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_specimens.random_field import lattice_uniform

TILE_PX = 512
_HALO_PX = 8
_TILES_KEPT = 32
_LABEL_TILES_KEPT = 64


_Tile = TypeVar("_Tile")


class Plane(ABC):
    """An endless plane of grey levels.

    Tiles of 512 x 512 px, always cut and computed in the same way, make a pixel's value independent of the region
    that was asked for. Only the last few tiles are kept, so memory does not grow with the specimen.

    A specimen derives from it, names its masks, means and fields, and computes grey levels (`sharp`) and truth
    (`truth_of`) of a box; where `has_labels` is set its truth holds object numbers.

    Parameters
    ----------
    settings : SpecimenSettings
        Pixel size, extent and blur; each specimen adds its own.
    seed : int
        Another seed gives another specimen.
    """

    mask_names: ClassVar[tuple[str, ...]] = ()
    mean_names: ClassVar[tuple[str, ...]] = ()
    field_names: ClassVar[tuple[str, ...]] = ()
    has_labels: ClassVar[bool] = False

    def __init__(self, settings: SpecimenSettings, seed: int = 0) -> None:
        self.settings: Any = settings
        self.seed = seed
        self._tiles: OrderedDict[tuple[int, int], NDArray[np.float32]] = OrderedDict()
        self._label_tiles: OrderedDict[tuple[int, int], NDArray[np.int64]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def pixel_size_um(self) -> float:
        """Edge of a pixel, micrometres."""
        return float(self.settings.pixel_size)

    @property
    def extent_px(self) -> tuple[int, int]:
        """(height, width) over which planted trends run, px; the plane itself goes on beyond."""
        height, width = self.settings.extent_px
        return height, width

    @property
    def blur_px(self) -> float:
        """Standard deviation of the beam's point spread, px."""
        return float(self.settings.blur_px)

    def px(self, length_um: float) -> float:
        """Return a length in pixels."""
        return length_um / self.pixel_size_um

    def require_px(self, setting: str, low: float, high: float) -> None:
        """Raise a `UsageError` unless a setting in um is between two numbers of pixels."""
        value = getattr(self.settings, setting)
        if not low <= self.px(value) <= high:
            raise UsageError(
                f"{setting} of {value:g} um is {self.px(value):.3g} px; it must be {low:g} to {high:g} px: change "
                f"{setting} or pixel_size"
            )

    def key(self, salt: int) -> int:
        """Return a seed for the random numbers of this specimen; 64 of them (``key(salt) + 0 ... 63``) are its own."""
        return int(lattice_uniform(self.seed, [7], [salt])[0, 0] * 2**24) * 64

    @abstractmethod
    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them, float32 (h, w), black 0 and white 1."""

    @abstractmethod
    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the truth of a box, computed for this box."""

    def labels_of(self, box: Box) -> NDArray[np.int64]:
        """Return the object numbers of a box, computed for this box; where that is quicker than the whole truth."""
        found = self.truth_of(box).labels
        return np.zeros((box.height, box.width), np.int64) if found is None else found

    def objects(self, box: Box) -> Objects | None:
        """Return the objects whose centroid lies in a box; None for a specimen without objects."""
        return None

    def properties(self) -> Mapping[str, float]:
        """Return the planted numbers of the whole specimen, by names that carry their unit."""
        return {}

    def render(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels of a box as an ideal microscope would show them.

        Parameters
        ----------
        box : Box
            Any position, negative coordinates included.

        Returns
        -------
        ndarray of float32, shape (box.height, box.width)
            Values in [0, 1].
        """
        image = np.empty((box.height, box.width), np.float32)
        for tile, part in tiles_of(box):
            image[_within(part, box)] = self._tile(tile.y, tile.x)[_within(part, tile)]
        return image

    def truth(self, box: Box) -> SpecimenTruth:
        """Return the truth of a box, pixel by pixel; the same for a pixel in whatever box it is asked for."""
        shape = (box.height, box.width)
        masks = {name: np.zeros(shape, bool) for name in self.mask_names}
        means = {name: (np.zeros(shape, np.float32), np.zeros(shape, bool)) for name in self.mean_names}
        fields = {name: np.zeros(shape, np.float32) for name in self.field_names}
        labels = np.zeros(shape, np.int64) if self.has_labels else None
        for tile, part in tiles_of(box):
            truth, target, source = self.truth_of(tile), _within(part, box), _within(part, tile)
            for name, mask in masks.items():
                mask[target] = truth.masks[name][source]
            for name, (values, defined) in means.items():
                values[target], defined[target] = truth.means[name][0][source], truth.means[name][1][source]
            for name, field in fields.items():
                field[target] = truth.fields[name][source]
            if labels is not None and truth.labels is not None:
                labels[target] = truth.labels[source]
        return SpecimenTruth(masks, means, labels, fields)

    def labels(self, box: Box) -> NDArray[np.int64]:
        """Return the object numbers of a box, 0 for none; tiles are kept, as boxes of objects overlap."""
        labels = np.zeros((box.height, box.width), np.int64)
        for tile, part in tiles_of(box):
            labels[_within(part, box)] = self._label_tile(tile)[_within(part, tile)]
        return labels

    def _label_tile(self, tile: Box) -> NDArray[np.int64]:
        kept = _recall(self._label_tiles, (tile.y, tile.x), self._lock)
        if kept is None:
            kept = self.labels_of(tile)
            _keep(self._label_tiles, (tile.y, tile.x), kept, _LABEL_TILES_KEPT, self._lock)
        return kept

    def _tile(self, y: int, x: int) -> NDArray[np.float32]:
        kept = _recall(self._tiles, (y, x), self._lock)
        if kept is not None:
            return kept
        # the blur's kernel reaches four deviations far
        halo = max(_HALO_PX, math.ceil(4 * self.blur_px) + 1)
        sharp = self.sharp(Box(y, x, TILE_PX, TILE_PX).grown(halo))
        blurred = cv2.GaussianBlur(sharp, (0, 0), self.blur_px) if self.blur_px > 0 else sharp
        grey = np.clip(blurred[halo:-halo, halo:-halo], 0.0, 1.0).astype(np.float32, copy=False)
        _keep(self._tiles, (y, x), grey, _TILES_KEPT, self._lock)
        return grey

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_tiles", "_label_tiles", "_lock")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._tiles, self._label_tiles, self._lock = OrderedDict(), OrderedDict(), threading.Lock()


def _recall(tiles: OrderedDict[tuple[int, int], _Tile], key: tuple[int, int], lock: threading.Lock) -> _Tile | None:
    """Return a kept tile, which becomes the one used last, or None."""
    with lock:
        if key in tiles:
            tiles.move_to_end(key)
        return tiles.get(key)


def _keep(
    tiles: OrderedDict[tuple[int, int], _Tile], key: tuple[int, int], tile: _Tile, most: int, lock: threading.Lock
) -> None:
    """Keep a tile, and forget the one that was not used for longest."""
    with lock:
        tiles[key] = tile
        while len(tiles) > most:
            tiles.popitem(last=False)


def _within(part: Box, whole: Box) -> tuple[slice, slice]:
    return Box(part.y - whole.y, part.x - whole.x, part.height, part.width).slices


def tiles_of(box: Box) -> Iterator[tuple[Box, Box]]:
    """Yield the tiles that a box touches, each with the part of the box that lies in it."""
    for y in range(box.y // TILE_PX * TILE_PX, box.y + box.height, TILE_PX):
        for x in range(box.x // TILE_PX * TILE_PX, box.x + box.width, TILE_PX):
            top, left = max(y, box.y), max(x, box.x)
            bottom, right = min(y + TILE_PX, box.y + box.height), min(x + TILE_PX, box.x + box.width)
            yield Box(y, x, TILE_PX, TILE_PX), Box(top, left, bottom - top, right - left)
