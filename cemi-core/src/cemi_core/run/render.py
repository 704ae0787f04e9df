"""The steps that make the picture: blend frames into the mosaic, build its pyramid, denoise it if asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError, PluginError
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.stages import Denoiser, Stitcher
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import owner_of
from cemi_core.recipe.check import Choice
from cemi_core.run.executors import shares_memory, spread
from cemi_core.run.place import load_layout
from cemi_core.run.plan import Context, Outcome, Workers
from cemi_core.run.tiles import denoise_box
from cemi_core.store.atomic import atomic_path
from cemi_core.store.frames import StoredFrames
from cemi_core.store.protocol import MosaicStore, create_mosaic, open_mosaic
from cemi_core.store.pyramid import build_pyramid

#: Edge of a piece of the mosaic that one task renders, px: a multiple of the chunk.
TASK_PX = 2048
_MAX_MOSAIC_PX = 50_000_000_000


@dataclass(frozen=True)
class _BlendTask:
    stitcher: Stitcher
    layout: Layout
    frames: FrameSource
    mosaic_path: Path | None


def mosaic_name(context: Context, final: bool, stage: int) -> Path:
    """Return where a mosaic goes: HDF5 where one process writes, OME-Zarr where several do."""
    suffix = ".h5" if shares_memory(context.machine.kind) else ".ome.zarr"
    return context.folder.path / f"mosaic{suffix}" if final else context.folder.inner / f"mosaic-{stage}{suffix}"


def render_mosaic(choice: Choice, layout_step: str, frames_step: str, final: bool, context: Context) -> Outcome:
    """Blend the placed frames into a mosaic with its pyramid."""
    layout = load_layout(context.folder.output_of(layout_step))
    frames = StoredFrames(context.folder.output_of(frames_step))
    path = mosaic_name(context, final, 0)
    stitcher = make(choice.plugin, choice.settings, context.machine.runtime())
    write_mosaic(stitcher, layout, frames, path, context)
    _remove_other_format(path)
    return Outcome([path])


def write_mosaic(stitcher: Stitcher, layout: Layout, frames: FrameSource, path: Path, workers: Workers) -> None:
    """Blend placed frames into a mosaic with its pyramid; it appears under ``path`` only when it is complete.

    Raises
    ------
    InputError
        The layout is so large that its positions must be wrong.
    """
    shape = layout.mosaic_shape
    if shape[0] * shape[1] > _MAX_MOSAIC_PX:
        raise InputError(
            f"the mosaic would have {shape[0]} x {shape[1]} px, more than frames that overlap can fill; "
            "check the positions that the frames came with"
        )
    pixel_size_um = next((frame.pixel_size_um for frame in frames.frames if frame.pixel_size_um), None)
    float_range = getattr(frames, "float_range", (0.0, 1.0))
    with (
        atomic_path(path) as temporary,
        create_mosaic(temporary, shape, frames.dtype, pixel_size_um, float_range) as mosaic,
    ):
        target = None if shares_memory(workers.machine.kind) else temporary
        # Tasks may travel: the pairs, by far the largest part of a layout, stay here.
        task = _BlendTask(stitcher, replace(layout, pairs=()), frames, target)
        _fill(mosaic, "blending", _blend_batch, task, workers)


def _fill(
    mosaic: MosaicStore,
    label: str,
    function: Callable[[Any, Sequence[Box]], Sequence[NDArray[np.float32] | None]],
    task: Any,
    workers: Workers,
) -> None:
    """Fill level 0 box by box, then the levels above; boxes that tasks have written themselves come back as None."""
    boxes = list(Box(0, 0, *mosaic.shape).tiles(*_task_shape(mosaic)))
    work = spread(workers.executor, function, task, boxes, in_flight=workers.in_flight, batch=1)
    for number, (box, image) in enumerate(work):
        if image is not None:
            mosaic.write(box, image)
        workers.progress(label, number + 1, len(boxes))
    executor = None if shares_memory(workers.machine.kind) else workers.executor
    build_pyramid(
        mosaic,
        executor=executor,
        progress=lambda done, total: workers.progress("building the pyramid", done, total),
    )


def _remove_other_format(path: Path) -> None:
    """Remove what a run with another executor has left: a run folder holds one of ``NAME.h5`` and ``NAME.ome.zarr``."""
    stem = path.name.partition(".")[0]
    for other in {path.with_name(stem + ".h5"), path.with_name(stem + ".ome.zarr")} - {path}:
        if other.is_dir():
            shutil.rmtree(other)
        else:
            other.unlink(missing_ok=True)


def _task_shape(mosaic: MosaicStore) -> tuple[int, int]:
    owned = mosaic.writer_px
    return min(owned[0], TASK_PX), min(owned[1], TASK_PX)


def _blend_batch(task: _BlendTask, boxes: Sequence[Box]) -> list[NDArray[np.float32] | None]:
    images: list[NDArray[np.float32] | None] = []
    for box in boxes:
        image = _blend_box(task, box)
        if task.mosaic_path is not None and image is not None:
            with open_mosaic(task.mosaic_path, writable=True) as mosaic:
                mosaic.write(box, image)
            image = None
        images.append(image)
    return images


def _blend_box(task: _BlendTask, box: Box) -> NDArray[np.float32] | None:
    layout = task.layout
    found = layout.frames_in(box)
    if not len(found):
        return None
    patches = [
        Patch(
            int(index),
            task.frames.read(int(index)),
            float(layout.positions_px[index, 0]),
            float(layout.positions_px[index, 1]),
            float(layout.gain[index]),
            float(layout.offset[index]),
        )
        for index in found
    ]
    image = task.stitcher.blend(patches, box)
    if np.shape(image) != (box.height, box.width):
        raise PluginError(f"{owner_of(task.stitcher)} blended {np.shape(image)} for {box}")
    return image


@dataclass(frozen=True)
class _DenoiseTask:
    denoiser: Denoiser
    source: Path
    target: Path | None


def denoise_mosaic(choice: Choice, before: str, stage: int, final: bool, context: Context) -> Outcome:
    """Denoise a mosaic into another one, tile by tile with a halo."""
    source_path = context.folder.output_of(before)
    denoiser = make(choice.plugin, choice.settings, context.machine.runtime())
    path = mosaic_name(context, final, stage)
    with (
        open_mosaic(source_path) as source,
        atomic_path(path) as temporary,
        create_mosaic(temporary, source.shape, source.dtype, source.pixel_size_um, source.float_range) as mosaic,
    ):
        target = None if shares_memory(context.machine.kind) else temporary
        label = f"denoising the mosaic with {choice.name}"
        _fill(mosaic, label, _denoise_batch, _DenoiseTask(denoiser, source_path, target), context)
    _remove_other_format(path)
    return Outcome([path])


def _denoise_batch(task: _DenoiseTask, boxes: Sequence[Box]) -> list[NDArray[np.float32] | None]:
    images: list[NDArray[np.float32] | None] = []
    with open_mosaic(task.source) as source:
        for box in boxes:
            image = denoise_box(task.denoiser, source.read, box, source.shape, source.pixel_size_um, source.read_valid)
            image = np.where(source.read_valid(box), image, np.float32(np.nan))
            if task.target is not None:
                with open_mosaic(task.target, writable=True) as mosaic:
                    mosaic.write(box, image)
                images.append(None)
            else:
                images.append(image)
    return images
