"""The steps that measure: analyzers on the cells of the grid, and profiles along x."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import PluginError, UsageError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.channels import channel_file_names
from cemi_core.model.grid import Cells, FrameGrid, Grid
from cemi_core.model.layers import NO_CLASS, Layer, LayerSpec
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.objects import Objects
from cemi_core.model.result import (
    Profile,
    Result,
    profile_along_x,
    profile_of_frames,
    reasons_counted,
)
from cemi_core.model.stages import Analyzer, BlockInfo, Explains, WritesLayers
from cemi_core.numeric.objects import notes_on_cut, object_maps, placed_in_images
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import AnalyzerPlugin, owner_of
from cemi_run.engine.abilities import with_ability
from cemi_run.engine.executors import spread
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Context, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.recipe.schema import GridSpec
from cemi_run.steps.place import load_layout
from cemi_run.steps.unfit import unfit_cells, with_reasons
from cemi_run.store.channels import channel_paths, path_of_channel
from cemi_run.store.frame_cache import FRAMES_READ_LAST
from cemi_run.store.hdf5_table import new_hdf5_file, opened_hdf5_file
from cemi_run.store.object_table import write_objects, write_objects_csv
from cemi_run.store.protocol import MosaicStore, create_mosaic, open_mosaic
from cemi_run.store.pyramid import build_pyramid, halve, take_one
from cemi_run.store.run_file import read_frames_table, read_result, write_result

log = logging.getLogger("cemi")

#: Cells in which an analyzer that can is asked to draw what it has seen.
EXPLAINED_CELLS = 4
#: Edge of a cell where the recipe names no grid, px.
DEFAULT_CELL_PX = 500
_LARGEST_CELL_PX = 100_000_000


def cells_of(spec: GridSpec | Literal["frames"] | None, mosaic: Mosaic, folder: RunFolder) -> Cells:
    """Return the cells that a recipe asks for on this mosaic: a grid, or one of each image of the run.

    Raises
    ------
    UsageError
        As `grid_of`.
    """
    if spec != "frames":
        return grid_of(spec, mosaic)
    with opened_hdf5_file(folder.inner / "frames.h5") as table:
        frames, _ = read_frames_table(table)
    grid = frame_grid(load_layout(folder.output_of("layout")), [frame.name for frame in frames], mosaic.shape)
    _require_memory(grid)
    return grid


def grid_of(spec: GridSpec | None, mosaic: Mosaic) -> Grid:
    """Return the grid that a recipe asks for on this mosaic.

    Raises
    ------
    UsageError
        A cell in micrometres is asked for and the pixel size is unknown, or the cells are too large for memory.
    """
    height, width = mosaic.shape
    if spec is not None and spec.rows is not None and spec.columns is not None:
        grid = Grid(spec.rows, spec.columns, mosaic.shape)
    else:
        edge: float = DEFAULT_CELL_PX
        if spec is not None and spec.cell is not None:
            if mosaic.pixel_size_um is None:
                raise UsageError("'grid.cell' needs the pixel size, which is unknown; give 'pixel_size' in the source")
            edge = spec.cell / mosaic.pixel_size_um
        grid = Grid(max(1, round(height / edge)), max(1, round(width / edge)), mosaic.shape)
    _require_memory(grid)
    return grid


def _require_memory(grid: Cells) -> None:
    largest = math.prod(grid.cell_shape)
    if largest <= _LARGEST_CELL_PX:
        return
    limit = f"more than the memory of a task should hold ({_LARGEST_CELL_PX / 1e6:.0f} Mpx)"
    if isinstance(grid, FrameGrid):
        raise UsageError(f"an image has {largest / 1e6:.0f} Mpx, {limit}; crop the images")
    raise UsageError(
        f"a grid of {grid.rows} x {grid.columns} makes cells of {largest / 1e6:.0f} Mpx, {limit}; use more rows or "
        "columns"
    )


def frame_grid(layout: Layout, names: Sequence[str], shape: tuple[int, int]) -> FrameGrid:
    """Return one cell for each image of a layout that joins none."""
    corners = np.rint(layout.positions_px).astype(int)
    boxes = [Box(int(y), int(x), int(h), int(w)) for (y, x), (h, w) in zip(corners, layout.shapes, strict=True)]
    return FrameGrid(tuple(boxes), tuple(names), shape)


@dataclass(frozen=True)
class _AnalyzeTask:
    analyzer: Analyzer
    mosaics: tuple[Path, ...]
    grid: Cells
    with_layers: bool = False
    channels: tuple[str, ...] = ()
    together: bool = False


def analyze_mosaic(
    choice: Choice[AnalyzerPlugin],
    mosaic_step: str,
    name: str,
    spec: GridSpec | Literal["frames"] | None,
    masked_by: Mapping[str, Sequence[str]],
    context: Context,
) -> Outcome:
    """Measure every cell of the grid and merge the partial results; write objects and layers beside the mosaic.

    Cells that a step of ``masked_by`` put into one of the classes named there are left out, as if they had not been
    imaged, and the maps say why.
    """
    FRAMES_READ_LAST.clear()  # what follows reads the mosaic, and needs the room
    mosaic_path = context.folder.output_of(mosaic_step)
    with open_mosaic(mosaic_path) as mosaic:
        grid, pixel_size_um = cells_of(spec, mosaic, context.folder), mosaic.pixel_size_um
    abilities = choice.plugin.description.abilities_of(choice.settings)
    analyzer = make(choice.plugin, choice.settings, context.machine.runtime())
    if abilities.layers:
        with_ability(analyzer, WritesLayers, choice.plugin, "layers")
    unfit = unfit_cells((load_result(context.folder.output_of(step)), names) for step, names in masked_by.items())
    cells = [cell for cell in np.ndindex(grid.rows, grid.columns) if cell not in unfit]
    paths, channels, together = _measured(choice, mosaic_path)
    task = _AnalyzeTask(analyzer, paths, grid, bool(abilities.layers), channels, together)
    stem = name.removeprefix("analyze-")
    layers = [Layer(spec, f"layers/{stem}-{_safe(spec.name)}.h5") for spec in abilities.layers]
    measured: list[tuple[int, int]] = []

    with ExitStack() as stack:
        writers = [
            stack.enter_context(_layer_written(context.folder.path, layer, grid, pixel_size_um)) for layer in layers
        ]

        def partials() -> Iterator[tuple[int, int, Any]]:
            work = spread(context.executor, _analyze_batch, task, cells, in_flight=context.in_flight)
            for number, ((row, column), (partial, said)) in enumerate(work):
                context.progress(f"measuring {choice.name}", number + 1, len(cells))
                if said is not None:
                    measured.append((row, column))
                    for layer, writer in zip(layers, writers, strict=True):
                        _write_layer(writer, layer.spec, grid.box(row, column), said, analyzer)
                yield row, column, partial
            yield from ((row, column, None) for row, column in unfit)

        result: Result = analyzer.merge(partials(), (grid.rows, grid.columns))
        for layer, writer in zip(layers, writers, strict=True):
            build_pyramid(writer, reduce=take_one if layer.spec.kind == "classes" else halve)
    _check_result(result, analyzer, (grid.rows, grid.columns))
    tiled = not isinstance(grid, FrameGrid)  # an image that stands alone is measured in one piece: its edge cuts
    result = replace(
        result,
        maps=(*result.maps, *(m for objects in result.objects for m in object_maps(objects, grid, pixel_size_um))),
        notes=(*result.notes, *(notes_on_cut(result.objects, grid.shape, analyzer.halo) if tiled else ())),
        layers=tuple(layers),
    )
    result = with_reasons(result, unfit)
    if abilities.explains:
        explaining = with_ability(analyzer, Explains, choice.plugin, "explains")
        result = replace(result, overlays={**result.overlays, **_explained(explaining, task, measured)})
    result = of_channel(result, choice.channel)
    if isinstance(grid, FrameGrid):
        result = replace(result, objects=tuple(placed_in_images(objects, grid) for objects in result.objects))
    tables = _write_objects(context.folder.path, stem, result.objects, pixel_size_um)
    path = context.folder.inner / f"{name}.h5"
    with new_hdf5_file(path) as file:
        write_result(file, result, [context.folder.relative(table) for table in tables[::2]])
        file.attrs["rows"], file.attrs["columns"] = grid.rows, grid.columns
    outputs = [path, *tables, *(context.folder.path / layer.path for layer in layers)]
    return Outcome(outputs, [f"{choice.name}: {note}" for note in _unmeasured(result)])


def _safe(name: str) -> str:
    """Return a name without what a file's name cannot hold."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:100]


