"""Stills: a folder, a pattern or a list of TIFF, PNG or JPEG files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import InputError
from cemi_core.model.frame import DroppedFrame, Frame, GreyFrames, to_unit_range
from cemi_core.model.pixels import common_range, finite_range
from cemi_core.model.settings import PositiveLengthUm, Settings
from cemi_core.model.stages import Runtime
from cemi_run.sources.channels import Channels, StillChannels, channels_of, require_alone
from cemi_run.sources.conditions import conditions_of
from cemi_run.sources.positions import (
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
from cemi_run.sources.stills import Crop, Still, open_stills


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
        description="'auto' cuts the data bar (by metadata, or alike in three images); 'none'; or [y0, y1, x0, x1].",
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
    conditions: str | None = Field(
        default=None,
        description="Table (CSV) of how each image was taken: a column 'file' and any others, such as dose or class.",
        json_schema_extra={"format": "path"},
    )
    seconds_per_frame: float | None = Field(
        default=None, gt=0, description="Seconds between two images of a series: gives each the condition 'time_s'."
    )
    channels: Channels = Field(
        default="auto",
        description="'auto' keeps the channels of colour; 'grey' its luminance alone; or names of the pages of each "
        "file (or of the samples of its pixels), such as [BSE, SE]: each file is one frame then, matched on the first.",
    )
    more_channels: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="Further channels and their files, such as {SE: se/*.tif}: one file for each frame, called alike.",
        json_schema_extra={"format": "path"},
    )
    on_bad: Literal["drop", "error"] = Field(
        default="drop",
        description="What to do with a damaged file while at least two others can be read: 'drop' or 'error'.",
    )


class ImagesSource(GreyFrames):
    """Stills as frames, with their channels (`cemi_core.model.channels.ReadsTogether`).

    Opening reads headers only, but for a look at up to three pictures for a data bar, at up to eight that are stored in
    colour for whether they are grey all the same, and at all floats unless ``float_range`` is given.

    Damaged files are dropped and listed (see ``on_bad``). Files of different sizes are accepted.

    Parameters
    ----------
    settings : ImagesSettings
    apart : bool
        The files have nothing to do with each other: depths may be mixed, floats of each file have a range of their
        own, and one file that can be read is enough.

    Attributes
    ----------
    frames, dropped, dtype
        See `cemi_core.model.frame.FrameSource`. Frames come in order of files, or by line where a grid pattern says.
    stills : tuple of Still
        The picture behind each frame.
    float_range : tuple of float
        Float values that `read` maps to 0 and 1; if files are ``apart``, the range of all of them.
    float_ranges : tuple of tuple of float
        Float values that `read` maps to 0 and 1, for each frame.
    notes : tuple of str
        Sentences for the user and the report, such as that a picture is in colour.

    Raises
    ------
    InputError
        Nothing can be read, depths are mixed, names do not fit the numbering, or ``float_range`` is given for integers;
        the message names the file. Of files that are ``apart``, `require_floats` tells the last.
    """

    def __init__(self, settings: ImagesSettings, apart: bool = False) -> None:
        drop_bad, mixed = settings.on_bad == "drop", isinstance(settings.channels, list)
        stills, dropped = open_stills(settings.path, settings.crop, drop_bad, apart, mixed)
        if apart:
            require_alone(settings.channels, settings.more_channels)
            self._channels = StillChannels(tuple(stills))
        else:
            self._channels = channels_of(stills, settings.channels, settings.more_channels, drop_bad)
        dropped = [*dropped, *self._channels.dropped]
        placed, left_out = _place(self._channels.stills, settings)
        if not placed:
            raise InputError(f"the positions table '{settings.positions}' names none of the images")
        self.stills = tuple(still for still, _ in placed)
        table = Path(settings.conditions) if settings.conditions is not None else None
        conditions, odd_conditions = conditions_of(self.stills, table, settings.seconds_per_frame)
        names, main = self._channels.names, self._channels.main
        self.frames: tuple[Frame, ...] = tuple(
            replace(frame, index=i, conditions=conditions[i], channels=names, main_channel=main)
            for i, (_, frame) in enumerate(placed)
        )
        damaged = {entry.name for entry in dropped}
        left_out = [entry for entry in left_out if Path(entry.name).name not in damaged]
        self.dropped: tuple[DroppedFrame, ...] = (*dropped, *left_out)
        self.dtype: np.dtype[Any] = self.stills[0].header.dtype
        if settings.float_range is not None and not apart:
            self.require_floats()
        self.notes = (*self._channels.notes, *(() if apart else odd_conditions))
        found = {} if settings.float_range is not None else self._found_ranges()
        self.float_range = settings.float_range or common_range(found.values())
        by_file = self._by_file(found) if apart else {}
        self.float_ranges = tuple(by_file.get(still.path, self.float_range) for still in self.stills)
        self._channel_ranges = self._ranges_of_channels(settings.float_range)

    def read_native(self, index: int) -> NDArray[Any]:
        """Return frame ``index`` (h, w), cropped, in the type of the file.

        Raises
        ------
        InputError
            The file has become unreadable or is damaged in its pixels.
        """
        return self.stills[index].read()

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index`` as float32 (h, w) in [0, 1]."""
        return to_unit_range(self.read_native(index), self.float_ranges[index])

    def channel_type(self, name: str) -> tuple[np.dtype[Any], tuple[float, float]]:
        """Return the type of a channel's pixels, and the float values that are 0 and 1 of them."""
        return self._channels.type_of(name), self._channel_ranges[name]

    def read_channels(self, index: int) -> NDArray[np.float32]:
        """Return all channels of frame ``index``, float32 (channels, h, w) in [0, 1]; plain grey is one."""
        return self.read_together(index)[1]

    def read_together(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the matched image (h, w) and all channels (channels, h, w) of frame ``index``, float32 in [0, 1].

        Each page of each file is decoded once.

        Raises
        ------
        InputError
            A file has become unreadable or is damaged in its pixels.
        """
        main, planes = self.stills[index].read_together()
        unit = to_unit_range(main, self.float_ranges[index])
        if not planes:
            return unit, unit[np.newaxis]
        ranges = self._channel_ranges.values()
        return unit, np.stack([to_unit_range(plane, of_one) for plane, of_one in zip(planes, ranges)])

    def _ranges_of_channels(self, given: tuple[float, float] | None) -> dict[str, tuple[float, float]]:
        """Return the float values that are 0 and 1 of each channel; those of the matched image where it is one."""
        names, main = self._channels.names, self._channels.main
        floats = [n for n, name in enumerate(names) if name != main and self._channels.type_of(name).kind == "f"]
        found: dict[int, list[tuple[float, float]]] = {number: [] for number in floats}
        for still in self.stills if floats and given is None else ():
            with suppress(InputError):  # what is damaged in its pixels is told where it is read
                planes = still.read_together()[1]
                for number in floats:
                    found[number].append(finite_range(planes[number]))
        return {
            name: self.float_range if name == main else given or common_range(found.get(number, ()))
            for number, name in enumerate(names)
        }

    def require_floats(self) -> None:
        """Raise InputError if no picture is of floats, so that ``float_range`` would change nothing."""
        if all(still.header.dtype.kind != "f" for still in self.stills):
            first, dtype = self.stills[0], self.stills[0].header.dtype
            raise InputError(
                f"float_range is for images of floats, and none of these is one: '{first.path}' is {dtype}, "
                f"whose white is {np.iinfo(dtype).max}; leave it out"
            )

    def _found_ranges(self) -> dict[int, tuple[float, float]]:
        """Return the range of each frame of floats; one that is damaged in its pixels has none, which `read` tells."""
        found = {}
        for index, still in enumerate(self.stills):
            if still.header.dtype.kind == "f":
                with suppress(InputError):
                    found[index] = finite_range(self.read_native(index))
        return found

    def _by_file(self, found: Mapping[int, tuple[float, float]]) -> dict[Path, tuple[float, float]]:
        """Return the common range of the frames in each file."""
        ranges = defaultdict(list)
        for index, one in found.items():
            ranges[self.stills[index].path].append(one)
        return {path: common_range(of_pages) for path, of_pages in ranges.items()}


def make(settings: ImagesSettings, runtime: Runtime) -> ImagesSource:
    """Make the source from a recipe."""
    return ImagesSource(settings)


def _frame(still: Still, settings: ImagesSettings, row: int, position_px: tuple[float, float] | None) -> Frame:
    tolerance = settings.tolerance * max(still.shape) if position_px is not None else None
    pixel_size = settings.pixel_size or still.header.vendor.pixel_size_um
    return Frame(0, still.name, still.shape, row, None, position_px, tolerance, pixel_size)


def _place(stills: Sequence[Still], settings: ImagesSettings) -> tuple[list[tuple[Still, Frame]], list[DroppedFrame]]:
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


def _by_image_name(
    table: Mapping[str, tuple[float, float]], stills: Sequence[Still], folder: Path
) -> dict[str, tuple[float, float]]:
    """Return the table with names such as ``frames/a.tif``, relative to the table's folder, as those of the stills."""
    names = {still.path.absolute(): still.name for still in stills}
    return {names.get((folder / name).absolute(), name): position for name, position in table.items()}


def _place_by_table(
    stills: Sequence[Still], settings: ImagesSettings, path: Path
) -> tuple[list[tuple[Still, Frame]], list[DroppedFrame]]:
    table = _by_image_name(read_positions_csv(path), stills, path.parent)
    by_name = {still.path.name: still for still in reversed(stills)}
    by_name |= {still.name: still for still in stills} | {str(still.path): still for still in stills}
    chosen = [(name, by_name[name]) for name in table if name in by_name]
    absent = "in the positions table, but there is no such image"
    missing = [DroppedFrame(name, absent) for name in table if name not in by_name]
    used = {still.name for _, still in chosen}
    extra = [DroppedFrame(still.name, "not in the positions table") for still in stills if still.name not in used]
    if not chosen:
        return [], []
    lines = lines_of_positions([table[name] for name, _ in chosen], chosen[0][1].shape)
    placed = [(still, _frame(still, settings, line, table[name])) for (name, still), line in zip(chosen, lines)]
    return placed, [*missing, *extra]


def _grid_places(stills: Sequence[Still], settings: ImagesSettings, hints: GridHints) -> list[GridPlace]:
    if settings.numbering not in ("order", "name"):
        check_pattern(settings.numbering)
        if "{row}" in settings.numbering:
            return _places_by_pattern(stills, settings.numbering, hints)
    numbers = [_number(still, settings.numbering) for still in stills]
    first = 0 if settings.numbering == "order" else min(numbers)
    if settings.first_number is not None:
        first = settings.first_number
    seen: dict[int, Still] = {}
    for still, number in zip(stills, numbers):
        if number < first:
            raise InputError(f"'{still.path}' has number {number}, below the first number {first}")
        if number in seen:
            raise InputError(f"'{seen[number].path}' and '{still.path}' have the same number {number} in the grid")
        seen[number] = still
    count = max(numbers) - first + 1
    return [grid_place(number - first, count, hints) for number in numbers]


def _number(still: Still, numbering: str) -> int:
    if numbering == "order":
        return still.place
    number = last_number(still.name.partition("[")[0]) if numbering == "name" else None
    if numbering != "name":
        number = (name_fields(still.name, numbering) or {}).get("number")
    if number is None:
        raise InputError(f"'{still.path}' has no number in its name where numbering '{numbering}' looks for it")
    return number


def _places_by_pattern(stills: Sequence[Still], pattern: str, hints: GridHints) -> list[GridPlace]:
    places = []
    seen: dict[tuple[int, int], Still] = {}
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
