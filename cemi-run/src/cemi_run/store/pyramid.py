"""Levels of a mosaic: each pixel of a level is the mean of the imaged ones of the 2 x 2 pixels below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box
from cemi_run.store.protocol import MosaicStore, open_mosaic

_Reduce = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_TILE_PX = 2048  # edge of what is read at once: 16 MiB of float32


def halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``image`` (h, w) at half its size, rounded up.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        NaN where nothing was imaged.

    Returns
    -------
    ndarray of float32, shape (ceil(h / 2), ceil(w / 2))
        Mean of the imaged pixels of each 2 x 2; NaN where none was.
    """
    height, width = image.shape
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2)), constant_values=np.nan)
    pairs = image[0::2] + image[1::2]
    mean = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25)
    incomplete = np.isnan(mean)
    if incomplete.any():
        rows, columns = np.nonzero(incomplete)
        quarters = [image[dy::2, dx::2][rows, columns] for dy in (0, 1) for dx in (0, 1)]
        count = np.sum([~np.isnan(quarter) for quarter in quarters], axis=0)
        total = np.sum([np.nan_to_num(quarter, nan=0.0) for quarter in quarters], axis=0)
        mean[rows, columns] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def take_one(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``image`` (h, w) at half its size, rounded up: one of each 2 x 2 pixels, for numbers that have no mean."""
    return np.ascontiguousarray(image[::2, ::2])


def build_pyramid(
    store: MosaicStore,
    first_level: int = 1,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
    reduce: Callable[[NDArray[np.float32]], NDArray[np.float32]] = halve,
) -> None:
    """Fill the levels of a mosaic from ``first_level`` up, each from the one below; memory is bounded by a tile.

    Parameters
    ----------
    store : MosaicStore
        Open for writing; level ``first_level - 1`` is complete.
    first_level : int
        1 to build all; higher where the renderer has filled the first ones with `halve`.
    executor : Executor, optional
        Builds the regions of a level side by side, if the store lets several processes write (OME-Zarr). An HDF5
        file has one writer, so there the work is done here.
    progress : callable, optional
        Called with (regions done, regions in all).
    reduce : callable
        Makes a level from the one below: `halve`, or `take_one` for classes.
    """
    work = [(level, list(_regions(store, level))) for level in range(first_level, len(store.level_shapes))]
    total, done = sum(len(regions) for _, regions in work), 0
    for level, regions in work:
        for _ in _fill_all(store, level, regions, executor, reduce):
            done += 1
            if progress is not None:
                progress(done, total)


def _fill_all(
    store: MosaicStore, level: int, regions: list[Box], executor: Executor | None, reduce: _Reduce
) -> Iterator[None]:
    if executor is None or store.writer_px == store.shape:
        for region in regions:
            _fill(store, level, region, reduce)
            yield
    else:
        for task in as_completed(
            [executor.submit(_fill_by_path, store.path, level, region, reduce) for region in regions]
        ):
            yield task.result()


def _regions(store: MosaicStore, level: int) -> Iterator[Box]:
    """Yield the regions of a level, each of which one writer may fill without touching another's chunks."""
    height, width = store.writer_px if store.writer_px != store.shape else (_TILE_PX // 2, _TILE_PX // 2)
    return Box(0, 0, *store.level_shapes[level]).tiles(height, width)


def _fill_by_path(path: Path, level: int, region: Box, reduce: _Reduce) -> None:
    with open_mosaic(path, writable=True) as store:
        _fill(store, level, region, reduce)


def _fill(store: MosaicStore, level: int, region: Box, reduce: _Reduce) -> None:
    """Fill one region of a level from the level below, in memory as a whole (a shard: 4 x 16 MiB and its result)."""
    image = np.empty((region.height, region.width), np.float32)
    for tile in Box(0, 0, region.height, region.width).tiles(_TILE_PX // 2, _TILE_PX // 2):
        below = Box(2 * (region.y + tile.y), 2 * (region.x + tile.x), 2 * tile.height, 2 * tile.width)
        below = below.clipped(store.level_shapes[level - 1])
        source = store.read(below, level - 1)
        valid = store.read_valid(below, level - 1)
        if not valid.all():
            source[~valid] = np.nan
        image[tile.slices] = reduce(source)
    store.write(region, image, level)
