"""Opens masks: their pixels as stored, not as an image shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.images.read_image import is_tiff, named_errors, picture_pages, read_headers
from cemi_core.images.read_image import opened_by_pillow as pillow_image


@dataclass(frozen=True)
class StoredMask:
    """The pixels of a mask as they are stored.

    Attributes
    ----------
    pixels : ndarray of integers, shape (h, w) or (h, w, 3)
        Grey levels, entries of a palette, or colours.
    said : ndarray of bool, shape (h, w)
        False where the mask is transparent.
    palette : ndarray of int64, shape (256, 3), or None
        Red, green and blue, 0 to 255, of each entry.
    notes : tuple of str
    """

    pixels: NDArray[np.integer]
    said: NDArray[np.bool_]
    palette: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()


def stored_mask(path: Path) -> StoredMask:
    """Return the pixels of a mask.

    Raises
    ------
    InputError
        It is damaged, or holds fractions.
    """
    headers = read_headers(path)  # finds what is cut short, and sizes that no image has
    with named_errors(path):
        palette = None
        if is_tiff(path):
            with tifffile.TiffFile(path) as tiff:
                page = picture_pages(tiff)[0]
                pixels = page.asarray()
                if page.axes[0] == "S":
                    pixels = np.moveaxis(pixels, 0, -1)
                if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
                    palette = np.asarray(page.colormap, np.int64).T >> 8
        else:
            with pillow_image(path) as image:
                if image.mode == "P":
                    entries = np.array(image.getpalette("RGB") or [0, 0, 0], np.int64).reshape(-1, 3)
                    palette = np.zeros((256, 3), np.int64)
                    palette[: len(entries)] = entries
                deep_colour = headers[0].stored == np.uint16 and headers[0].colour
                pixels = imagecodecs.png_decode(path.read_bytes()) if deep_colour else np.asarray(image)
    if pixels.dtype.kind == "f":
        if not np.array_equal(pixels, np.rint(pixels)):
            raise InputError(f"'{path}' holds fractions, so it is not a mask of classes (a map of probabilities?)")
        pixels = pixels.astype(np.int64)
    notes: tuple[str, ...] = (f"the file holds {len(headers)} images; the first was read",) if len(headers) > 1 else ()
    pixels = pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels
    said = np.ones(pixels.shape[:2], np.bool_)
    if pixels.ndim == 3:
        if pixels.shape[2] in (2, 4):
            said = pixels[..., -1] > 0
            if not said.all():
                notes += (f"{1 - said.mean():.2%} of the mask is transparent; there it says nothing",)
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
        if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
    return StoredMask(pixels, said, palette, notes)


def painted(stored: StoredMask) -> tuple[NDArray[np.bool_], list[str]]:
    """Return where colours were painted, if the mask is a grey image that was painted over."""
    grey = (stored.pixels == stored.pixels[..., :1]).all(2)
    if len(np.unique(stored.pixels[grey][:, 0])) <= 16:
        return stored.said, []
    note = "the mask is a grey image that was painted over; nothing is said of its grey pixels"
    return stored.said & ~grey, [note]
