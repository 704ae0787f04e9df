"""Files in, the same files without noise out: each with its own name, type of pixels and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError, UsageError
from cemi_core.files.atomic import storage_errors
from cemi_core.images.read_image import ImageHeader, as_read
from cemi_core.images.tiff_tags import PageTags, read_page_tags
from cemi_core.images.write_image import TIFF_SUFFIXES, require_format, write_image, write_pages
from cemi_core.model.channels import COLOUR
from cemi_core.model.frame import from_unit_range, to_unit_range
from cemi_core.model.pixels import is_grey, luminance
from cemi_core.model.stages import Denoiser
from cemi_core.numeric.tiles import denoise_image, enlarged
from cemi_run.engine.executors import spread
from cemi_run.engine.plan import Workers
from cemi_run.jobs.compare import Against, Comparison
from cemi_run.sources.images import ImagesSource

_LARGE_PX = 2_000_000


@dataclass(frozen=True)
class DenoisedFile:
    """What became of one file.

    Attributes
    ----------
    path : Path
        Where it was, or should have been, written.
    pages : int
        Pictures in it.
    failure : str
        Why nothing was written; empty if it was.
    comparisons : tuple of Comparison
        Its pictures beside better ones.
    not_compared : tuple of (str, str)
        Pictures without such a comparison, and why.
    """

    path: Path
    pages: int
    failure: str = ""
    comparisons: tuple[Comparison, ...] = ()
    not_compared: tuple[tuple[str, str], ...] = ()


def picture_names(source: ImagesSource) -> list[str]:
    """Return a name per picture: that of its file, with the page where it has several (``stack.tif[2]``)."""
    return [Path(frame.name).name for frame in source.frames]


@dataclass(frozen=True)
class FilesTask:
    """What is to be done, for every worker; picklable.

    Attributes
    ----------
    denoiser : Denoiser
    source : ImagesSource
        The files, no two of one name.
    out : Path
        A folder that exists.
    aside : Path
        An empty folder for pages that wait for the others of their file; it must outlive the workers.
    against : Against, optional
        Better pictures of the same fields, to compare with.
    together : bool
        The denoiser wants all channels of a picture at once.
    scale : int
        Its images are so many times as high and wide.
    """

    denoiser: Denoiser
    source: ImagesSource
    out: Path
    aside: Path
    against: Against | None = None
    together: bool = False
    scale: int = 1

    def page(self, index: int) -> Path:
        """Return where one page waits."""
        return self.aside / f"{index}.npy"


def denoise_files(task: FilesTask, workers: Workers, label: str) -> Iterator[DenoisedFile]:
    """Denoise every file of a source into a folder, and yield what became of each as soon as it is known.

    A file with several pages becomes one file with as many, and colour stays colour: each channel is denoised (all at
    once by a denoiser that takes them so), and alpha is written as it came. Pixels keep the type that they have in the
    file; 1-bit pictures become 8-bit ones.

    Parameters
    ----------
    task : FilesTask
    workers : Workers
    label : str
        What the progress is called.

    Raises
    ------
    StorageError
        The disk is full.
    """
    files: dict[Path, list[int]] = {}
    for index, still in enumerate(task.source.stills):
        files.setdefault(task.out / still.path.name, []).append(index)
    refused = {target: why for target, indices in files.items() if (why := _refusal(target, task.source, indices))}
    for target, why in refused.items():
        yield DenoisedFile(target, len(files.pop(target)), why)
    todo = [index for indices in files.values() for index in indices]
    large = any(np.prod(task.source.stills[index].shape) > _LARGE_PX for index in todo)
    # large pictures do not wait for the first one to tell how many go into a task
    batch = 1 if large else None
    answers = spread(workers.executor, _denoise_batch, task, todo, in_flight=workers.in_flight, batch=batch)
    done = 0
    for target, indices in files.items():
        pictures = []
        for _ in indices:
            pictures.append(next(answers)[1])
            done += 1
            workers.progress(label, done, len(todo))
        yield _finish(task, target, indices, pictures)


def _refusal(target: Path, source: ImagesSource, indices: Sequence[int]) -> str:
    """Return why a file cannot be written as it came, if so, before the work on it begins."""
    try:
        for index in indices:
            require_format(target, _written_dtype(source, index), len(indices))
    except UsageError as error:
        return str(error)
    return ""


def _written_dtype(source: ImagesSource, index: int) -> np.dtype[Any]:
    header = source.stills[index].header
    return header.dtype if header.stored.kind == "b" else header.stored


class _Picture(NamedTuple):
    """What became of one picture; empty texts where nothing went wrong."""

    failure: str = ""
    comparison: Comparison | None = None
    not_compared: str = ""


def _denoise_batch(task: FilesTask, indices: Sequence[int]) -> list[_Picture]:
    return [_denoise_one(task, index) for index in indices]


def _denoise_one(task: FilesTask, index: int) -> _Picture:
    """Denoise one picture, write it (or put it aside, if it is a page among others), and compare it."""
    source, still, frame = task.source, task.source.stills[index], task.source.frames[index]
    try:
        samples = still.read_samples()
        greys, spare = _channels(samples, still.header)
        raws = [to_unit_range(as_read(grey), source.float_ranges[index]) for grey in greys]
        if not any(np.isfinite(raw).any() for raw in raws):
            return _Picture(failure="none of its pixels is a number")
        stored = partial(
            as_stored,
            stored=_written_dtype(source, index),
            read=still.header.dtype,
            float_range=source.float_ranges[index],
        )
        # pixels of a large picture are never whole in float32, unless they are to be compared
        tile = stored if task.against is None else None
        images = _denoised(task, raws, frame.pixel_size_um, tile)
        pixels = _joined(
            images if tile is not None else [stored(image) for image in images], _grown(spare, task.scale), still.header
        )
    except InputError as error:
        return _Picture(failure=str(error))
    target = task.out / still.path.name
    if still.header.pages > 1:
        with storage_errors(target):
            np.save(task.page(index), pixels, allow_pickle=False)
    elif target.suffix.lower() in TIFF_SUFFIXES:
        write_pages(target, [(pixels, _tags(task, index))], pixels.nbytes)
    else:
        write_image(target, pixels)
    if task.against is None:
        return _Picture()
    try:
        raw, image = (parts[0] if len(parts) == 1 else luminance(np.stack(parts)) for parts in (raws, images))
        return _Picture(comparison=task.against.compare(Path(frame.name).name, raw, image))
    except InputError as error:
        return _Picture(not_compared=str(error))


def _channels(samples: NDArray[Any], header: ImageHeader) -> tuple[list[NDArray[Any]], NDArray[Any] | None]:
    """Return the channels (h, w) of a picture that differ, and its alpha (h, w, 1) if it has any."""
    if samples.ndim == 2:
        return [samples], None
    count = header.samples
    alpha = samples[..., count:] if header.alpha else None
    same = header.model != "signals" and is_grey(samples[..., :count])
    return [np.ascontiguousarray(samples[..., n]) for n in range(1 if same else count)], alpha


def _joined(channels: Sequence[NDArray[Any]], alpha: NDArray[Any] | None, header: ImageHeader) -> NDArray[Any]:
    """Return channels as a picture with the samples that its file has: grey stored as colour stays so."""
    if header.samples == 1 and alpha is None:
        return channels[0]
    parts = list(channels) * (header.samples if len(channels) == 1 else 1)
    return np.concatenate([*(part[..., None] for part in parts), *([] if alpha is None else [alpha])], axis=-1)


def _denoised(
    task: FilesTask,
    channels: Sequence[NDArray[np.float32]],
    pixel_size_um: float | None,
    stored: Callable[[NDArray[np.float32]], NDArray[Any]] | None,
) -> list[NDArray[Any]]:
    names: tuple[str, ...] = COLOUR if len(channels) == len(COLOUR) else ()
    if task.together and len(channels) > 1:
        names = names or tuple(f"channel{number + 1}" for number in range(len(channels)))
        return list(
            denoise_image(
                task.denoiser, np.stack(channels), pixel_size_um, stored=stored, channels=names, scale=task.scale
            )
        )
    return [
        denoise_image(
            task.denoiser, channel, pixel_size_um, stored=stored, channels=names[number : number + 1], scale=task.scale
        )
        for number, channel in enumerate(channels)
    ]


def _grown(alpha: NDArray[Any] | None, scale: int) -> NDArray[Any] | None:
    """Return alpha (h, w, 1) in the size of the denoised image."""
    return None if alpha is None else enlarged(alpha[..., 0], scale)[..., None]


def _tags(task: FilesTask, index: int) -> PageTags:
    """Return what a page of a TIFF says beside its pixels, as far as that holds for the denoised one."""
    source = task.source
    still, frame = source.stills[index], source.frames[index]
    header = still.header
    tags = read_page_tags(still.path, header.page)
    tags = replace(tags, colour=header.model in ("rgb", "cmyk"), alpha=header.alpha)
    if header.indexed or header.stored.kind == "b" or still.shape != header.shape:  # channels, type or size differ
        tags = replace(tags, description=b"", vendor=())
    if frame.pixel_size_um is not None:  # microscopes leave the dots per inch of a screen in the tags for it
        scale = PageTags.of_scale(frame.pixel_size_um / task.scale)
        tags = replace(tags, resolution=scale.resolution, unit=scale.unit)
        if (
            task.scale > 1 or frame.pixel_size_um != header.vendor.pixel_size_um
        ):  # given by the user: other words on it are wrong
            tags = replace(tags, description=b"", vendor=())
    return tags


def as_stored(
    image: NDArray[np.float32], stored: np.dtype[Any], read: np.dtype[Any], float_range: tuple[float, float]
) -> NDArray[Any]:
    """Return a picture in [0, 1] in the type that it has in its file.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
    stored : numpy.dtype
        Any integer or float.
    read : numpy.dtype
        Type that it was read as before it was brought to [0, 1]: uint8, uint16 or float32.
    float_range : tuple of float
        Values of 0 and 1, if it was read as float32.
    """
    if stored == read:
        return from_unit_range(image, read, float_range)
    grey = from_unit_range(image.astype(np.float64), np.dtype(np.float64), float_range)
    if stored.kind == "f":
        return grey.astype(stored)
    limits = np.iinfo(stored)
    top = np.nextafter(float(limits.max) + 1, 0)  # the largest float that fits: int64's own maximum is none
    whole: NDArray[Any] = np.clip(np.rint(grey), float(limits.min), top).astype(stored)
    return whole


def _finish(task: FilesTask, target: Path, indices: Sequence[int], pictures: Sequence[_Picture]) -> DenoisedFile:
    """Join the pages of a file that has several, unless one of them failed."""
    source = task.source
    names = [Path(source.frames[index].name).name for index in indices]
    reasons = [(name, picture.failure) for name, picture in zip(names, pictures) if picture.failure]
    failure = "" if not reasons else reasons[0][1] if len(names) == 1 else ": ".join(reasons[0])
    if source.stills[indices[0]].header.pages > 1:
        if not failure:
            total = sum(task.page(index).stat().st_size for index in indices)
            pages = ((np.load(task.page(index)), _tags(task, index)) for index in indices)
            write_pages(target, pages, total)
        for index in indices:
            task.page(index).unlink(missing_ok=True)
    return DenoisedFile(
        target,
        len(indices),
        failure,
        tuple(picture.comparison for picture in pictures if picture.comparison is not None),
        tuple((name, picture.not_compared) for name, picture in zip(names, pictures) if picture.not_compared),
    )
