"""What is known about how each image was taken: a table of conditions, its folder, page, number and time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cemi_core.errors import InputError
from cemi_core.files.csv_table import CsvTable, read_csv_table
from cemi_run.sources.stills import Still

#: Names of the column that names the image; the first that a table has.
IMAGE_COLUMNS = ("file", "image", "filename", "name")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?\s*")
_DECIMAL_POINT = re.compile(r"\s*[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?\s*")
_MAX_NAMED = 5

Conditions = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ConditionsTable:
    """A table of conditions.

    Attributes
    ----------
    path : Path
    names : tuple of str
        The conditions, in the order of their columns.
    rows : mapping of str to (int, tuple)
        By the name of the image as the table has it: the number of the line, and (condition, text) of its cells that
        are not empty.
    """

    path: Path
    names: tuple[str, ...]
    rows: Mapping[str, tuple[int, Conditions]]


def conditions_of(
    stills: Sequence[Still], table_path: Path | None, seconds_per_frame: float | None
) -> tuple[list[Conditions], list[str]]:
    """Return the conditions of each image, and sentences on what does not fit together.

    Every image has its ``number`` among all files (from 1); ``page``, as in its name, in a file of several; ``folder``,
    where the images lie in several; ``time_s``, if the time between images is given; and what the table says of it,
    which wins over the others.

    Raises
    ------
    InputError
        The table cannot be read, or fits none of the images; the message names the line.
    """
    folders = distinct_folders([still.path for still in stills])
    listed: list[Conditions] = [()] * len(stills)
    notes: list[str] = []
    if table_path is not None:
        listed, notes = _by_image(read_conditions_table(table_path), stills)
    found = []
    for still, folder, told in zip(stills, folders, listed, strict=True):
        own = {"number": str(still.place + 1)}
        if still.header.pages > 1:
            own["page"] = str(still.header.page)
        if folder:
            own["folder"] = folder
        if seconds_per_frame is not None:
            own["time_s"] = f"{still.place * seconds_per_frame:.9g}"
        found.append(tuple((own | dict(told)).items()))
    return found, notes


def distinct_folders(paths: Sequence[Path]) -> list[str]:
    """Return of each file the part of its folder in which the folders differ; empty texts if all lie in one.

    ``a/bubbles/images/1.png`` and ``a/grains/images/1.png`` lie in ``bubbles`` and ``grains``.
    """
    parts = [path.absolute().parent.parts for path in paths]
    if len(set(parts)) < 2:
        return [""] * len(paths)
    shortest = min(len(p) for p in parts)
    start = next((n for n in range(shortest) if len({p[n] for p in parts}) > 1), shortest)
    tails = [p[start:] for p in parts]
    end = 0
    while all(len(tail) > end + 1 for tail in tails) and len({tail[-1 - end] for tail in tails}) == 1:
        end += 1
    return ["/".join(tail[: len(tail) - end]) or "." for tail in tails]


def read_conditions_table(path: Path) -> ConditionsTable:
    """Read a CSV table with a column that names the image and a column for each condition.

    Commas, semicolons or tabs stand between the columns; decimal commas become points where the columns are not
    separated by commas.

    Raises
    ------
    InputError
        No column names the image, a column has no name or one that occurs twice, a line has more or fewer cells than
        the head or names no image, an image is named twice, or a column mixes decimal commas and points.
    """
    table = read_csv_table(path)
    columns = _named_columns(table)
    image_column = next((name for name in IMAGE_COLUMNS if name in (c.lower() for c in columns)), None)
    if image_column is None:
        raise InputError(
            f"{path} has no column that names the image; call it 'file' (its columns are {', '.join(columns)})"
        )
    at = next(index for name, index in columns.items() if name.lower() == image_column)
    conditions = {name: index for name, index in columns.items() if index != at}
    if not conditions:
        raise InputError(f"{path} has no column beside the names of the images; add one for each condition")
    decimal_commas = _columns_of_decimal_commas(table, conditions)
    rows: dict[str, tuple[int, Conditions]] = {}
    for number, cells in table.lines:
        if any(cell.strip() for cell in cells[len(table.head) :]) or len(cells) < len(table.head):
            why = "; a decimal comma needs ';' between the columns" if len(cells) > len(table.head) else ""
            raise InputError(f"{path}, line {number} has {len(cells)} cells and the head line {len(table.head)}{why}")
        image = cells[at].strip()
        if not image:
            raise InputError(f"{path}, line {number} names no image in its column '{table.head[at]}'")
        if image in rows:
            raise InputError(f"{path} names the image '{image}' in line {rows[image][0]} and in line {number}")
        texts = {name: cells[index].strip() for name, index in conditions.items()}
        texts = {name: text.replace(",", ".") if name in decimal_commas else text for name, text in texts.items()}
        rows[image] = number, tuple((name, text) for name, text in texts.items() if text)
    if not rows:
        raise InputError(f"{path} has a head line but no images")
    return ConditionsTable(path, tuple(conditions), rows)


def _named_columns(table: CsvTable) -> dict[str, int]:
    """Return the place of each column by its name; a column without name or cells is passed over."""
    columns: dict[str, int] = {}
    for index, name in enumerate(table.head):
        if not name:
            filled = next(
                (number for number, cells in table.lines if index < len(cells) and cells[index].strip()), None
            )
            if filled is not None:
                raise InputError(f"{table.path}: column {index + 1} has no name, but a value in line {filled}")
        elif name in columns:
            raise InputError(f"{table.path} has {table.head.count(name)} columns '{name}'; name them apart")
        else:
            columns[name] = index
    return columns


def _columns_of_decimal_commas(table: CsvTable, conditions: Mapping[str, int]) -> set[str]:
    found = set()
    for name, index in conditions.items():
        cells = [(number, cells[index]) for number, cells in table.lines if index < len(cells)]
        comma = next((number for number, cell in cells if _DECIMAL_COMMA.fullmatch(cell)), None)
        if comma is None:
            continue
        point = next((number for number, cell in cells if _DECIMAL_POINT.fullmatch(cell)), None)
        if point is not None:
            raise InputError(
                f"{table.path}: column '{name}' has a decimal comma in line {comma} and a decimal point in line "
                f"{point}; write all numbers with points"
            )
        if all(_DECIMAL_COMMA.fullmatch(cell) or not cell.strip() or _is_number(cell) for _, cell in cells):
            found.add(name)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_image(table: ConditionsTable, stills: Sequence[Still]) -> tuple[list[Conditions], list[str]]:
    """Return what the table says of each image, and which images and lines have no counterpart.

    A line names an image by its name in the run, its file name (all pages of it), or its path from the table's folder.
    """
    by_name: dict[str, list[int]] = {}
    for index, still in enumerate(stills):
        for name in {still.name, still.path.name, str(still.path), str(still.path.absolute())}:
            by_name.setdefault(name, []).append(index)
    found: list[Conditions | None] = [None] * len(stills)
    line_of: dict[int, int] = {}
    strangers = []
    for name, (line, conditions) in table.rows.items():
        indices = by_name.get(name) or by_name.get(str((table.path.parent / name).absolute()), [])
        if len({stills[index].path for index in indices}) > 1:
            raise InputError(
                f"{table.path}, line {line}: several images are called '{name}'; write '{stills[indices[0]].name}'"
            )
        if not indices:
            strangers.append(name)
        for index in indices:
            if index in line_of and stills[index].header.pages == 1:
                raise InputError(f"{table.path}: lines {line_of[index]} and {line} name the same image '{name}'")
            if index in line_of and stills[index].name != name:
                continue  # the line of a page says more than that of its whole file
            found[index], line_of[index] = conditions, line
    if len(strangers) == len(table.rows):
        raise InputError(
            f"{table.path} names none of the images: its first line is '{strangers[0]}', the first image is "
            f"'{stills[0].name}'"
        )
    notes = []
    if strangers:
        notes.append(f"{table.path.name} names images that are not there: {_listed(strangers)}.")
    missing = [still.name for still, conditions in zip(stills, found, strict=True) if conditions is None]
    if missing:
        notes.append(f"{table.path.name} does not name these images, whose conditions are unknown: {_listed(missing)}.")
    return [conditions or () for conditions in found], notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