def _write_objects(folder: Path, stem: str, found: Sequence[Objects], pixel_size_um: float | None) -> list[Path]:
    """Write each table of objects as HDF5 and as CSV; return the paths, two for each."""
    paths: list[Path] = []
    for objects in found:
        path = folder / "objects" / f"{stem}-{_safe(objects.name)}.h5"
        path.parent.mkdir(exist_ok=True)
        write_objects(path, objects)
        write_objects_csv(path.with_suffix(".csv"), objects, pixel_size_um)
        paths += [path, path.with_suffix(".csv")]
    return paths


@contextmanager
def _layer_written(folder: Path, layer: Layer, grid: Cells, pixel_size_um: float | None) -> Iterator[MosaicStore]:
    """Yield a layer that is empty yet; it appears under its name when it is complete."""
    path = folder / layer.path
    path.parent.mkdir(exist_ok=True)
    dtype = np.dtype(np.uint16 if layer.spec.kind == "probability" else np.uint8)
    with atomic_path(path) as temporary, create_mosaic(temporary, grid.shape, dtype, pixel_size_um) as store:
        yield store


def _write_layer(writer: MosaicStore, spec: LayerSpec, cell: Box, said: _Said, analyzer: Analyzer) -> None:
    """Write what an analyzer says of the pixels of a cell."""
    if spec.name not in said.layers:
        raise PluginError(f"{owner_of(analyzer)} declares the layer '{spec.name}' and gives {sorted(said.layers)}")
    pixels = np.asarray(said.layers[spec.name])
    if pixels.shape != (cell.height, cell.width):
        raise PluginError(
            f"{owner_of(analyzer)} made a layer '{spec.name}' of {pixels.shape} for a cell of "
            f"{(cell.height, cell.width)}"
        )
    if spec.kind == "classes":
        if (
            int(pixels.max(initial=0)) >= len(spec.classes)
            and not np.isin(pixels, [*range(len(spec.classes)), NO_CLASS]).all()
        ):
            raise PluginError(f"{owner_of(analyzer)} names a class beyond the {len(spec.classes)} of '{spec.name}'")
        unit = pixels.astype(np.float32) / np.float32(255)
    else:
        unit = pixels.astype(np.float32)
    writer.write(cell, unit if said.valid is None else np.where(said.valid, unit, np.float32(np.nan)))


