"""Reading a small table of text: commas, semicolons or tabs between its columns, and a head line."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from cemi_core.errors import InputError


@dataclass(frozen=True)
class CsvTable:
    """A table as text.

    Attributes
    ----------
    path : Path
    delimiter : str
        ``","``, ``";"`` or a tab: the one that occurs most often in the head line.
    head : tuple of str
        Names of the columns, without spaces around them.
    lines : tuple of (int, list of str)
        Number of each line in the file, and its cells; lines without any text are left out.
    """

    path: Path
    delimiter: str
    head: tuple[str, ...]
    lines: tuple[tuple[int, list[str]], ...]


def read_csv_table(path: Path) -> CsvTable:
    """Read a CSV table in UTF-8, with or without a byte-order mark.

    Raises
    ------
    InputError
        The file is missing, empty, or no CSV in UTF-8; the message names the line where it can.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no table {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a CSV table: {error}") from None
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        raise InputError(f"{path} is empty")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        lines = [(reader.line_num, row) for row in reader if any(column.strip() for column in row)]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num} cannot be read as CSV: {error}") from None
    head = tuple(column.strip() for column in lines[0][1])
    return CsvTable(path, delimiter, head, tuple(lines[1:]))
