"""The steps on frames: keep what the source gives, then denoise, one checkpoint per frame."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.atomic import write_json_atomically
from cemi_core.model.channels import ReadsTogether, require_channel
from cemi_core.model.frame import DroppedFrame, Frame, FrameSource, StreamSource, from_unit_range
from cemi_core.model.layout import Layout
from cemi_core.model.pixels import luminance
from cemi_core.model.stages import Denoiser, LearnsFromFrames, TellsNotes
from cemi_core.model.units import format_length
from cemi_core.numeric.tiles import denoise_image
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import DenoiserPlugin, SourcePlugin
from cemi_run.engine.abilities import with_ability
from cemi_run.engine.executors import spread
from cemi_run.engine.plan import Context, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.steps.adapted import adapted_path, keep_adapted, kept_adapted
from cemi_run.steps.duplicates import notes_on_twins, picture_digest
from cemi_run.store.frames import FrameStore, StoredFrames, channel_stores, channels_folder
from cemi_run.store.hdf5_table import new_hdf5_file
from cemi_run.store.run_file import write_frames_table

log = logging.getLogger("cemi")

#: How many dropped frames are named one by one in the log.
_NAMED = 5


def keep_frames(choice: Choice[SourcePlugin], context: Context, wanted: Mapping[str, str] | None = None) -> Outcome:
    """Read every frame of the source once and keep it in ``frames.zarr``, in the source's own type.

    The matched image and the further channels of a frame are read in one go, each into a store of its own. A frame that
    cannot be read is dropped and listed; the run goes on with the others.

    Parameters
    ----------
    choice : Choice
        The source.
    context : Context
    wanted : mapping of str to str, optional
        Channels that later steps ask for, by the key of the recipe that names each; looked for before the work.

    Raises
    ------
    InputError
        No frame can be read, or a channel that is wanted is none of theirs.
    """
    source = make(choice.plugin, choice.settings, context.machine.runtime())
    path = context.folder.frames / "kept"
    names = () if isinstance(source, StreamSource) else _channels_of(source.frames)
    for where, name in (wanted or {}).items():
        require_channel(name, names, where)
    twins: list[str] = []
    if isinstance(source, StreamSource):
        frames, dropped = _keep_passes(source, path, context)
    else:
        frames, dropped, twins = _keep_each(source, path, context)
    if not frames:
        why = f": {dropped[0].name}: {dropped[0].reason}" if dropped else ""
        raise InputError(f"the source '{choice.name}' gives no usable frame{why}")
    _warn_of_dropped(frames, dropped)
    notes = [*source.notes, *_notes_on_sizes(frames), *twins]
    for note in notes:
        log.warning("%s", note)
    if all(frame.pixel_size_um is None for frame in frames):
        notes.append("The pixel size is unknown: lengths are in pixels. Give 'pixel_size' in the source's settings.")
    _require_one_magnification(frames)
    _write_tables(path, frames, dropped)
    table = context.folder.inner / "frames.h5"
    with new_hdf5_file(table) as file:
        write_frames_table(file, frames, dropped)
    return Outcome([path, table, *_channel_outputs(path, frames)], notes)


def _channels_of(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Return the channels of all frames.

    Raises
    ------
    InputError
        They differ between frames.
    """
    first = frames[0] if frames else None
    for frame in frames:
        if first is not None and (frame.channels, frame.main_channel) != (first.channels, first.main_channel):
            raise InputError(
                f"'{first.name}' has the channels {', '.join(first.channels) or 'grey'} and '{frame.name}' "
                f"{', '.join(frame.channels) or 'grey'}; all frames of a run need the same"
            )
    return first.channels if first is not None else ()


def _stores_beside(path: Path, frames: Sequence[Frame]) -> dict[str, Path]:
    """Return the store of each channel of the frames but of the one that the store at ``path`` holds itself."""
    if not frames:
        return {}
    stores = channel_stores(path, frames[0].channels, frames[0].main_channel)
    return {name: store for name, store in stores.items() if store != path}


