"""The clean pictures that a training reads, and why some of them are left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES, read_headers, read_pixels
from cemi_core.model.frame import to_unit_range
from cemi_core.model.pixels import common_range, finite_range

log = logging.getLogger("cemi")

#: Share of black and white pixels above which a picture tells nothing of grey levels.
_MOST_SATURATED = 0.5
_SMALLEST_FRAME_PX = 64


@dataclass(frozen=True)
class Pictures:
    """Pictures in memory, in the order of their names.

    Attributes
    ----------
    arrays : tuple of ndarray, each (h, w)
        uint8, uint16, or float32 in [0, 1].
    """

    arrays: tuple[NDArray[Any], ...]

    def summary(self) -> str:
        """Return in words how much there is."""
        pixels = sum(array.size for array in self.arrays)
        return f"{len(self.arrays)} picture{'s'[: len(self.arrays) != 1]} ({pixels / 1e6:.1f} Mpx)"


def read_pictures(path: str | Sequence[str], patch_px: int) -> Pictures:
    """Read grey pictures to train on; those that teach nothing are left out, and the log says why.

    Parameters
    ----------
    path : str or sequence of str
        Files, folders, patterns; every page of a file is a picture.
    patch_px : int
        A picture with a shorter side is left out.

    Raises
    ------
    InputError
        A file cannot be read or holds NaN, or no picture is left.
    """
    return _read(path, lambda pixels: _small(pixels, patch_px) or _useless(pixels), "trained on")


def _read(path: str | Sequence[str], unfit: Callable[[NDArray[Any]], str], purpose: str) -> Pictures:
    """Read the pictures of which ``unfit`` says nothing."""
    kept: list[NDArray[Any]] = []
    reasons: list[str] = []
    for file in find_files(path, IMAGE_SUFFIXES, "images"):
        headers = read_headers(file)
        for header in headers:
            name = f"'{file}'" if len(headers) == 1 else f"'{file}' (page {header.page})"
            pixels = read_pixels(file, header.page)
            if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
                raise InputError(f"{name} holds pixels that are not numbers (NaN): crop them away, or leave it out")
            if reason := unfit(pixels):
                reasons.append(f"{name} {reason}")
            else:
                kept.append(pixels)
    if not kept:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise InputError(f"no picture can be {purpose}: {reasons[0]}{more}")
    for reason in reasons:
        log.warning("left out: %s", reason)
    return Pictures(tuple(_scaled(kept)))


def _small(pixels: NDArray[Any], patch_px: int) -> str:
    """Return that no patch fits into a picture, or an empty text."""
    height, width = pixels.shape
    if min(height, width) >= patch_px:
        return ""
    return f"has {width} x {height} px, less than a patch of {patch_px} px: lower 'patch_px'"


def _useless(pixels: NDArray[Any]) -> str:
    """Return why a picture tells nothing of grey levels, or an empty text."""
    if reason := _empty(pixels):
        return reason
    if pixels.dtype.kind == "u":
        share = np.mean((pixels == 0) | (pixels == np.iinfo(pixels.dtype).max))
        if share > _MOST_SATURATED:
            return f"is saturated: {share:.0%} of its pixels are black or white"
    return ""


def _empty(pixels: NDArray[Any]) -> str:
    low, high = finite_range(pixels)
    return "is empty: all its pixels are equal" if low == high else ""


def _scaled(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Bring floats beyond [0, 1] into it, all alike, so that grey levels can still be compared."""
    floats = [array for array in arrays if array.dtype.kind == "f"]
    if not floats:
        return arrays
    limits = common_range(finite_range(array) for array in floats)
    return [to_unit_range(array, limits) if array.dtype.kind == "f" else array for array in arrays]


def noisy_frames(path: str | Sequence[str]) -> list[NDArray[np.float32]]:
    """Return frames to measure the noise of, float32 in [0, 1].

    Raises
    ------
    InputError
        As `read_pictures`.
    """

    def unfit(pixels: NDArray[Any]) -> str:
        small = min(pixels.shape) < _SMALLEST_FRAME_PX
        return f"has less than {_SMALLEST_FRAME_PX} px a side" if small else _empty(pixels)

    return [to_unit_range(array) for array in _read(path, unfit, "measured for its noise").arrays]


def same_files(first: str | Sequence[str], second: str | Sequence[str]) -> list[Path]:
    """Return the files that both name."""
    one, two = (find_files(path, IMAGE_SUFFIXES, "images") for path in (first, second))
    return sorted({file.resolve() for file in one} & {file.resolve() for file in two})
