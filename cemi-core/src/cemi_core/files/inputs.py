"""What a user gave as input is not written over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cemi_core.errors import UsageError


def require_no_input(written: Iterable[Path], read: Iterable[Path], kind: str) -> None:
    """Find out before the work whether what is written would replace a file that is read.

    Links, other ways to the same folder and names that the disk takes for the same are seen through.

    Parameters
    ----------
    written : iterable of Path
        Files, or folders such as mosaics, that will be written; they need not exist.
    read : iterable of Path
        What the user gave as input.
    kind : str
        What the inputs are, in the plural, for the message: ``"images"``.

    Raises
    ------
    UsageError
        One of the files is an input; the sentence names it.
    """
    read = list(read)
    names = {path.resolve() for path in read}
    files = {key for path in read if (key := _identity(path)) is not None}
    for path in written:
        if path.resolve() in names or _identity(path) in files:
            raise UsageError(
                f"'{path}' is one of the {kind}, which would be overwritten; choose another name or folder"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others on this machine, or None if there is no such file."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