def _channel_outputs(path: Path, frames: Sequence[Frame]) -> list[Path]:
    return [channels_folder(path)] if _stores_beside(path, frames) else []


def _write_tables(path: Path, frames: Sequence[Frame], dropped: Sequence[DroppedFrame]) -> None:
    for store in (*_stores_beside(path, frames).values(), path):
        FrameStore.open(store).write_table(frames, dropped)


def _forget_other_channels(path: Path, frames: Sequence[Frame]) -> None:
    """Remove what another run has left beside a store: channels that its frames do not have any more."""
    folder, kept = channels_folder(path), set(_stores_beside(path, frames).values())
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.is_dir():
        for other in folder.iterdir():
            if other.is_dir() and other not in kept:
                shutil.rmtree(other)
                other.with_name(f"{other.name}.key").unlink(missing_ok=True)


def _warn_of_dropped(frames: Sequence[Frame], dropped: Sequence[DroppedFrame]) -> None:
    for remark in (entry for entry in dropped if not entry.frames):
        log.info("%s: %s", remark.name, remark.reason)
    lost = [entry for entry in dropped if entry.frames]
    if lost:
        log.warning("%d frames dropped, %d kept", len(lost), len(frames))
        for entry in lost[:_NAMED]:
            log.warning("  dropped %s: %s", entry.name, entry.reason)
        if len(lost) > _NAMED:
            log.warning("  and %d more", len(lost) - _NAMED)


def _notes_on_sizes(frames: Sequence[Frame]) -> list[str]:
    sizes = Counter(frame.shape for frame in frames).most_common()
    if len(sizes) < 2:
        return []
    listed = ", ".join(f"{count} of {height} x {width} px" for (height, width), count in sizes[:_NAMED])
    return [f"The frames have {len(sizes)} different sizes: {listed}{', ...' if len(sizes) > _NAMED else ''}."]


def _require_one_magnification(frames: Sequence[Frame]) -> None:
    known = sorted((frame.pixel_size_um, frame.name) for frame in frames if frame.pixel_size_um)
    if known and known[-1][0] > 1.01 * known[0][0]:
        (small, fine), (large, coarse) = known[0], known[-1]
        raise InputError(
            f"the pixel size differs between frames ({format_length(small)} in '{fine}', {format_length(large)} in "
            f"'{coarse}'); stitch frames of one magnification, or give 'pixel_size' if the metadata are wrong"
        )


def _fresh_store(path: Path, shape: tuple[int, int], dtype: Any, float_range: tuple[float, float], key: str) -> None:
    """Make a store for the step of this ``key``, or go on with the one that a killed run of the same step left."""
    marker = path.with_name(path.name + ".key")
    if path.exists() and marker.exists() and marker.read_bytes() == key.encode():
        return
    marker.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomically(
        path.parent / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"cemi": "frames"}}
    )
    FrameStore.create(path, shape, dtype, float_range)
    marker.write_text(key, encoding="utf-8")


def _keep_each(source: FrameSource, path: Path, context: Context) -> tuple[list[Frame], list[DroppedFrame], list[str]]:
    """Return what was kept, what was not, and a sentence if a picture occurs twice."""
    found = list(source.frames)
    if not found:
        return [], list(source.dropped), []
    shape = max(frame.shape[0] for frame in found), max(frame.shape[1] for frame in found)
    part = _part_path(path, 0)
    _fresh_store(part, shape, source.dtype, source.float_range, context.key)
    _forget_other_channels(part, found)
    stores = _stores_beside(part, found)
    for name, store in stores.items():
        of_channel = (
            source.channel_type(name) if isinstance(source, ReadsTogether) else (source.dtype, source.float_range)
        )
        _fresh_store(store, shape, *of_channel, context.key)
    frames: list[Frame] = []
    failed: list[DroppedFrame] = []
    digests: list[tuple[str, bytes]] = []
    task = _KeepTask(source, part, stores)
    todo = spread(context.executor, _keep_batch, task, range(len(found)), in_flight=context.in_flight)
    for index, (reason, digest) in todo:
        if reason:
            failed.append(DroppedFrame(found[index].name, reason, found[index].time_s))
        else:
            frames.append(found[index])
            digests.append((found[index].name, digest))
        context.progress("reading frames", index + 1, len(found))
    _forget_other_channels(path, frames)
    for name, store in _stores_beside(path, frames).items():
        _join_parts(store, [frames], context.key, lambda row, name=name: stores[name])  # type: ignore[misc]
    joined = _join_parts(path, [frames], context.key)
    shutil.rmtree(channels_folder(part), ignore_errors=True)
    return joined, [*source.dropped, *failed], notes_on_twins(digests)


