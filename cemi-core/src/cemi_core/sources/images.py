"""Stills: a folder, a pattern or a list of TIFF, PNG or JPEG files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import InputError
from cemi_core.model.frame import DroppedFrame, Frame, to_unit_range
from cemi_core.model.settings import PositiveLengthUm, Settings
from cemi_core.model.stages import Runtime
from cemi_core.model.units import format_length
from cemi_core.sources.files import find_files, frame_names
from cemi_core.sources.float_range import common_range, finite_range
from cemi_core.sources.positions import (
    GridHints,
    GridPlace,
    check_pattern,
    grid_place,
    grid_position_px,
    last_number,
    lines_of_positions,
    name_fields,
    read_positions_csv,
)
from cemi_core.sources.read_image import IMAGE_SUFFIXES, ImageHeader, has_colour, read_headers, read_pixels

Crop = Literal["auto", "none"] | tuple[int, int, int, int]


class ImagesSettings(Settings):
    """Settings of the source `images`."""

    path: str | list[str] = Field(
        description="Files, folders or patterns of TIFF, PNG or JPEG images.", json_schema_extra={"format": "path"}
    )
    pixel_size: PositiveLengthUm | None = Field(
        default=None,
        description="Edge of a pixel, such as '100 nm'; by default what the microscope wrote into the file.",
    )
    positions: str | None = Field(
        default=None,
        description="Table file,y_px,x_px of rough stage positions (CSV); files that it does not name are left out.",
        json_schema_extra={"format": "path"},
    )
    grid: GridHints | None = Field(default=None, description="The grid in which the stage stepped.")
    numbering: str = Field(
        default="order",
        description="Where a file's place in the grid comes from: 'order' (of the files), 'name' (the last number in "
        "the name, so that a gap is a missing tile), or a pattern such as 'Grid@{column} {row}' or 'tile{number}'.",
    )
    first_number: int | None = Field(
        default=None, description="Number of the first tile (numbering by name); by default the smallest that occurs."
    )
    crop: Crop = Field(
        default="auto",
        description="'auto' removes the data bar that the metadata tell of; 'none'; or [y0, y1, x0, x1] in px.",
    )
    tolerance: float = Field(
        default=0.08,
        gt=0,
        le=1,
        description="How far off nominal positions may be, as a share of the larger side of a frame.",
    )
    float_range: tuple[float, float] | None = Field(
        default=None,
        description="Float values of black and white; by default [0, 1] if all pixels lie there, else their range.",
    )
    on_bad: Literal["drop", "error"] = Field(
        default="drop",
        description="What to do with a damaged file while at least two others can be read: 'drop' or 'error'.",
    )


@dataclass(frozen=True, slots=True)
class _Still:
    path: Path
    name: str
    header: ImageHeader
    place: int  # in the sequence of all stills, damaged ones included
    crop: tuple[slice, slice]

    @property
    def shape(self) -> tuple[int, int]:
        return self.crop[0].stop - self.crop[0].start, self.crop[1].stop - self.crop[1].start


class ImagesSource:
    """Stills as frames; opening reads headers only, except for floats without a range and one colour image.

    Damaged files are dropped and listed (see ``on_bad``). Files of different sizes are accepted and noted.

    Attributes
    ----------
    frames, dropped, dtype
        See `cemi_core.model.frame.FrameSource`. Frames come in order of files, or by line where a grid pattern says.
    float_range : tuple of float
        Float values that `read` maps to 0 and 1.
    notes : tuple of str
        Sentences for the report, such as that sizes differ.

    Raises
    ------
    InputError
        Nothing can be read, depths are mixed, or names do not fit the numbering; the message names the file.
    """

    def __init__(self, settings: ImagesSettings) -> None:
        stills, dropped = _open_all(settings)
        _check_depth(stills)
        placed, left_out = _place(stills, settings)
        if not placed:
            raise InputError(f"the positions table '{settings.positions}' names none of the images")
        self._stills = [still for still, _ in placed]
        self.frames: tuple[Frame, ...] = tuple(replace(frame, index=i) for i, (_, frame) in enumerate(placed))
        self.dropped: tuple[DroppedFrame, ...] = (*dropped, *left_out)
        self.dtype: np.dtype[Any] = self._stills[0].header.dtype
        self.notes = tuple(_notes(self._stills, self.frames))
        self.float_range = settings.float_range or (0.0, 1.0)
        if self.dtype.kind == "f" and settings.float_range is None:
            self.float_range = common_range(finite_range(self.read_native(i)) for i in range(len(self.frames)))

    def read_native(self, index: int) -> NDArray[Any]:
        """Return frame ``index`` (h, w), cropped, in the type of the file.

        Raises
        ------
        InputError
            The file has become unreadable or is damaged in its pixels.
        """
        still = self._stills[index]
        pixels = read_pixels(still.path, still.header.page)
        if pixels.shape != still.header.shape or pixels.dtype != still.header.dtype:
            raise InputError(f"'{still.path}' has changed since it was opened")
        return pixels[still.crop]

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index`` as float32 (h, w) in [0, 1]."""
        return to_unit_range(self.read_native(index), self.float_range)