def _explained(
    analyzer: Explains, task: _AnalyzeTask, measured: Sequence[tuple[int, int]]
) -> dict[str, NDArray[np.uint8]]:
    """Return pictures of what an analyzer has seen in a few cells, spread over those that it measured."""
    chosen = sorted({round(n) for n in np.linspace(0, len(measured) - 1, min(len(measured), EXPLAINED_CELLS))})
    pictures = {}
    with _opened(task) as mosaics:
        for row, column in (measured[n] for n in chosen):
            block, info = _read_cell(task, mosaics, row, column)
            picture = np.asarray(analyzer.explain(block, info))
            if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
                raise PluginError(
                    f"{owner_of(analyzer)} explained a cell by {picture.dtype} {picture.shape}, not by an image"
                )
            pictures[f"What was seen in row {row + 1}, column {column + 1}"] = picture
    return pictures


def _measured(choice: Choice[AnalyzerPlugin], mosaic: Path) -> tuple[tuple[Path, ...], tuple[str, ...], bool]:
    """Return the mosaics that an analyzer is handed, the names of their channels, and whether all go in at once.

    Raises
    ------
    InputError
        The channel that it is to measure is none of the mosaic's.
    """
    found = channel_paths(mosaic)
    if choice.plugin.description.abilities_of(choice.settings).takes_channels:
        if choice.channel:
            raise UsageError(f"analyze {choice.name}: it measures all channels at once; leave 'channel' out")
        return tuple(found.paths.values()) or (mosaic,), tuple(found.paths), True
    path = path_of_channel(mosaic, choice.channel, f"analyze {choice.name}: channel")
    name = choice.channel or found.main
    return (path,), (name,) if name else (), False


def of_channel(result: Result, channel: str) -> Result:
    """Return a result whose maps tell which channel they were measured on, where a recipe has named it."""
    if not channel:
        return result
    word = channel_file_names([channel])[channel]
    maps = tuple(replace(m, name=f"{m.name}_{word}", label=f"{m.label} ({channel})") for m in result.maps)
    return replace(result, analyzer=f"{result.analyzer} of {channel}", maps=maps)


