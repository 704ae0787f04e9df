"""Writes one picture as TIFF, PNG or JPEG, by the suffix of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cemi_core.errors import UsageError
from cemi_core.store.atomic import atomic_path

_JPEG_QUALITY = 95


def write_image(path: Path, pixels: NDArray[Any], pixel_size_um: float | None = None) -> None:
    """Write a grey picture in its own type; it appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        ``.tif``, ``.png`` (8 and 16 bit) or ``.jpg`` (8 bit).
    pixels : ndarray, shape (h, w)
        uint8, uint16 or float32.
    pixel_size_um : float or None
        Kept as the resolution of a TIFF.

    Raises
    ------
    UsageError
        The format cannot hold this type, or the suffix names no format.
    StorageError
        The disk is full.
    """
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        options: dict[str, Any] = {"photometric": "minisblack"}
        if pixel_size_um:
            options |= {"resolution": (1e4 / pixel_size_um, 1e4 / pixel_size_um), "resolutionunit": "CENTIMETER"}
        with atomic_path(path) as temporary:
            tifffile.imwrite(temporary, pixels, **options)
        return
    allowed = {".png": (np.uint8, np.uint16), ".jpg": (np.uint8,), ".jpeg": (np.uint8,)}
    if suffix not in allowed:
        raise UsageError(f"'{path.name}': pictures are written as .tif, .png or .jpg")
    if pixels.dtype.type not in allowed[suffix]:
        raise UsageError(f"'{path.name}': {suffix[1:]} cannot hold {pixels.dtype} pixels; use .tif")
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=_JPEG_QUALITY)  # PNG takes no notice of it