def make(settings: ImagesSettings, runtime: Runtime) -> ImagesSource:
    """Make the source from a recipe."""
    return ImagesSource(settings)


def _open_all(settings: ImagesSettings) -> tuple[list[_Still], list[DroppedFrame]]:
    paths = find_files(settings.path, IMAGE_SUFFIXES, "images")
    stills: list[_Still] = []
    errors: list[tuple[str, InputError]] = []
    place = 0
    for path, name in zip(paths, frame_names(paths)):
        try:
            headers = read_headers(path)
        except InputError as error:
            errors.append((name, error))
            place += 1
            continue
        for header in headers:
            page_name = name if header.pages == 1 else f"{name}[{header.page}]"
            crop = _crop(path, header, settings.crop)
            stills.append(_Still(path, page_name, header, place, crop))
            place += 1
    if errors and (settings.on_bad == "error" or len({still.path for still in stills}) < 2):
        raise errors[0][1]
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


def _check_depth(stills: Sequence[_Still]) -> None:
    first = stills[0]
    for still in stills:
        if still.header.dtype != first.header.dtype:
            raise InputError(
                f"'{first.path}' is {first.header.dtype} and '{still.path}' is {still.header.dtype}; "
                "save all images with the same depth"
            )


def _frame(still: _Still, settings: ImagesSettings, row: int, position_px: tuple[float, float] | None) -> Frame:
    tolerance = settings.tolerance * max(still.shape) if position_px is not None else None
    pixel_size = settings.pixel_size or still.header.vendor.pixel_size_um
    return Frame(0, still.name, still.shape, row, None, position_px, tolerance, pixel_size)


def _place(stills: Sequence[_Still], settings: ImagesSettings) -> tuple[list[tuple[_Still, Frame]], list[DroppedFrame]]:
    """Return stills with their frames (index 0 yet) in the order of the source, and those that the table leaves out."""
    if settings.positions is not None:
        return _place_by_table(stills, settings, Path(settings.positions))
    if settings.grid is None and settings.numbering == "order":
        return [(still, _frame(still, settings, 0, None)) for still in stills], []
    hints = settings.grid or GridHints()
    shape = Counter(still.shape for still in stills).most_common(1)[0][0]
    places = _grid_places(stills, settings, hints)
    order = sorted(range(len(stills)), key=lambda i: (places[i].line, i))
    placed = []
    for i in order:
        position = grid_position_px(places[i], shape, hints.overlap_yx)
        placed.append((stills[i], _frame(stills[i], settings, places[i].line, position)))
    return placed, []


