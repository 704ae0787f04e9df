"""Opening stills: which pictures the files hold, what of each is the specimen, what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files, frame_names
from cemi_core.images.read_image import IMAGE_SUFFIXES, ImageHeader, has_colour, read_headers, read_pixels
from cemi_core.model.frame import DroppedFrame
from cemi_run.sources.data_bar import common_bar_height

Crop = Literal["auto", "none"] | tuple[int, int, int, int]


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
    """

    path: Path
    name: str
    header: ImageHeader
    place: int
    crop: tuple[slice, slice]

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
        pixels: NDArray[Any] = read_pixels(self.path, self.header.page)
        if pixels.shape != self.header.shape or pixels.dtype != self.header.dtype:
            raise InputError(f"'{self.path}' has changed since it was opened")
        return pixels[self.crop]


def open_stills(
    path: str | Sequence[str], crop: Crop, drop_bad: bool, apart: bool = False
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
    if not apart:
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


def notes_on_stills(stills: Sequence[Still]) -> list[str]:
    """Return sentences for the report: that pictures are in true colour."""
    coloured = next((still for still in stills if still.header.colour), None)
    if coloured is None or not has_colour(coloured.path, coloured.header.page):
        return []
    return [f"'{coloured.name}' is a colour picture: its luminance is used; coloured graphics stay in it."]
