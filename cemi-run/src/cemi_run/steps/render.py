"""The steps that make the picture: blend frames into the mosaic, build its pyramid, denoise it if asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError, PluginError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.corrections import patch_of
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.pixels import luminance
from cemi_core.model.stages import CountsFrames, Denoiser, Stitcher
from cemi_core.numeric.tiles import denoise_box, enlarged, peak_of
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import DenoiserPlugin, StitcherPlugin, owner_of
from cemi_run.engine.abilities import with_ability
from cemi_run.engine.executors import shares_memory, spread
from cemi_run.engine.plan import Context, Outcome, Workers
from cemi_run.recipe.check import Choice
from cemi_run.steps.place import load_layout
from cemi_run.store.channels import (
    ChannelPaths,
    channel_paths,
    planned_channels,
    prepare_channels,
    write_channel_list,
)
from cemi_run.store.frames import StoredFrames
from cemi_run.store.protocol import MosaicStore, create_mosaic, open_mosaic
from cemi_run.store.pyramid import build_pyramid

#: Edge of a piece of the mosaic that one task renders, px: a multiple of the chunk.
TASK_PX = 2048
_STRIP_PX = 1024
_MAX_MOSAIC_PX = 50_000_000_000

#: What tasks make of a box, one picture per mosaic; None where no frame reaches, or where they have written it.
_Images = Sequence[NDArray[np.float32]] | None


@dataclass(frozen=True)
class Blender:
    """A stitcher as it blends, with what its description says of that.

    Attributes
    ----------
    stitcher : Stitcher
    counts_frames : bool
        Whether it tells how many frames made each pixel.
    margin_px : int
        Frames so far from a box are handed to it too.
    """

    stitcher: Stitcher
    counts_frames: bool = False
    margin_px: int = 0

    @classmethod
    def of(cls, stitcher: Stitcher, choice: Choice[StitcherPlugin]) -> Blender:
        """Return a stitcher that was made from a choice.

        Raises
        ------
        PluginError
            It declares that it counts frames, and cannot.
        """
        abilities = choice.plugin.description.abilities_of(choice.settings)
        if abilities.counts_frames:
            with_ability(stitcher, CountsFrames, choice.plugin, "counts_frames")
        return cls(stitcher, abilities.counts_frames, abilities.blend_margin_px)

    def blend(self, patches: Sequence[Patch], box: Box) -> tuple[NDArray[np.float32], ...]:
        """Return the mosaic in a box and, if they are counted, the number of frames in each pixel.

        Raises
        ------
        PluginError
            An image is not of the size of the box.
        """
        if self.counts_frames and isinstance(self.stitcher, CountsFrames):
            images: tuple[NDArray[np.float32], ...] = tuple(self.stitcher.blend_and_count(patches, box))
        else:
            images = (self.stitcher.blend(patches, box),)
        for image in images:
            if np.shape(image) != (box.height, box.width):
                raise PluginError(f"{owner_of(self.stitcher)} blended {np.shape(image)} for {box}")
        return images


@dataclass(frozen=True)
class _BlendTask:
    blender: Blender
    layout: Layout
    frames: FrameSource
    paths: Sequence[Path]


def mosaic_name(context: Context, final: bool, stage: int) -> Path:
    """Return where a mosaic goes: HDF5 where one process writes, OME-Zarr where several do."""
    suffix = ".h5" if shares_memory(context.machine.kind) else ".ome.zarr"
    return context.folder.path / f"mosaic{suffix}" if final else context.folder.inner / f"mosaic-{stage}{suffix}"


def render_mosaic(
    choice: Choice[StitcherPlugin], layout_step: str, frames_step: str, final: bool, context: Context
) -> Outcome:
    """Blend the placed frames into a mosaic with its pyramid, and a second one of the looks if the stitcher tells.

    Further channels become mosaics of their own beside it, by the same layout.
    """
    layout = load_layout(context.folder.output_of(layout_step))
    frames = StoredFrames(context.folder.output_of(frames_step), choice.channel)
    path = mosaic_name(context, final, 0)
    stitcher = make(choice.plugin, choice.settings, context.machine.runtime())
    looks = context.folder.path / f"looks{path.name.removeprefix(path.name.partition('.')[0])}"
    blender = Blender.of(stitcher, choice)
    paths = [path, looks] if blender.counts_frames else [path]
    write_mosaic(blender, layout, frames, path, context, *paths[1:])
    channels, notes = write_channels(blender, layout, frames, path, context)
    _remove_other_format(path)
    _remove_other_format(looks, keep=looks in paths)
    return Outcome([*paths, *channels], notes)


def write_channels(
    blender: Blender, layout: Layout, frames: StoredFrames, path: Path, workers: Workers
) -> tuple[list[Path], list[str]]:
    """Blend the further channels of placed frames, one after the other, into mosaics beside the one at ``path``.

    They get the places, the shapes and the blending of the main mosaic, but not its brightness: gains, offsets and the
    flat field were measured on the matched channel, and say nothing of another signal.

    Returns
    -------
    tuple of (list of Path, list of str)
        What was written, and a sentence on it; both empty for plain grey frames.
    """
    main = frames.frames[0].main_channel
    channels = planned_channels(path, frames.channels, main)
    prepare_channels(path, channels)
    plain = replace(layout, gain=np.ones(len(layout)), offset=np.zeros(len(layout)), flat_field=None)
    for name, of_one in channels.further.items():
        write_mosaic(replace(blender, counts_frames=False), plain, frames.of_channel(name), of_one, workers)
    listed = write_channel_list(path, channels)
    if listed is None:
        return [], []
    note = (
        f"The frames were matched on {main or 'the luminance'}; the channels {', '.join(channels.further)} lie at the "
        "same places. Gains, offsets and the flat field are those of the matched channel; the others keep the "
        "brightness with which they were recorded."
    )
    return [*channels.further.values(), listed], [note]


def write_mosaic(
    blender: Blender,
    layout: Layout,
    frames: FrameSource,
    path: Path,
    workers: Workers,
    looks_path: Path | None = None,
) -> None:
    """Blend placed frames into a mosaic with its pyramid; it appears under ``path`` only when it is complete.

    Parameters
    ----------
    blender : Blender
    layout : Layout
    frames : FrameSource
    path : Path
        The mosaic.
    workers : Workers
    looks_path : Path, optional
        A second mosaic, float32: how many frames made each pixel.

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
    with ExitStack() as stack:
        mosaics = [stack.enter_context(_new_mosaic(path, shape, frames.dtype, pixel_size_um, frames.float_range))]
        if looks_path is not None:
            mosaics.append(stack.enter_context(_new_mosaic(looks_path, shape, np.dtype(np.float32), pixel_size_um)))
        targets = [] if shares_memory(workers.machine.kind) else [mosaic.path for mosaic in mosaics]
        # Tasks may travel: the pairs, by far the largest part of a layout, stay here.
        task = _BlendTask(blender, replace(layout, pairs=()), frames, targets)
        _fill(mosaics, "blending", _blend_batch, task, workers)


