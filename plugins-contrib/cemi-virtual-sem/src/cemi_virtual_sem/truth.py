"""The truth of a recording: block sums on a fine grid, from which the truth of any grid of cells follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import Specimen, SpecimenTruth
from cemi_specimens.plane import TILE_PX
from cemi_virtual_sem.specimens import SpecimenChoice

BLOCK_PX = 16
_MARGIN_PX = 96
_PER_TILE = TILE_PX // BLOCK_PX
_FULL_MASKS_UP_TO_PX = 32_000_000


def truth_box(choice: SpecimenChoice) -> Box:
    """Return the region for which truth is written: the recorded part and a margin, in whole tiles."""
    height, width = choice.extent_px
    top = left = -_MARGIN_PX // TILE_PX * TILE_PX
    bottom, right = (-(-(size + _MARGIN_PX) // TILE_PX) * TILE_PX for size in (height, width))
    return Box(top, left, bottom - top, right - left)


def write_truth(
    path: Path, choice: SpecimenChoice, session: str, progress: Callable[[], None] = lambda: None, threads: int = 2
) -> None:
    """Write ``truth.h5``; it appears under its name when it is complete.

    For each block of 16 x 16 px and each mask the number of its pixels, for each mean quantity and each field the sum
    and the number of pixels where it is defined; for specimens of up to 32 Mpx also masks and labels pixel by pixel,
    and the objects.

    Parameters
    ----------
    path : Path
        The file.
    choice : SpecimenChoice
        What was recorded.
    session : str
        Settings of the session, as JSON, kept as an attribute.
    progress : callable
        Called after each of `truth_steps` steps.
    threads : int
        Tiles computed at the same time.
    """
    partial, region, specimen = path.with_name(path.name + ".partial"), truth_box(choice), choice.make()
    with h5py.File(partial, "w") as file, ThreadPoolExecutor(threads) as pool:
        file.attrs.update(specimen=choice.to_json(), session=session, pixel_size_um=choice.pixel_size_um)
        file.attrs.update(block_px=BLOCK_PX, origin_y_px=region.y, origin_x_px=region.x)
        file.attrs.update(height_px=choice.extent_px[0], width_px=choice.extent_px[1])
        _create(file, specimen, region)
        for strip in region.tiles(TILE_PX, region.width):
            tiles = list(strip.tiles(TILE_PX, TILE_PX))
            # A few tiles at a time: their masks wait in memory until they are written.
            for start in range(0, len(tiles), 2 * threads):
                batch = tiles[start : start + 2 * threads]
                for tile, truth in zip(batch, pool.map(specimen.truth, batch), strict=True):
                    _write_tile(file, tile, region, truth)
                    progress()
        if region.height * region.width <= _FULL_MASKS_UP_TO_PX:
            _write_objects(file, specimen.objects(region))
    partial.replace(path)


def truth_steps(choice: SpecimenChoice) -> int:
    """Return how often `write_truth` calls ``progress``."""
    region = truth_box(choice)
    return (region.height // TILE_PX) * (region.width // TILE_PX)


def _create(file: h5py.File, specimen: Specimen, region: Box) -> None:
    shape = (region.height // BLOCK_PX, region.width // BLOCK_PX)
    packed: dict[str, Any] = {
        "chunks": (_PER_TILE, min(shape[1], 8 * _PER_TILE)),
        "compression": "gzip",
        "shuffle": True,
    }
    file.create_group("blocks/masks")
    for name in specimen.mask_names:
        file.create_dataset(f"blocks/masks/{name}", shape, np.uint16, **packed)
        if region.height * region.width <= _FULL_MASKS_UP_TO_PX:
            full = file.create_dataset(
                f"masks/{name}",
                (region.height, region.width),
                np.uint8,
                chunks=(TILE_PX, TILE_PX),
                compression="gzip",
                compression_opts=1,
            )
            full.attrs.update(origin_y_px=region.y, origin_x_px=region.x)
    probe = specimen.truth(Box(0, 0, 1, 1))
    for name in (*specimen.mean_names, *probe.fields):
        file.create_dataset(f"blocks/sums/{name}", shape, np.float32, **packed)
        file.create_dataset(f"blocks/counts/{name}", shape, np.uint16, **packed)
    if probe.labels is not None and region.height * region.width <= _FULL_MASKS_UP_TO_PX:
        labels = file.create_dataset(
            "labels",
            (region.height, region.width),
            np.int64,
            chunks=(TILE_PX, TILE_PX),
            compression="gzip",
            shuffle=True,
            compression_opts=1,
        )
        labels.attrs.update(origin_y_px=region.y, origin_x_px=region.x)


def _write_tile(file: h5py.File, tile: Box, region: Box, truth: SpecimenTruth) -> None:
    y, x = (tile.y - region.y) // BLOCK_PX, (tile.x - region.x) // BLOCK_PX
    there = (slice(y, y + _PER_TILE), slice(x, x + _PER_TILE))
    for name, mask in truth.masks.items():
        file[f"blocks/masks/{name}"][there] = _block_sums(mask)
        if f"masks/{name}" in file:
            full = Box(tile.y - region.y, tile.x - region.x, TILE_PX, TILE_PX)
            file[f"masks/{name}"][full.slices] = mask
    if truth.labels is not None and "labels" in file:
        file["labels"][Box(tile.y - region.y, tile.x - region.x, TILE_PX, TILE_PX).slices] = truth.labels
    everywhere = np.ones((TILE_PX, TILE_PX), bool)
    means = {**truth.means, **{name: (values, everywhere) for name, values in truth.fields.items()}}
    for name, (values, defined) in means.items():
        file[f"blocks/sums/{name}"][there] = _block_sums(np.where(defined, values, np.float32(0)))
        file[f"blocks/counts/{name}"][there] = _block_sums(defined)


def _write_objects(file: h5py.File, objects: Objects | None) -> None:
    """Write the objects as a group of columns; the attribute ``classes`` names what ``class_index`` counts."""
    if objects is None:
        return
    group = file.create_group("objects")
    group.attrs.update(name=objects.name, classes=[label.name for label in objects.classes])
    for name in ("y_px", "x_px", "area_px", "class_index"):
        group.create_dataset(name, data=getattr(objects, name))
    for column in objects.columns:
        group.create_dataset(column.name, data=column.values).attrs["unit"] = column.unit


def _block_sums(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(_PER_TILE, BLOCK_PX, _PER_TILE, BLOCK_PX).sum(axis=(1, 3))


def truth_on_grid(
    truth_path: str | Path, rows: int, columns: int, box: tuple[float, float, float, float] | Box
) -> dict[str, NDArray[np.float64]]:
    """Return the true value of each quantity in each cell of a grid over a mosaic.

    Parameters
    ----------
    truth_path : str or Path
        The ``truth.h5`` of a recording.
    rows, columns : int
        Cells; the last row and column take the remainder, as in `cemi_core.model.grid.Grid`.
    box : Box or (y, x, height, width)
        The mosaic in specimen coordinates: where its pixel (0, 0) lies (may be fractional), and its size in px.

    Returns
    -------
    dict of str to ndarray, shape (rows, columns)
        ``bcc_fraction``, ``lamella_fraction`` (0 to 1), ``lamella_spacing_um`` (mean over the lamellar area, one
        period of two phases; NaN in cells without lamellae) and ``lamella_orientation_deg`` (of the lamellae's normal
        against x, -90 to 90) for ehea; ``sr_fraction`` for pbse-srse; ``NAME_fraction`` for each mask of any specimen
        and the mean of each of its quantities and fields.

    Raises
    ------
    InputError
        The file is not a truth file, or the box leaves the region for which truth was written.
    """
    y, x, height, width = (box.y, box.x, box.height, box.width) if isinstance(box, Box) else box
    grid = Grid(rows, columns, (int(height), int(width)))
    cells_y = [(grid.box(r, 0).y + y, grid.box(r, 0).y + grid.box(r, 0).height + y) for r in range(rows)]
    cells_x = [(grid.box(0, c).x + x, grid.box(0, c).x + grid.box(0, c).width + x) for c in range(columns)]
    result: dict[str, NDArray[np.float64]] = {}
    with _open(truth_path) as file:
        sums = _CellSums(file, cells_y, cells_x)
        area = np.outer(*([b - a for a, b in cells] for cells in (cells_y, cells_x)))
        for name in file["blocks/masks"]:
            result[f"{name}_fraction"] = sums(f"blocks/masks/{name}") / area
        means = {}
        for name in file.get("blocks/sums", ()):
            count = sums(f"blocks/counts/{name}")
            with np.errstate(invalid="ignore", divide="ignore"):
                means[name] = np.where(count > 0.5, sums(f"blocks/sums/{name}") / count, np.nan)
    if "lamella_cos2" in means:
        cos2, sin2 = means.pop("lamella_cos2"), means.pop("lamella_sin2")
        means["lamella_orientation_deg"] = np.rad2deg(np.arctan2(sin2, cos2) / 2)
    return {**result, **means}


def _open(path: str | Path) -> h5py.File:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"cannot read '{path}' as the truth of a virtual recording: {error}") from None
    if "blocks/masks" not in file:
        file.close()
        raise InputError(f"'{path}' is an HDF5 file but not the truth of a virtual recording (it has no block sums)")
    return file


class _CellSums:
    """Sums over rectangular cells with fractional edges, block values being spread evenly over their block."""

    def __init__(self, file: h5py.File, cells_y: list[tuple[float, float]], cells_x: list[tuple[float, float]]) -> None:
        self._file = file
        kind = next((k for k in ("masks", "sums") if len(file.get(f"blocks/{k}", ()))), None)
        if kind is None:
            raise InputError(f"'{file.filename}' holds neither masks nor means of its specimen")
        rows, columns = next(iter(file[f"blocks/{kind}"].values())).shape
        origin_y, origin_x = file.attrs["origin_y_px"], file.attrs["origin_x_px"]
        block = file.attrs["block_px"]
        self._weights_y = _weights(cells_y, origin_y, rows, block, "y")
        self._weights_x = _weights(cells_x, origin_x, columns, block, "x")

    def __call__(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self._weights_y @ self._file[name][()].astype(float) @ self._weights_x.T)


def _weights(
    cells: Iterable[tuple[float, float]], origin: float, blocks: int, block_px: int, axis: str
) -> NDArray[np.float64]:
    """Return how much of each block lies in each cell, shape (cells, blocks)."""
    edges = origin + block_px * np.arange(blocks + 1)
    rows = []
    for low, high in cells:
        if low < edges[0] or high > edges[-1]:
            raise InputError(
                f"truth is known for {axis} from {edges[0]} to {edges[-1]} px of the specimen, "
                f"but a cell reaches from {low:.1f} to {high:.1f} px"
            )
        inside = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
        rows.append(np.clip(inside, 0, None) / block_px)
    return np.array(rows)


def profile_along_x(truth_path: str | Path, name: str, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x (um, centres of equal windows over the recorded width) and a quantity averaged over each window."""
    with _open(truth_path) as file:
        height, width = int(file.attrs["height_px"]), int(file.attrs["width_px"])
        pixel_size_um = float(file.attrs["pixel_size_um"])
    values = truth_on_grid(truth_path, 1, points, (0, 0, height, width))[name][0]
    _, x_px = Grid(1, points, (height, width)).centres_px()
    return np.array(x_px) * pixel_size_um, values