@dataclass(frozen=True)
class _KeepTask:
    """A source, the store of its frames, and those of their further channels."""

    source: FrameSource
    target: Path
    channels: Mapping[str, Path]


def _keep_batch(task: _KeepTask, indices: Sequence[int]) -> list[tuple[str, bytes]]:
    store = FrameStore.open(task.target)
    channels = {name: FrameStore.open(path) for name, path in task.channels.items()}
    return [_keep_one(task.source, store, channels, index) for index in indices]


def _keep_one(
    source: FrameSource, store: FrameStore, channels: Mapping[str, FrameStore], index: int
) -> tuple[str, bytes]:
    """Store one frame; return why it could not be read, or an empty text, and the digest of its pixels."""
    if store.done(index) and all(of_one.done(index) for of_one in channels.values()):
        return "", picture_digest(store.read(index))
    try:
        image, planes = _read_once(source, index) if channels else (source.read(index), None)
    except InputError as error:
        return str(error), b""
    for name, of_one in channels.items():
        assert planes is not None
        plane = planes[source.frames[index].channels.index(name)]
        of_one.write(index, from_unit_range(plane, of_one.dtype, of_one.float_range))
    pixels = from_unit_range(image, store.dtype, store.float_range)
    store.write(index, pixels)
    return "", picture_digest(pixels)