@contextmanager
def _new_mosaic(path: Path, *properties: Any) -> Iterator[MosaicStore]:
    with atomic_path(path) as temporary, create_mosaic(temporary, *properties) as mosaic:
        yield mosaic


def _fill(
    mosaics: Sequence[MosaicStore],
    label: str,
    function: Callable[[Any, Sequence[Box]], Sequence[_Images]],
    task: Any,
    workers: Workers,
) -> None:
    """Fill level 0 box by box, then the levels above; boxes that tasks have written themselves come back as None."""
    boxes = along_shorter_edge(Box(0, 0, *mosaics[0].shape).tiles(*_task_shape(mosaics[0])), mosaics[0].shape)
    work = spread(workers.executor, function, task, boxes, in_flight=workers.in_flight, batch=1)
    for number, (box, images) in enumerate(work):
        for mosaic, image in zip(mosaics, images or (), strict=False):
            mosaic.write(box, image)
        workers.progress(label, number + 1, len(boxes))
    executor = None if shares_memory(workers.machine.kind) else workers.executor
    for mosaic in mosaics:
        build_pyramid(
            mosaic,
            executor=executor,
            progress=lambda done, total: workers.progress("building the pyramid", done, total),
        )


def along_shorter_edge(boxes: Iterable[Box], shape: tuple[int, int]) -> list[Box]:
    """Return boxes of a mosaic of this shape row by row, or column by column if it is wider than high.

    Boxes that share frames then follow each other closely, while these frames are still in memory.
    """
    return sorted(boxes, key=lambda box: (box.x, box.y) if shape[1] > shape[0] else (box.y, box.x))


