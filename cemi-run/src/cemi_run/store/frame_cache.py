"""The files of frames that were read last, kept in memory so that step after step need not read them from disk again.

Each process keeps its own, in the type in which they are stored: 320 MB hold 500 frames of 1012 x 628 px with 8 bits,
more than two neighbouring passes of the paper's recording, which matching needs. A file that has changed is read anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import parent_process
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from numpy.typing import NDArray

#: Bytes that a run keeps, and each of its worker processes, which see but a part of the frames.
CACHE_BYTES, WORKER_CACHE_BYTES = 320_000_000, 32_000_000


class _Entry(NamedTuple):
    state: tuple[int, ...]
    pixels: Future[NDArray[Any]]


class FrameCache:
    """Arrays by the file that they were read from; those used last, up to so many bytes. Any thread may ask.

    Parameters
    ----------
    max_bytes : int
        More is forgotten, the longest unused first.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.kept_bytes = 0
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
        """Return ``read(path)``, or what an earlier call returned if the file is still the same; read-only.

        A thread that asks for what another one is reading waits for it.

        Raises
        ------
        FileNotFoundError
            There is no such file; and whatever ``read`` raises.
        """
        about = path.stat()
        state = about.st_ino, about.st_mtime_ns, about.st_size
        with self._lock:
            entry = self._entries.get(path)
            mine = entry is None or entry.state != state
            if entry is None or mine:
                self._drop(path)
                entry = self._entries[path] = _Entry(state, Future())
            self._entries.move_to_end(path)
        if mine:
            self._fill(path, entry, read)
        return entry.pixels.result()

    def forget(self, path: Path) -> None:
        """Forget a file, because it is about to change."""
        with self._lock:
            self._drop(path)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.kept_bytes = 0

    def _fill(self, path: Path, entry: _Entry, read: Callable[[Path], NDArray[Any]]) -> None:
        try:
            pixels = read(path)
        except BaseException as error:
            with self._lock:
                if self._entries.get(path) is entry:
                    del self._entries[path]
            entry.pixels.set_exception(error)
            raise
        pixels.flags.writeable = False
        with self._lock:
            entry.pixels.set_result(pixels)
            if self._entries.get(path) is entry:
                self.kept_bytes += pixels.nbytes
            while self.kept_bytes > self.max_bytes:
                self._drop(next(iter(self._entries)))

    def _drop(self, path: Path) -> None:
        entry = self._entries.pop(path, None)
        if entry is not None and entry.pixels.done():
            self.kept_bytes -= entry.pixels.result().nbytes


#: The frames that this process read last.
FRAMES_READ_LAST = FrameCache(CACHE_BYTES if parent_process() is None else WORKER_CACHE_BYTES)
