"""Opening stills: which pictures the files hold, what of each is the specimen, what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files, frame_names
from cemi_core.images.read_image import IMAGE_SUFFIXES, ImageHeader, as_read, read_headers, read_samples
from cemi_core.model.frame import DroppedFrame
from cemi_core.model.pixels import to_grey
from cemi_run.sources.data_bar import common_bar_height

Crop = Literal["auto", "none"] | tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the pixels of one channel of a frame lie.

    Attributes
    ----------
    path : Path
        The file.
    header : ImageHeader
        Of its page.
    sample : int or None
        Which sample of a pixel it is; None for the grey of the whole page.
    factor : int
        Each of its pixels covers so many of the frame, along y and along x.
    crop : tuple of slice
        What of it is kept, once it is enlarged.
    """

    path: Path
    header: ImageHeader
    sample: int | None
    factor: int
    crop: tuple[slice, slice]

    def cut(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return what is kept (h, w) of the page as it is stored, enlarged to the frame (nearest neighbour)."""
        one = stored if stored.ndim == 2 else to_grey(stored) if self.sample is None else stored[..., self.sample]
        pixels = as_read(one)
        if self.factor > 1:
            pixels = pixels.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        return np.ascontiguousarray(pixels[self.crop])


@dataclass(frozen=True, slots=True)
class Still:
    """One picture in a file.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its name, with the page where a file has several: ``"stack.tif[2]"``.
    header : ImageHeader
        What is known before its pixels are read.
    place : int
        Place among all pictures in order of the files, damaged ones counted.
    crop : tuple of slice
        What of it is kept.
    planes : tuple of Plane
        Its channels; none of plain grey.
    main : int or None
        The channel that `read` gives; None for the grey of its page.
    """

    path: Path
    name: str
    header: ImageHeader
    place: int
    crop: tuple[slice, slice]
    planes: tuple[Plane, ...] = ()
    main: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what is kept, px."""
        return self.crop[0].stop - self.crop[0].start, self.crop[1].stop - self.crop[1].start

    def read(self) -> NDArray[Any]:
        """Return what is kept (h, w), in the type of the file.

        Raises
        ------
        InputError
            The file has become unreadable or is damaged in its pixels.
        """
        return self._main(_checked(self.path, self.header))

    def read_samples(self) -> NDArray[Any]:
        """Return what is kept as it is stored: (h, w), or (h, w, samples) with alpha last where it has any.

        Raises
        ------
        InputError
            As `read`.
        """
        return _checked(self.path, self.header)[self.crop]

    def read_together(self) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        """Return what `read` gives and every channel (h, w) in the type of its file; each page is decoded once.

        Raises
        ------
        InputError
            A file has become unreadable, is damaged in its pixels, or is of another size than before.
        """
        stored = {(self.path, self.header.page): _checked(self.path, self.header)}
        planes = []
        for plane in self.planes:
            page = plane.path, plane.header.page
            if page not in stored:
                stored[page] = _checked(*page[:1], plane.header)
            planes.append(plane.cut(stored[page]))
        main = planes[self.main] if self.main is not None else self._main(stored[self.path, self.header.page])
        return main, planes

    def _main(self, stored: NDArray[Any]) -> NDArray[Any]:
        if self.main is not None:
            return self.planes[self.main].cut(stored)
        return as_read(to_grey(stored))[self.crop]


def _checked(path: Path, header: ImageHeader) -> NDArray[Any]:
    """Return a page as it is stored, if it still is what its header said.

    Raises
    ------
    InputError
        It cannot be read, or has changed.
    """
    stored = read_samples(path, header.page)
    if stored.shape[:2] != header.shape or as_read(stored[:1, :1]).dtype != header.dtype:
        raise InputError(f"'{path}' has changed since it was opened")
    return stored


def open_stills(
    path: str | Sequence[str], crop: Crop, drop_bad: bool, apart: bool = False, mixed: bool = False
) -> tuple[list[Still], list[DroppedFrame]]:
    """Read the headers of all files.

    Parameters
    ----------
    path : str or sequence of str
        Files, folders or patterns.
    crop : str or tuple of int
        See `ImagesSettings`.
    drop_bad : bool
        Drop and list damaged files as long as at least two others can be read.
    apart : bool
        The pictures have nothing to do with each other: depths may be mixed, and one that can be read is enough.
    mixed : bool
        Depths may be mixed.

    Raises
    ------
    InputError
        Nothing is found, a file is damaged, depths are mixed, or the crop does not fit.
    """
    paths = find_files(path, IMAGE_SUFFIXES, "images")
    stills: list[Still] = []
    errors: list[tuple[str, InputError]] = []
    place = 0
    for file, name in zip(paths, frame_names(paths)):
        try:
            headers = read_headers(file)
        except InputError as error:
            errors.append((name, error))
            place += 1
            continue
        for header in headers:
            page_name = name if header.pages == 1 else f"{name}[{header.page}]"
            stills.append(Still(file, page_name, header, place, _crop(file, header, crop)))
            place += 1
    if errors and (not drop_bad or len({still.path for still in stills}) < (1 if apart else 2)):
        raise errors[0][1]
    if not (apart or mixed):
        _check_depth(stills)
    if crop == "auto":
        stills = _without_common_bar(stills)
    return stills, [DroppedFrame(name, str(error)) for name, error in errors]


def _crop(path: Path, header: ImageHeader, crop: Crop) -> tuple[slice, slice]:
    height, width = header.shape
    if crop == "none":
        return slice(0, height), slice(0, width)
    if crop == "auto":
        return slice(0, height - header.vendor.bar_height_px), slice(0, width)
    y0, y1, x0, x1 = crop
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise InputError(f"crop [{y0}, {y1}, {x0}, {x1}] does not fit '{path}' of {height} x {width} px (y, x)")
    return slice(y0, y1), slice(x0, x1)


def _check_depth(stills: Sequence[Still]) -> None:
    first = stills[0]
    for still in stills:
        if still.header.dtype != first.header.dtype:
            raise InputError(
                f"'{first.path}' is {first.header.dtype} and '{still.path}' is {still.header.dtype}; "
                "save all images with the same depth"
            )


def _without_common_bar(stills: list[Still]) -> list[Still]:
    """Cut a data bar that the metadata do not tell of: what three of the pictures have in common at the bottom."""
    if len(stills) < 3 or len({still.header.shape for still in stills}) > 1:
        return stills
    if any(still.header.vendor.bar_height_px for still in stills):
        return stills
    try:
        bar = common_bar_height([stills[i].read() for i in (0, len(stills) // 2, len(stills) - 1)])
    except InputError:  # damaged in its pixels: said where the frame is read
        return stills
    return [replace(s, crop=(slice(0, s.header.shape[0] - bar), s.crop[1])) for s in stills] if bar else stills