def _remove_other_format(path: Path, keep: bool = True) -> None:
    """Remove what another run has left: a run folder holds one of ``NAME.h5`` and ``NAME.ome.zarr``, or none."""
    stem = path.name.partition(".")[0]
    for other in {path.with_name(stem + ".h5"), path.with_name(stem + ".ome.zarr")} - ({path} if keep else set()):
        if other.is_dir():
            shutil.rmtree(other)
        else:
            other.unlink(missing_ok=True)


def _task_shape(mosaic: MosaicStore) -> tuple[int, int]:
    owned = mosaic.writer_px
    return min(owned[0], TASK_PX), min(owned[1], TASK_PX)


def _blend_batch(task: _BlendTask, boxes: Sequence[Box]) -> list[_Images]:
    results: list[_Images] = []
    for box in boxes:
        images = _blend_box(task, box)
        if images is not None and task.paths:
            for path, image in zip(task.paths, images, strict=True):
                with open_mosaic(path, writable=True) as mosaic:
                    mosaic.write(box, image)
            images = None
        results.append(images)
    return results


def _blend_box(task: _BlendTask, box: Box) -> _Images:
    if not len(task.layout.frames_in(box)):
        return None
    near = task.layout.frames_in(box.grown(task.blender.margin_px))
    return task.blender.blend([patch_of(task.layout, int(n), task.frames.read(int(n))) for n in near], box)


@dataclass(frozen=True)
class _DenoiseTask:
    """Mosaics that go into a denoiser at once (one, or all channels), and where tasks write them, if they do."""

    denoiser: Denoiser
    sources: Sequence[Path]
    targets: Sequence[Path]
    peak: float | None
    channels: tuple[str, ...]
    scale: int = 1


def denoise_mosaic(choice: Choice[DenoiserPlugin], before: str, stage: int, final: bool, context: Context) -> Outcome:
    """Denoise a mosaic and its further channels into others, tile by tile with a halo."""
    source_path = context.folder.output_of(before)
    denoiser = make(choice.plugin, choice.settings, context.machine.runtime())
    path = mosaic_name(context, final, stage)
    found = channel_paths(source_path)
    planned = planned_channels(path, tuple(found.paths), found.main)
    prepare_channels(path, planned)
    # reading a whole mosaic takes its time: only for those who ask
    abilities = choice.plugin.description.abilities_of(choice.settings)
    task = partial(_denoise_together, choice, denoiser, context, abilities)
    if abilities.takes_channels and found.paths:
        task(tuple(found.paths), list(found.paths.values()), list(planned.paths.values()))
        if not found.main:
            _mix(planned, source_path, path)
    else:
        task((found.main,) if found.main else (), [source_path], [path])
        for name, of_one in found.further.items():
            task((name,), [of_one], [planned.paths[name]])
    listed = write_channel_list(path, planned)
    _remove_other_format(path)
    return Outcome([path, *planned.further.values(), *([listed] if listed else [])])