def _check_result(result: Result, analyzer: Analyzer, shape: tuple[int, int]) -> None:
    if not isinstance(result, Result):
        raise PluginError(f"{owner_of(analyzer)} merged into {type(result).__name__}, not into a Result")
    if not (result.maps or result.objects or result.classes or result.layers):
        raise PluginError(f"{owner_of(analyzer)} merged into a Result without maps, objects, classes or layers")
    for class_map in result.classes:
        if np.shape(class_map.value) != shape or np.shape(class_map.confidence) != shape:
            raise PluginError(
                f"{owner_of(analyzer)} made a map of classes '{class_map.name}' of {np.shape(class_map.value)} for a "
                f"grid of {shape}"
            )
    for grid_map in result.maps:
        further = [series for series in (grid_map.systematic, grid_map.reason_of) if series is not None]
        shapes = {np.shape(series) for series in (grid_map.value, grid_map.low, grid_map.high, *further)}
        if shapes != {shape}:
            raise PluginError(
                f"{owner_of(analyzer)} made a map '{grid_map.name}' of {sorted(shapes)} for a grid of {shape}"
            )


def _unmeasured(result: Result) -> list[str]:
    notes = []
    for grid_map in result.maps[:1]:
        empty = int(np.count_nonzero(~np.isfinite(grid_map.value)))
        if empty:
            why = reasons_counted(grid_map)
            notes.append(f"{empty} of {grid_map.value.size} cells could not be measured{f': {why}' if why else ''}.")
    return notes


@dataclass(frozen=True)
class _Said:
    """What an analyzer says of the pixels of a cell, and which of them were imaged (None: all)."""

    layers: Mapping[str, NDArray[np.float32] | NDArray[np.uint8]]
    valid: NDArray[np.bool_] | None


def _analyze_batch(task: _AnalyzeTask, cells: Sequence[tuple[int, int]]) -> list[tuple[Any, _Said | None]]:
    with _opened(task) as mosaics:
        return [_analyze_cell(task, mosaics, row, column) for row, column in cells]


@contextmanager
def _opened(task: _AnalyzeTask) -> Iterator[list[MosaicStore]]:
    """Yield the mosaic that is measured, or those of all channels."""
    with ExitStack() as stack:
        yield [stack.enter_context(open_mosaic(path)) for path in task.mosaics]


def _analyze_cell(task: _AnalyzeTask, mosaics: Sequence[Mosaic], row: int, column: int) -> tuple[Any, _Said | None]:
    """Return the partial result of a cell and what is said of its pixels; (None, None) if nothing was imaged."""
    cell = task.grid.box(row, column)
    if not mosaics[0].read_valid(cell).any():
        return None, None
    block, info = _read_cell(task, mosaics, row, column)
    if not task.with_layers or not isinstance(task.analyzer, WritesLayers):
        return task.analyzer.process(block, info), _Said({}, None)
    partial, layers = task.analyzer.process_with_layers(block, info)
    return partial, _Said(layers, None if info.valid is None else info.valid[info.core])


def _read_cell(
    task: _AnalyzeTask, mosaics: Sequence[Mosaic], row: int, column: int
) -> tuple[NDArray[np.float32], BlockInfo]:
    """Return the pixels of a cell with its halo, (h, w) or all channels (channels, h, w), and where they lie."""
    mosaic = mosaics[0]
    cell = task.grid.box(row, column)
    outer = cell.grown(task.analyzer.halo).within(task.grid.reach(row, column))
    valid = mosaic.read_valid(outer)
    core = (
        slice(cell.y - outer.y, cell.y - outer.y + cell.height),
        slice(cell.x - outer.x, cell.x - outer.x + cell.width),
    )
    info = BlockInfo(
        pixel_size_um=mosaic.pixel_size_um,
        core=core,
        valid=None if valid.all() else valid,
        row=row,
        column=column,
        box=cell,
        image_shape=mosaic.shape,
        channels=task.channels,
    )
    return np.stack([one.read(outer) for one in mosaics]) if task.together else mosaic.read(outer), info


def load_result(path: Path, folder: Path | None = None) -> Result:
    """Return a result that `analyze_mosaic` wrote, with its objects if the run folder is given."""
    with opened_hdf5_file(path) as file:
        return read_result(file, folder)


def profiles_of(results: Sequence[Result], grid: Cells, pixel_size_um: float | None) -> list[Profile]:
    """Return the profile along x of every map; over the images, where these stand alone."""
    if isinstance(grid, FrameGrid):
        return [profile_of_frames(grid_map) for result in results for grid_map in result.maps]
    x_um = [x * (pixel_size_um or 1.0) for x in grid.centres_px()[1]]
    return [profile_along_x(grid_map, x_um) for result in results for grid_map in result.maps]
