"""Folders that one process at a time writes to, and that can be told from folders of other things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cemi_core.errors import RunInUseError, StorageError
from cemi_core.files.atomic import remove_partials, storage_errors

#: The folder inside a run or training in which CEMI keeps its own records; it tells such a folder from others.
INNER = ".cemi"


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold a folder of a run or a training for this process; it is made if it does not exist.

    The lock dies with the process, however it ends. What a killed process has left half written is removed.

    Raises
    ------
    RunInUseError
        Another process holds it.
    StorageError
        The folder cannot be made or written, is a file, or holds something else.
    """
    inner = path / INNER
    if path.exists() and not path.is_dir():
        raise StorageError(f"{path} is a file, so it cannot be a run folder; choose another --out")
    if path.is_dir() and not inner.exists() and any(path.iterdir()):
        raise StorageError(f"{path} holds other files and no run; choose an empty or new folder for --out")
    with storage_errors(path):
        inner.mkdir(parents=True, exist_ok=True)
    lock = FileLock(inner / "lock")
    try:
        with storage_errors(path):
            lock.acquire(timeout=0)
    except Timeout:
        raise RunInUseError(f"another cemi writes to {path}; wait until it is done, or choose another --out") from None
    try:
        remove_partials(path)
        yield
    finally:
        lock.release()
