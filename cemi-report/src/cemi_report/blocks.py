"""What the page is built from: figures with a caption, tables as text, and lists that are folded away."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cemi_report.numbers import column_text

#: Rows that a folded list shows at most; the rest is in the run folder.
LONGEST_LIST = 200


@dataclass(frozen=True)
class Plate:
    """A figure: PNG or JPEG bytes, what it shows (also for those who cannot see it), and how to read it."""

    image: bytes
    title: str
    reading: str = ""

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        kind = "png" if self.image.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.image).decode('ascii')}"


@dataclass(frozen=True)
class TextTable:
    """A table ready to be shown; ``numeric`` tells which columns are set to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""


@dataclass(frozen=True)
class Folded:
    """A list that is folded away: its title, and its table."""

    title: str
    table: TextTable


def text_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> TextTable:
    """Return a table as text; the numbers of one column share their decimals."""
    listed = [tuple(row) for row in rows]
    columns = [column_text([row[n] if n < len(row) else None for row in listed]) for n in range(len(heads))]
    texts = tuple(zip(*(column for column, _ in columns))) if listed else ()
    return TextTable(tuple(str(head) for head in heads), texts, tuple(numeric for _, numeric in columns), caption)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture (h, w) or (h, w, 3) as PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture, dtype=np.uint8)).save(stream, format="png", optimize=True)
    return stream.getvalue()


def list_title(title: str, total: int) -> str:
    """Return the title of a folded list with its length, and how much of it is shown."""
    return f"{title} (first {LONGEST_LIST} of {total:,})" if total > LONGEST_LIST else f"{title} ({total:,})"
