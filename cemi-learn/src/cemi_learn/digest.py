"""Hashes of pixels and of weights, by which the same data are known again wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest_of(arrays: Iterable[NDArray[Any]]) -> str:
    """Return a hash of all values of some arrays, in order: 24 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=12)
    for array in arrays:
        found.update(f"{array.shape}{array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, as ``sha256sum`` prints it."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
