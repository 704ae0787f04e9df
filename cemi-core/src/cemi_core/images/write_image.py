"""Writes pictures as TIFF, PNG or JPEG, by the suffix of their name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
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
    """Write a picture in its own type; it appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        ``.tif``, ``.png`` (8 and 16 bit) or ``.jpg`` (8 bit).
    pixels : ndarray, shape (h, w) or (h, w, samples)
        Two samples are grey and alpha, three red, green and blue, four have alpha besides. uint8, uint16 or float32; in
        a TIFF other integers and floats too.
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
        samples = 1 if pixels.ndim == 2 else pixels.shape[2]
        tags = replace(PageTags.of_scale(pixel_size_um), colour=samples in (3, 4), alpha=samples in (2, 4))
        write_pages(path, [(pixels, tags)], pixels.nbytes)
        return
    with atomic_path(path) as temporary:
        if pixels.ndim == 3 and pixels.dtype == np.uint16:  # Pillow has no colour of 16 bits
            temporary.write_bytes(imagecodecs.png_encode(pixels))
        else:  # PNG takes no notice of the quality
            Image.fromarray(pixels).save(temporary, quality=_JPEG_QUALITY, subsampling=0)


def write_pages(path: Path, pages: Iterable[tuple[NDArray[Any], PageTags]], total_bytes: int) -> None:
    """Write pictures as the pages of one TIFF; it appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
    pages : iterable of (ndarray of shape (h, w) or (h, w, samples), PageTags)
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
            several: dict[str, Any] = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
            if pixels.ndim == 3:
                several["extrasamples"] = _extra(pixels, tags)
            scale: dict[str, Any] = {"resolution": tags.resolution, "resolutionunit": tags.unit}
            tiff.write(
                pixels,
                photometric="rgb" if tags.colour else "minisblack",
                **several,
                metadata=None,  # without it, tifffile and others take pages of one size for a stack
                description=tags.description or None,
                extratags=[(*tag, True) for tag in tags.vendor],
                **(scale if tags.resolution else {}),
            )


def _extra(pixels: NDArray[Any], tags: PageTags) -> list[str]:
    """Return what the samples beyond grey, or beyond red, green and blue, are."""
    more = pixels.shape[2] - (3 if tags.colour else 1)
    return ["unspecified"] * (more - tags.alpha) + ["unassalpha"] * tags.alpha


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
