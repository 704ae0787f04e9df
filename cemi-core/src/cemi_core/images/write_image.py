"""Writes pictures as TIFF, PNG or JPEG, by the suffix of their name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cemi_core.errors import UsageError
from cemi_core.files.atomic import atomic_path
from cemi_core.images.tiff_tags import PageTags

_JPEG_QUALITY = 95
TIFF_SUFFIXES = (".tif", ".tiff")
_TYPES = {".png": (np.uint8, np.uint16), ".jpg": (np.uint8,), ".jpeg": (np.uint8,)}
#: A classical TIFF counts its bytes in 32 bits; some are left for what is not pixels.
_LARGEST_TIFF = 2**32 - 2**25


def write_image(path: Path, pixels: NDArray[Any], pixel_size_um: float | None = None) -> None:
    """Write a grey picture in its own type; it appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        ``.tif``, ``.png`` (8 and 16 bit) or ``.jpg`` (8 bit).
    pixels : ndarray, shape (h, w)
        uint8, uint16 or float32; in a TIFF other integers and floats too.
    pixel_size_um : float or None
        Kept as the resolution of a TIFF.

    Raises
    ------
    UsageError
        The format cannot hold this type, or the suffix names no format.
    StorageError
        The disk is full.
    """
    require_format(path, pixels.dtype)
    if path.suffix.lower() in TIFF_SUFFIXES:
        write_pages(path, [(pixels, PageTags.of_scale(pixel_size_um))], pixels.nbytes)
        return
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=_JPEG_QUALITY)  # PNG takes no notice of it


def write_pages(path: Path, pages: Iterable[tuple[NDArray[Any], PageTags]], total_bytes: int) -> None:
    """Write grey pictures as the pages of one TIFF; it appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
    pages : iterable of (ndarray of shape (h, w), PageTags)
        Pixels of each, and what is said of them; taken one at a time.
    total_bytes : int
        Of the pixels of all pages, which decides on the kind of TIFF.

    Raises
    ------
    StorageError
        The disk is full.
    """
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=total_bytes > _LARGEST_TIFF) as tiff:
        for pixels, tags in pages:
            scale: dict[str, Any] = {"resolution": tags.resolution, "resolutionunit": tags.unit}
            tiff.write(
                pixels,
                photometric="minisblack",
                metadata=None,  # without it, tifffile and others take pages of one size for a stack
                description=tags.description or None,
                extratags=[(*tag, True) for tag in tags.vendor],
                **(scale if tags.resolution else {}),
            )


def require_format(path: Path, dtype: np.dtype[Any], pages: int = 1) -> None:
    """Raise UsageError unless the format that the suffix of ``path`` names holds so many pictures of this type."""
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return
    if suffix not in _TYPES:
        raise UsageError(f"'{path.name}': pictures are written as .tif, .png or .jpg")
    if dtype.type not in _TYPES[suffix]:
        raise UsageError(f"'{path.name}': {suffix[1:]} cannot hold {dtype} pixels; use .tif")
    if pages > 1:
        raise UsageError(f"'{path.name}': {suffix[1:]} holds one picture, not {pages}; use .tif")
