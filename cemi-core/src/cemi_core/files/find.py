"""Which files a path, a folder or a glob names, in natural order."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cemi_core.errors import InputError


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key with which ``"tile 9"`` comes before ``"tile 10"``.

    Digits compare as numbers, everything else without regard to case; numbers come before letters.
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part.lower()) for part in parts)


def _named(entry: str, suffixes: frozenset[str], kind: str) -> list[Path]:
    path = Path(entry)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".")]
        if not any(p.is_file() for p in found):
            raise InputError(f"folder '{entry}' holds no {kind} ({', '.join(sorted(suffixes))})")
        return [p for p in found if p.is_file()]
    if path.exists():  # before globbing, since names such as "tile[Grid@0 0].jpg" are also patterns
        return [path]
    if glob.has_magic(entry):
        found = [Path(name) for name in glob.glob(str(path))]  # noqa: PTH207 (it may be absolute)
        found = [p for p in found if p.is_file() and p.suffix.lower() in suffixes]
        if not found:
            raise InputError(f"no {kind} ({', '.join(sorted(suffixes))}) matches '{entry}'")
        return found
    raise InputError(f"'{entry}' does not exist; give a file, a folder or a pattern such as '*.tif'")


def find_files(path: str | Sequence[str], suffixes: Iterable[str], kind: str) -> list[Path]:
    """Return every file that ``path`` names, each once, in natural order of the whole path.

    Parameters
    ----------
    path : str or sequence of str
        Files, folders (their files with one of ``suffixes``, not those of subfolders) and glob patterns.
        A file that is named itself is taken whatever its suffix.
    suffixes : iterable of str
        Lower-case suffixes with their dot.
    kind : str
        What the files are, in the plural, for messages: ``"images"``.

    Raises
    ------
    InputError
        Something does not exist, or a folder or pattern yields nothing.
    """
    entries = [path] if isinstance(path, str) else list(path)
    if not entries:
        raise InputError(f"no {kind} were given")
    allowed = frozenset(suffixes)
    found = {p for entry in entries for p in _named(entry, allowed, kind)}
    return sorted(found, key=lambda p: natural_key(str(p)))


def frame_names(paths: Sequence[Path]) -> list[str]:
    """Return a short unique name per file: the file name, or the path below the common folder where names repeat."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    absolute = [path.absolute() for path in paths]
    depth = 0
    while all(len(p.parts) > depth + 1 and p.parts[depth] == absolute[0].parts[depth] for p in absolute):
        depth += 1
    return ["/".join(p.parts[depth:]) for p in absolute]