def _place_by_table(
    stills: Sequence[_Still], settings: ImagesSettings, path: Path
) -> tuple[list[tuple[_Still, Frame]], list[DroppedFrame]]:
    table = read_positions_csv(path)
    by_name = {still.path.name: still for still in reversed(stills)}
    by_name |= {still.name: still for still in stills} | {str(still.path): still for still in stills}
    chosen = [(name, by_name[name]) for name in table if name in by_name]
    missing = [DroppedFrame(name, "in the positions table, but not readable") for name in table if name not in by_name]
    used = {still.name for _, still in chosen}
    extra = [DroppedFrame(still.name, "not in the positions table") for still in stills if still.name not in used]
    if not chosen:
        return [], []
    lines = lines_of_positions([table[name] for name, _ in chosen], chosen[0][1].shape)
    placed = [(still, _frame(still, settings, line, table[name])) for (name, still), line in zip(chosen, lines)]
    return placed, [*missing, *extra]


def _grid_places(stills: Sequence[_Still], settings: ImagesSettings, hints: GridHints) -> list[GridPlace]:
    if settings.numbering not in ("order", "name"):
        check_pattern(settings.numbering)
        if "{row}" in settings.numbering:
            return _places_by_pattern(stills, settings.numbering, hints)
    numbers = [_number(still, settings.numbering) for still in stills]
    first = 0 if settings.numbering == "order" else min(numbers)
    if settings.first_number is not None:
        first = settings.first_number
    seen: dict[int, _Still] = {}
    for still, number in zip(stills, numbers):
        if number < first:
            raise InputError(f"'{still.path}' has number {number}, below the first number {first}")
        if number in seen:
            raise InputError(f"'{seen[number].path}' and '{still.path}' have the same number {number} in the grid")
        seen[number] = still
    count = max(numbers) - first + 1
    return [grid_place(number - first, count, hints) for number in numbers]


def _number(still: _Still, numbering: str) -> int:
    if numbering == "order":
        return still.place
    number = last_number(still.name.partition("[")[0]) if numbering == "name" else None
    if numbering != "name":
        number = (name_fields(still.name, numbering) or {}).get("number")
    if number is None:
        raise InputError(f"'{still.path}' has no number in its name where numbering '{numbering}' looks for it")
    return number


def _places_by_pattern(stills: Sequence[_Still], pattern: str, hints: GridHints) -> list[GridPlace]:
    places = []
    seen: dict[tuple[int, int], _Still] = {}
    for still in stills:
        fields = name_fields(still.name, pattern)
        if fields is None:
            raise InputError(f"'{still.path}' does not fit the name pattern '{pattern}'")
        row, column = fields["row"], fields["column"]
        if (row, column) in seen:
            raise InputError(f"'{seen[row, column].path}' and '{still.path}' have the same row and column")
        seen[row, column] = still
        places.append((row, column))
    top, left = min(row for row, _ in places), min(column for _, column in places)
    by_column = hints.order.startswith("column")
    return [GridPlace(r - top, c - left, c - left if by_column else r - top) for r, c in places]


def _notes(stills: Sequence[_Still], frames: Sequence[Frame]) -> list[str]:
    notes = []
    shapes = Counter(frame.shape for frame in frames)
    if len(shapes) > 1:
        sizes = ", ".join(f"{n} of {w} x {h} px" for (h, w), n in shapes.most_common())
        notes.append(f"the images differ in size: {sizes}")
    pixel_sizes = sorted({round(frame.pixel_size_um, 9) for frame in frames if frame.pixel_size_um is not None})
    if len(pixel_sizes) > 1:
        low, high = format_length(pixel_sizes[0]), format_length(pixel_sizes[-1])
        notes.append(f"the images differ in pixel size ({low} to {high}); stitching needs one magnification")
    coloured = next((still for still in stills if still.header.colour), None)
    if coloured is not None and has_colour(coloured.path, coloured.header.page):
        notes.append(f"'{coloured.name}' is a colour picture: its luminance is used; coloured graphics stay in it")
    return notes