def _denoise_together(
    choice: Choice[DenoiserPlugin],
    denoiser: Denoiser,
    context: Context,
    abilities: DenoiserAbilities,
    channels: tuple[str, ...],
    sources: Sequence[Path],
    targets: Sequence[Path],
) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(open_mosaic(source)) for source in sources]
        mosaics = [
            stack.enter_context(_new_mosaic(target, *_enlarged(one, abilities.scale)))
            for one, target in zip(opened, targets, strict=True)
        ]
        written = [] if shares_memory(context.machine.kind) else [mosaic.path for mosaic in mosaics]
        peaks = [peak for one in opened if (peak := _peak(one)) is not None] if abilities.wants_peak else []
        label = f"denoising the mosaic with {choice.name}"
        task = _DenoiseTask(denoiser, sources, written, max(peaks, default=None), channels, abilities.scale)
        _fill(mosaics, label, _denoise_batch, task, context)


def _enlarged(mosaic: MosaicStore, scale: int) -> tuple[Any, ...]:
    """Return the properties of a mosaic with the same specimen in ``scale`` times as fine pixels."""
    size = mosaic.pixel_size_um
    shape = scale * mosaic.shape[0], scale * mosaic.shape[1]
    return shape, mosaic.dtype, None if size is None else size / scale, mosaic.float_range


def _behind(box: Box, scale: int) -> tuple[Box, tuple[slice, slice]]:
    """Return what a box of an enlarged mosaic is made from, and where the box lies in that, enlarged."""
    y, x = box.y // scale, box.x // scale
    bottom, right = -(-(box.y + box.height) // scale), -(-(box.x + box.width) // scale)
    inside = Box(box.y - scale * y, box.x - scale * x, box.height, box.width).slices
    return Box(y, x, bottom - y, right - x), inside


def _mix(channels: ChannelPaths, like: Path, path: Path) -> None:
    """Write the luminance of channels as the mosaic at ``path``, strip by strip, in the type of the mosaic ``like``."""
    with ExitStack() as stack:
        old = stack.enter_context(open_mosaic(like))
        planes = [stack.enter_context(open_mosaic(of_one)) for of_one in channels.paths.values()]
        mosaic = stack.enter_context(_new_mosaic(path, old.shape, old.dtype, old.pixel_size_um, old.float_range))
        for box in Box(0, 0, *old.shape).tiles(*_task_shape(mosaic)):
            image = luminance(np.stack([plane.read(box) for plane in planes]))
            mosaic.write(box, np.where(old.read_valid(box), image, np.float32(np.nan)))
        build_pyramid(mosaic)


def _peak(mosaic: MosaicStore) -> float | None:
    """Return the brightest grey level of a mosaic, read strip by strip."""
    height, width = mosaic.shape
    strips = (Box(y, 0, min(_STRIP_PX, height - y), width) for y in range(0, height, _STRIP_PX))
    return max((peak for strip in strips if (peak := peak_of(mosaic.read(strip))) is not None), default=None)


def _denoise_batch(task: _DenoiseTask, boxes: Sequence[Box]) -> list[_Images]:
    results: list[_Images] = []
    with ExitStack() as stack:
        sources = [stack.enter_context(open_mosaic(source)) for source in task.sources]
        first = sources[0]

        def read(box: Box) -> NDArray[np.float32]:
            return first.read(box) if len(sources) == 1 else np.stack([source.read(box) for source in sources])

        for box in boxes:
            about = (first.shape, first.pixel_size_um, first.read_valid, task.peak, task.channels, task.scale)
            source_box, inside = _behind(box, task.scale)
            denoised = denoise_box(task.denoiser, read, source_box, *about)
            planes = denoised if denoised.ndim == 3 else denoised[np.newaxis]
            valid = enlarged(first.read_valid(source_box), task.scale)[inside]
            images = [np.where(valid, plane[inside], np.float32(np.nan)) for plane in planes]
            for target, image in zip(task.targets, images, strict=False):
                with open_mosaic(target, writable=True) as mosaic:
                    mosaic.write(box, image)
            results.append(None if task.targets else images)
    return results