def _read_once(source: FrameSource, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matched image of a frame and all its channels."""
    if isinstance(source, ReadsTogether):
        return source.read_together(index)
    planes, frame = source.read_channels(index), source.frames[index]
    main = frame.main_channel
    return planes[frame.channels.index(main)] if main else source.read(index), planes


def _keep_passes(source: StreamSource, path: Path, context: Context) -> tuple[list[Frame], list[DroppedFrame]]:
    records = context.folder.inner / f"passes-{context.key}"
    records.mkdir(exist_ok=True)
    rows = range(len(source.passes))
    frames_by_pass: list[list[Frame]] = []
    dropped: list[DroppedFrame] = []
    common = (source, path, records)
    for row, (frames, left_out) in spread(
        context.executor, _keep_pass_batch, common, rows, in_flight=context.in_flight, batch=1
    ):
        frames_by_pass.append(frames)
        dropped.extend(left_out)
        context.progress("decoding passes", row + 1, len(rows))
    frames = _join_parts(path, frames_by_pass, context.key)
    shutil.rmtree(records, ignore_errors=True)
    return frames, dropped


def _part_path(path: Path, row: int) -> Path:
    """Return where the frames of one pass lie until the number of frames in the earlier passes is known."""
    return path.with_name(f"part-{row:03d}")


def _keep_pass_batch(
    common: tuple[StreamSource, Path, Path], rows: Sequence[int]
) -> list[tuple[list[Frame], list[DroppedFrame]]]:
    source, path, records = common
    return [_keep_pass(source, _part_path(path, row), records, row) for row in rows]


def _keep_pass(source: StreamSource, path: Path, records: Path, row: int) -> tuple[list[Frame], list[DroppedFrame]]:
    """Decode one pass into a store of its own, unless its record says that this has been done."""
    record = records / f"pass-{row:03d}.json"
    if record.exists():
        return _read_record(record)
    store: FrameStore | None = None
    frames: list[Frame] = []
    dropped: list[DroppedFrame] = []
    try:
        for entry in source.read_pass(row):
            if isinstance(entry, DroppedFrame):
                dropped.append(entry)
                continue
            frame, pixels = entry
            if store is None:
                shutil.rmtree(path, ignore_errors=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                store = FrameStore.create(path, pixels.shape, pixels.dtype)
            store.write(len(frames), pixels)
            frames.append(replace(frame, index=len(frames)))
    except InputError as error:
        # One damaged recording must not cost the others.
        dropped.append(DroppedFrame(str(source.passes[row]), str(error)))
    write_json_atomically(record, {"frames": [asdict(f) for f in frames], "dropped": [asdict(d) for d in dropped]})
    return frames, dropped


def _read_record(path: Path) -> tuple[list[Frame], list[DroppedFrame]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    return [Frame.from_json(entry) for entry in data["frames"]], [DroppedFrame(**entry) for entry in data["dropped"]]


def _join_parts(
    path: Path, parts: Sequence[Sequence[Frame]], key: str, part_path: Callable[[int], Path] | None = None
) -> list[Frame]:
    """Move the frames of all parts into one store under their final numbers.

    Started again after a kill it goes on where it was: a frame that has arrived is not looked for in its part.
    """
    part_of = part_path or partial(_part_path, path)
    frames = [(row, frame) for row, part in enumerate(parts) for frame in part]
    if not frames:
        return []
    first = next((part for row, _ in frames if (part := part_of(row)).exists()), None)
    if first is not None:
        shape = max(f.shape[0] for _, f in frames), max(f.shape[1] for _, f in frames)
        example = FrameStore.open(first)
        _fresh_store(path, shape, example.dtype, example.float_range, key)
    store = FrameStore.open(path)
    joined = []
    for index, (row, frame) in enumerate(frames):
        if not store.done(index):
            store.adopt(index, FrameStore.open(part_of(row)), frame.index)
        joined.append(replace(frame, index=index))
    for row in range(len(parts)):
        shutil.rmtree(part_of(row), ignore_errors=True)
    return joined


@dataclass(frozen=True)
class _DenoiseTask:
    """Frames to denoise; ``channels`` are the further ones, by name, and ``together`` tells that all go in at once."""

    denoiser: Denoiser
    source: Path
    target: Path
    channels: Mapping[str, Path]
    together: bool
    scale: int = 1


def denoise_frames(
    choice: Choice[DenoiserPlugin], before: str, name: str, layout: Layout | None, context: Context
) -> Outcome:
    """Denoise every kept frame into a store of its own; frames that a killed run has finished are kept.

    Parameters
    ----------
    choice : Choice
        The denoiser.
    before : str
        Step whose frames it reads.
    name : str
        Name of the store to write.
    layout : Layout or None
        Given to a denoiser that adapts itself to overlapping frames.
    """
    source_path = context.folder.output_of(before)
    source = StoredFrames(source_path)
    denoiser = make(choice.plugin, choice.settings, context.machine.runtime())
    target = context.folder.frames / name
    learnt = adapted_path(context.folder, name)
    abilities = choice.plugin.description.abilities_of(choice.settings)
    notes: tuple[str, ...] = ()
    if abilities.learns:
        learner = with_ability(denoiser, LearnsFromFrames, choice.plugin, "learns")
        denoiser = _adapted(learner, source, layout, target, learnt, context.key)
        notes = with_ability(denoiser, TellsNotes, choice.plugin, "learns").notes
    else:
        learnt.unlink(missing_ok=True)
    if not abilities.deterministic:
        notes = (*notes, f"{choice.name} is not deterministic: another run gives slightly other images.")
    scale = abilities.scale
    height, width = FrameStore.open(source_path).frame_shape
    shape, frames = (scale * height, scale * width), [_scaled(frame, scale) for frame in source.frames]
    if scale > 1:
        notes = (*notes, f"{choice.name} makes images {scale} times as high and wide: the detail is its guess.")
    _fresh_store(target, shape, source.dtype, source.float_range, context.key)
    _forget_other_channels(target, source.frames)
    stores = _stores_beside(target, source.frames)
    for channel, store in stores.items():
        of_channel = source.of_channel(channel)
        _fresh_store(store, shape, of_channel.dtype, of_channel.float_range, context.key)
    if stores and abilities.learns:
        matched = source.main_channel or "the luminance"
        notes = (*notes, f"{choice.name} has learnt from {matched}; the other channels are denoised with that.")
    total = len(source.frames)
    task = _DenoiseTask(
        denoiser, source_path, target, stores, abilities.takes_channels and bool(source.channels), scale
    )
    for index, _ in spread(context.executor, _denoise_batch, task, range(total), in_flight=context.in_flight):
        context.progress(f"denoising with {choice.name}", index + 1, total)
    _write_tables(target, frames, source.dropped)
    outputs = [target, *([learnt] if learnt.exists() else []), *_channel_outputs(target, source.frames)]
    return Outcome(outputs, notes)


def _scaled(frame: Frame, scale: int) -> Frame:
    """Return a frame whose pixels are ``scale`` times as fine: what is in px grows, the pixel size shrinks."""
    if scale == 1:
        return frame
    position, tolerance, size = frame.position_px, frame.position_tolerance_px, frame.pixel_size_um
    return replace(
        frame,
        shape=(scale * frame.shape[0], scale * frame.shape[1]),
        position_px=None if position is None else (scale * position[0], scale * position[1]),
        position_tolerance_px=None if tolerance is None else scale * tolerance,
        pixel_size_um=None if size is None else size / scale,
    )


def _adapted(
    denoiser: LearnsFromFrames, source: StoredFrames, layout: Layout | None, target: Path, learnt: Path, key: str
) -> Denoiser:
    """Return what a denoiser becomes that learns from the frames: by now, or in a run of the same step that was killed.

    Frames in ``target`` stay only if they come from the one that is returned.
    """
    kept: Denoiser | None = kept_adapted(learnt, key, denoiser)
    if kept is not None:
        log.info("what an earlier run has learnt from the frames is used again")
        return kept
    for stale in (target.with_name(target.name + ".key"), learnt):
        stale.unlink(missing_ok=True)
    adapted = denoiser.adapt(source, layout)
    keep_adapted(learnt, key, denoiser, adapted)
    return adapted


def _denoise_batch(task: _DenoiseTask, indices: Sequence[int]) -> list[None]:
    source = _open_source(task.source)
    stores = {source.main_channel: FrameStore.open(task.target)}
    stores |= {name: FrameStore.open(path) for name, path in task.channels.items()}
    for index in indices:
        todo = [name for name, store in stores.items() if not store.done(index)]
        images = _denoised(task, source, index, todo)
        for name, image in images:
            store = stores[name]
            store.write(index, from_unit_range(image, store.dtype, store.float_range))
    return [None] * len(indices)


def _denoised(
    task: _DenoiseTask, source: StoredFrames, index: int, names: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield channels of a frame without noise, by name, one after the other; an empty name is their mixture."""
    size = source.frames[index].pixel_size_um
    if task.together and names:
        planes = denoise_image(
            task.denoiser, source.read_channels(index), size, channels=source.channels, scale=task.scale
        )
        for name in names:
            yield name, planes[source.channels.index(name)] if name else luminance(planes)
        return
    for name in names:
        image = _open_channel(task.source, name).read(index)
        yield name, denoise_image(task.denoiser, image, size, channels=(name,) if name else (), scale=task.scale)


@lru_cache(maxsize=2)
def _open_source(path: Path) -> StoredFrames:
    return StoredFrames(path)


@lru_cache(maxsize=32)
def _open_channel(path: Path, name: str) -> StoredFrames:
    return StoredFrames(path, name)
