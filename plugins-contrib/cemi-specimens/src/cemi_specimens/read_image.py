"""Images and labels from files: TIFF through tifffile, the others through OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.errors import InputError

TIFF = (".tif", ".tiff")
SUFFIXES = (*TIFF, ".png", ".bmp", ".jpg", ".jpeg")


def read_plane(path: Path) -> NDArray[Any]:
    """Return the only channel (h, w) of an image file, in its own type.

    Raises
    ------
    InputError
        It cannot be read, or holds more than one channel or image.
    """
    try:
        values = tifffile.imread(path) if path.suffix.lower() in TIFF else cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except Exception as error:
        raise InputError(f"cannot read '{path}' as an image: {error}") from None
    if values is None:
        raise InputError(f"cannot read '{path}' as an image: it is damaged or of another kind")
    values = np.squeeze(np.asarray(values)) if values.ndim > 2 else np.asarray(values)
    if values.ndim != 2 or not values.size:
        raise InputError(f"'{path}' has the shape {values.shape}; a specimen needs one grey channel (height, width)")
    return values


def read_grey(path: Path) -> NDArray[np.float32]:
    """Return an image as float32 in [0, 1]: whole numbers over the range of their type, floats as they are.

    Raises
    ------
    InputError
        It cannot be read, is not grey, or holds floats outside [0, 1] or NaN.
    """
    values = read_plane(path)
    if values.dtype == np.bool_:
        return values.astype(np.float32)
    if np.issubdtype(values.dtype, np.unsignedinteger):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"'{path}' holds {values.dtype}; an image is of unsigned whole numbers or of floats in [0, 1]")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise InputError(f"'{path}' holds floats outside [0, 1] (or NaN): scale them before")
    return values.astype(np.float32)


def tiff_pixel_size_um(path: Path) -> float | None:
    """Return the pixel size that a TIFF states in its resolution tags, um; None if it states none."""
    if path.suffix.lower() not in TIFF:
        return None
    try:
        with tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            unit, resolution = tags.get("ResolutionUnit"), tags.get("XResolution")
            per_um = {2: 25400.0, 3: 10000.0}.get(int(unit.value)) if unit is not None else None
            if per_um is None or resolution is None:
                return None
            count, length = resolution.value
            return per_um * length / count if count and length else None
    except Exception:
        return None
