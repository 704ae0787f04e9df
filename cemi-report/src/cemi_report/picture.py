"""The picture for the page: the mosaic at a size for reading, and details at full resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Mosaic

OVERVIEW_PX = 1600
STRIP_PX = 1400
DETAIL_PX = (432, 576)
_TILE_PX = 2048
#: Wider (or taller) pictures than this are also shown in strips.
_FOLD_ASPECT = 6.0


@dataclass(frozen=True)
class View:
    """A part of the mosaic, reduced for display.

    Attributes
    ----------
    box : Box
        The part, in mosaic pixels.
    image : ndarray of float32, shape (h, w)
        Mean brightness in [0, 1]; 0 where nothing was imaged.
    valid : ndarray of bool, shape (h, w)
    """

    box: Box
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @property
    def mosaic_px_per_px(self) -> float:
        """Mosaic pixels to one pixel of the view, along x."""
        return self.box.width / int(self.image.shape[1])


def _resampled(
    plane: NDArray[np.float32], region: tuple[float, float, float, float], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return ``region`` (left, upper, right, lower, at fractions of a pixel) of a plane in ``shape``."""
    resampled = Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=region)
    return np.asarray(resampled, dtype=np.float32)


def _binned(plane: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    height, width = (-(-side // factor) * factor for side in plane.shape)
    padded = np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])))
    tiles = padded.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(tiles.sum(axis=(1, 3)) / factor**2, dtype=np.float32)


def _read_binned(mosaic: Mosaic, box: Box, level: int, factor: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return brightness x weight, and weight, of a box of a level, averaged over factor x factor px, tile by tile."""
    out = (-(-box.height // factor), -(-box.width // factor))
    light, weight = np.zeros(out, np.float32), np.zeros(out, np.float32)
    edge = max(_TILE_PX // factor, 1) * factor
    for tile in box.tiles(edge, edge):
        valid = mosaic.read_valid(tile, level).astype(np.float32)
        image = np.nan_to_num(mosaic.read(tile, level), nan=0.0, posinf=1.0, neginf=0.0)
        y, x = (tile.y - box.y) // factor, (tile.x - box.x) // factor
        area = _binned(np.ones_like(valid), factor)  # less than 1 at the far edges
        here = np.s_[y : y + area.shape[0], x : x + area.shape[1]]
        weight[here] = _binned(valid, factor) / area
        light[here] = _binned(image * valid, factor) / area
    return light, weight


def read_view(mosaic: Mosaic, box: Box, max_height: int, max_width: int) -> View:
    """Return ``box`` of the mosaic (which must lie inside) in at most ``max_height`` x ``max_width`` px.

    Reads the coarsest level that is still fine enough, and that in tiles of at most 2048 px, so that memory does not
    grow with the mosaic, even where a mosaic has no levels.
    """
    reduction = max(box.height / max_height, box.width / max_width, 1.0)
    levels = [n for n in range(len(mosaic.level_shapes)) if 2**n <= reduction * 1.001]
    level = max(levels, default=0)
    step = 2**level
    factor = max(int(reduction / step), 1)
    y, x = box.y // step, box.x // step
    bottom, right = -(-(box.y + box.height) // step), -(-(box.x + box.width) // step)
    level_box = Box(y, x, bottom - y, right - x).clipped(mosaic.level_shapes[level])
    light, weight = _read_binned(mosaic, level_box, level, factor)
    pitch = step * factor
    left, upper = (box.x - x * step) / pitch, (box.y - y * step) / pitch
    region = (
        left,
        upper,
        min(left + box.width / pitch, light.shape[1]),
        min(upper + box.height / pitch, light.shape[0]),
    )
    shape = (max(round(box.height / reduction), 1), max(round(box.width / reduction), 1))
    light, weight = _resampled(light, region, shape), _resampled(weight, region, shape)
    valid = weight > 0.5
    image = np.where(valid, light / np.maximum(weight, 1e-6), 0.0).astype(np.float32)
    return View(box, image, valid)


def whole(mosaic: Mosaic) -> Box:
    """Return the box of the whole mosaic."""
    return Box(0, 0, mosaic.shape[0], mosaic.shape[1])


def overview(mosaic: Mosaic) -> View:
    """Return the whole mosaic in at most 1600 x 1600 px."""
    return read_view(mosaic, whole(mosaic), OVERVIEW_PX, OVERVIEW_PX)


def strips(mosaic: Mosaic) -> list[View]:
    """Return a very wide (or tall) mosaic cut into two to six strips that follow each other; nothing for others."""
    height, width = mosaic.shape
    aspect = max(width / height, height / width)
    if aspect <= _FOLD_ASPECT or max(height, width) < 2 * OVERVIEW_PX:
        return []
    parts = min(6, math.ceil(aspect / 4))
    along = width if width > height else height
    cuts = [round(along * n / parts) for n in range(parts + 1)]
    if width > height:
        boxes = [Box(0, a, height, b - a) for a, b in pairwise(cuts)]
    else:
        boxes = [Box(a, 0, b - a, width) for a, b in pairwise(cuts)]
    return [read_view(mosaic, box, STRIP_PX, STRIP_PX) for box in boxes]


def display_range(view: View) -> tuple[float, float]:
    """Return the brightnesses shown as black and white: the 0.5 and 99.5 percentiles of what was imaged."""
    seen = view.image[view.valid]
    if seen.size == 0:
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(seen, (0.5, 99.5)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _trusted(layout: Layout | None, box: Box) -> bool:
    return layout is None or not bool(layout.placed_by_prior[layout.frames_in(box)].any())


def _texture(view: View) -> float:
    """Return the contrast of what is larger than the noise of single pixels; -1 where a part was not imaged."""
    if not view.valid.all():
        return -1.0
    return float(_binned(view.image, 4)[: view.image.shape[0] // 4, : view.image.shape[1] // 4].std())


def details(mosaic: Mosaic, layout: Layout | None = None) -> list[View]:
    """Return up to three details at full resolution, from the two ends and the middle of the mosaic.

    In each third the place with most texture among nine is taken, only where every pixel was imaged and no frame was
    placed by the stage motion alone. A mosaic hardly larger than a detail has none.
    """
    height, width = (min(side, edge) for side, edge in zip(mosaic.shape, DETAIL_PX))
    if mosaic.shape[0] * mosaic.shape[1] < 4 * DETAIL_PX[0] * DETAIL_PX[1]:
        return []
    wide = mosaic.shape[1] >= mosaic.shape[0]
    found = []
    for third in range(3):
        best: tuple[float, View | None] = (0.0, None)
        for along in (0.15, 0.5, 0.85):
            for across in (0.25, 0.5, 0.75):
                u, v = ((third + along) / 3, across) if wide else (across, (third + along) / 3)
                y = int(v * mosaic.shape[0] - height / 2)
                x = int(u * mosaic.shape[1] - width / 2)
                y, x = min(max(y, 0), mosaic.shape[0] - height), min(max(x, 0), mosaic.shape[1] - width)
                box = Box(y, x, height, width)
                if not _trusted(layout, box):
                    continue
                view = read_view(mosaic, box, height, width)
                best = max(best, (_texture(view), view), key=lambda scored: scored[0])
        if best[1] is not None:
            found.append(best[1])
    return found
