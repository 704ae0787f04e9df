"""Disk space kept back, so that a file can still be closed properly when the disk is full."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from cemi_core.files.atomic import PARTIAL, storage_errors


class DiskReserve:
    """A file that holds ``size`` bytes in ``folder`` until `release`.

    HDF5 keeps chunks and its own tables in memory until the file is closed. If these can no longer be written, the
    library crashes when the program ends (seen with HDF5 2.0). With a reserve to give up, they can.

    Raises
    ------
    StorageError
        The disk has not even this much space.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._path = folder / f"{PARTIAL}{uuid.uuid4().hex[:12]}-reserve"
        try:
            with storage_errors(folder), self._path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):  # no plugin
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the space back; more than once does no harm."""
        self._path.unlink(missing_ok=True)
