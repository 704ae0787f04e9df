"""Opens annotation files: what kind they are, JSON and text decoded, damage told in one sentence."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError

#: Largest text file that is read, bytes.
MAX_TEXT_BYTES = 2_000_000_000
#: What the entries of a zip file may hold together once unpacked, bytes; and how many there may be.
MAX_UNPACKED_BYTES = 500_000_000
MAX_ENTRIES = 200_000
_BINARY = (b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xff\xd8\xff", b"PK\x03\x04", b"PK\x05\x06", b"Iout")


@dataclass(frozen=True)
class AnnotationFile:
    """A file that was opened.

    Attributes
    ----------
    path : Path
    start : bytes
        Its first 16 bytes.
    data : object
        What its JSON says; None if it is not JSON.
    text : str
        Its text; empty if it is JSON or binary.
    """

    path: Path
    start: bytes
    data: Any = None
    text: str = ""


def open_file(path: Path) -> AnnotationFile:
    """Return a file with its JSON parsed, or its text decoded.

    Raises
    ------
    InputError
        It is missing, empty, too large, not UTF-8, or broken JSON.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
            if not start:
                raise InputError(f"'{path}' is empty (0 bytes)")
            if start.startswith(_BINARY):
                return AnnotationFile(path, start)
            if path.stat().st_size > MAX_TEXT_BYTES:
                raise InputError(
                    f"'{path}' has {path.stat().st_size / 1e9:.1f} GB; annotation files of text are smaller"
                )
            content = start + stream.read()
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from None
    text = _decoded(path, content)
    if text.lstrip()[:1] not in ("{", "["):
        return AnnotationFile(path, start, text=text)
    try:
        return AnnotationFile(path, start, data=json.loads(text))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(
            f"'{path}' is broken JSON ({error.msg}, {where}); it may have been cut off: save it again"
        ) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"'{path}' is not JSON that a program for annotations writes ({error})") from None


def _decoded(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' is not UTF-8 (byte {error.start}); save it again as UTF-8, or name labels and files in ASCII"
        ) from None


@contextmanager
def written_by(program: str, path: Path) -> Iterator[None]:
    """Turn what reading an unexpected structure raises into one sentence that names the file and the program."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"'{path}' is not as {program} writes it ({detail})") from error


def zip_entries(path: Path, suffix: str) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Return the entries of a zip file with one suffix, in their order, and notes on odd ones.

    Nothing is ever written to the disk, so a name such as ``../../x.roi`` harms nobody; it is said.

    Raises
    ------
    InputError
        The file is damaged, protected, or would unpack to more than `MAX_UNPACKED_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename.lower().endswith(suffix)]
            size = sum(info.file_size for info in infos)
            if len(infos) > MAX_ENTRIES or size > MAX_UNPACKED_BYTES:
                raise InputError(
                    f"'{path}' would unpack to {len(infos)} entries of {size / 1e6:.0f} MB together, more than any set "
                    "of regions has; it is damaged or made to fill the memory"
                )
            entries, left = [], MAX_UNPACKED_BYTES
            for info in infos:
                with archive.open(info) as stream:
                    content = stream.read(left + 1)  # the header may lie about the size
                left -= len(content)
                if left < 0:
                    raise InputError(
                        f"'{path}' unpacks to more than its header says; it is damaged or made to fill the memory"
                    )
                entries.append((info.filename, content))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"'{path}' is a damaged or protected zip file ({error})") from None
    odd = [name for name, _ in entries if ".." in Path(name.replace("\\", "/")).parts or name.startswith(("/", "\\"))]
    if not odd:
        return entries, []
    return entries, [f"{len(odd)} entries have names that point outside ('{odd[0]}'); only their content was read"]
