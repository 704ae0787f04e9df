"""Files that appear under their final name only when they are complete, and full disks as one clear sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cemi_core.errors import StorageError

#: What the name of a file that is still being written starts with.
PARTIAL = ".partial-"
_SPACE = "free some space or choose another folder, then run again"
_RIGHTS = "choose a folder that you may write to"
_NAME = "choose another name"
_REASONS = {
    errno.ENOSPC: ("no space left on", _SPACE),
    errno.EDQUOT: ("disk quota exceeded on", _SPACE),
    errno.EFBIG: ("file too large for the disk at", _SPACE),
    errno.EACCES: ("no permission to write", _RIGHTS),
    errno.EPERM: ("no permission to write", _RIGHTS),
    errno.EROFS: ("read-only disk at", _RIGHTS),
    errno.EISDIR: ("a folder is in the way of", _NAME),
    errno.ENOTDIR: ("a file is in the way of", _NAME),
    errno.EEXIST: ("something else is in the way of", _NAME),
    errno.ENOTEMPTY: ("a folder is in the way of", _NAME),
    errno.ENAMETOOLONG: ("the disk takes no name as long as", _NAME),
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk, met while writing ``path``, into a sentence.

    Raises
    ------
    StorageError
        No space is left, the quota is used up, the folder may not be written, or something is in the way.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number not in _REASONS and "No space left on device" in str(error):  # HDF5 tells it only in its words
            number = errno.ENOSPC
        if number not in _REASONS:
            raise
        what, remedy = _REASONS[number]
        raise StorageError(f"{what} {path}: {remedy}") from error


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` and move what was written there to ``path`` at the end.

    A file at ``path`` is replaced in one step. If the block fails, the temporary is removed and ``path`` stays as it
    was; after ``kill -9`` the temporary stays behind (see `remove_partials`) and ``path`` is as it was.

    Parameters
    ----------
    path : Path
        Where the finished file, or folder, shall be; its folder must exist.
    durable : bool
        Wait until the data are on the disk, so that the file also survives a power failure. Without it the file
        survives the death of the process only; a thousand small files are written much faster so.

    Yields
    ------
    Path
        A name in the same folder with the same suffix; write a file or make a folder there.

    Raises
    ------
    StorageError
        The disk is full or read-only, or the folder does not exist.
    """
    require_folder_of(path)
    temporary = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        with storage_errors(path):
            yield temporary
            if durable:
                _flush_to_disk(temporary)
            if temporary.is_dir() and path.is_dir():
                _remove(path)  # a folder cannot be replaced in one step
            temporary.replace(path)
            if durable:
                _sync(path.parent)
    except BaseException:
        with suppress(OSError):  # on a read-only disk; what went wrong first is told
            _remove(temporary)
        raise


def require_folder_of(path: Path) -> None:
    """Raise StorageError unless the folder exists that ``path`` shall be written into."""
    if not path.parent.is_dir():
        raise StorageError(f"there is no folder {path.parent} to write {path.name} into; make it first")


@contextmanager
def made_folder(path: Path, parents: bool = False) -> Iterator[None]:
    """Make a folder that may exist already; if the block fails and the folder made is empty, it is removed again.

    Parameters
    ----------
    path : Path
    parents : bool
        Make the folders above it too; these are removed again as well.

    Raises
    ------
    StorageError
        The disk is full or read-only, a file is in the way, or the folder above is missing.
    """
    if not parents:
        require_folder_of(path)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with storage_errors(path):
        path.mkdir(parents=parents, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # something has been written there
            for folder in made:
                folder.rmdir()
        raise


def write_json_atomically(path: Path, content: Any) -> None:
    """Write ``content`` as JSON to ``path`` in one step (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        # a file name that is not UTF-8 holds lone surrogates; their backslash form is JSON's own
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def remove_partials(folder: Path) -> int:
    """Remove what killed writers left in ``folder`` and below; return how many files or folders that were.

    Call it only while no other process writes there.
    """
    found = sorted(folder.rglob(f"{PARTIAL}*"))
    for path in found:
        _remove(path)
    return len(found)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    for file in path.rglob("*") if path.is_dir() else [path]:
        _sync(file)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot flush a folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
