"""Denoising of large pictures: tiles with a halo, so that memory is bounded and no seam shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import PluginError
from cemi_core.model.executor import end_if_stopped
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo, Denoiser
from cemi_core.plugins.types import owner_of

#: Edge of a tile, px, without its halo.
TILE_PX = 2048


def denoise_box(
    denoiser: Denoiser,
    read: Callable[[Box], NDArray[np.float32]],
    box: Box,
    shape: tuple[int, int],
    pixel_size_um: float | None = None,
    read_valid: Callable[[Box], NDArray[np.bool_]] | None = None,
    peak: float | None = None,
    channels: tuple[str, ...] = (),
    scale: int = 1,
) -> NDArray[np.float32]:
    """Return ``box`` of a picture denoised, reading a halo around it where the picture has one.

    Pixels that were not imaged, or are not numbers, are named in ``info.valid`` and hold the mean of the others, so
    that a denoiser that takes no notice of them draws no dark seam along the border; those that are not numbers stay
    so.

    Parameters
    ----------
    denoiser : Denoiser
    read : callable
        ``read(box) -> (h, w) float32`` for any box inside the picture, or (channels, h, w), which go in at once.
    box : Box
    shape : tuple of int
        (height, width) of the picture.
    pixel_size_um : float or None
    read_valid : callable, optional
        ``read_valid(box) -> (h, w) bool``, where the picture was imaged; everywhere without it.
    peak : float, optional
        The brightest grey level of the whole picture.
    channels : tuple of str
        Names of the channels, or of the one that it is; handed on as ``info.channels``.
    scale : int
        So many times as high and wide is what the denoiser returns, and what comes back (super-resolution).

    Raises
    ------
    PluginError
        The denoiser returns another shape, or something that is not a number where the picture is one.
    """
    outer = box.grown(denoiser.halo).clipped(shape)
    core = (
        slice(box.y - outer.y, box.y - outer.y + box.height),
        slice(box.x - outer.x, box.x - outer.x + box.width),
    )
    block = read(outer)
    planes = block if block.ndim == 3 else block[None]
    finite = np.isfinite(planes)
    valid: NDArray[np.bool_] = np.logical_and.reduce(finite, axis=0)
    if read_valid is not None:
        valid &= read_valid(outer)
    if not valid.all():
        mean = [np.float32(plane[valid].mean(dtype=np.float64) if valid.any() else 0.0) for plane in planes]
        planes = np.where(valid, planes, np.array(mean, np.float32)[:, None, None])
    info = BlockInfo(
        pixel_size_um=pixel_size_um,
        core=core,
        valid=None if valid.all() else valid,
        box=box,
        peak=peak,
        image_shape=shape,
        channels=channels,
    )
    denoised = np.asarray(denoiser(planes, info))
    wanted = (len(planes), scale * planes.shape[1], scale * planes.shape[2])
    if denoised.shape != wanted:
        at = f" at scale {scale}" if scale > 1 else ""
        raise PluginError(f"{owner_of(denoiser)} made {denoised.shape} of a block of {planes.shape}{at}")
    rows, columns = (slice(scale * part.start, scale * part.stop) for part in core)
    inner: NDArray[np.float32] = denoised[:, rows, columns].astype(np.float32, copy=False)
    if not np.isfinite(inner[:, enlarged(valid[core], scale)]).all():
        raise PluginError(f"{owner_of(denoiser)} made pixels that are not numbers, in the block at {box}")
    numbers = enlarged(finite[:, *core], scale)
    inner = inner if numbers.all() else np.where(numbers, inner, np.float32(np.nan))
    return inner if block.ndim == 3 else inner[0]


def denoise_image(
    denoiser: Denoiser,
    image: NDArray[np.float32],
    pixel_size_um: float | None = None,
    tile_px: int = TILE_PX,
    stored: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
    channels: tuple[str, ...] = (),
    scale: int = 1,
) -> NDArray[Any]:
    """Return a whole picture (h, w) denoised, tile by tile where it is larger than ``tile_px``.

    Parameters
    ----------
    denoiser : Denoiser
    image : ndarray of float32, shape (h, w)
        Or (channels, h, w), which go in at once, for a denoiser with the ability ``takes_channels``.
    pixel_size_um : float, optional
    tile_px : int
    stored : callable, optional
        Brings each tile to another type of pixels, so that the result is never whole in float32; by default it is.
    channels : tuple of str
        Names of the channels, or of the one that it is.
    scale : int
        See `denoise_box`.
    """
    stored = stored or (lambda part: part)
    shape = image.shape[-2], image.shape[-1]
    whole = Box(0, 0, *shape)
    denoised = partial(
        denoise_box,
        denoiser,
        lambda box: image[..., *box.slices],
        shape=shape,
        pixel_size_um=pixel_size_um,
        peak=peak_of(image),
        channels=channels,
        scale=scale,
    )
    if max(shape) <= tile_px:
        return stored(denoised(box=whole))
    result: NDArray[Any] | None = None
    for box in whole.tiles(tile_px, tile_px):
        end_if_stopped()
        part = stored(denoised(box=box))
        if result is None:
            result = np.empty((*image.shape[:-2], scale * shape[0], scale * shape[1]), part.dtype)
        result[..., *Box(scale * box.y, scale * box.x, scale * box.height, scale * box.width).slices] = part
    assert result is not None
    return result


def enlarged(mask: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return an array (..., h, w) with every value repeated ``scale`` times along both axes."""
    return mask if scale == 1 else mask.repeat(scale, axis=-2).repeat(scale, axis=-1)


def peak_of(image: NDArray[np.float32]) -> float | None:
    """Return the brightest grey level of a picture, or None if no pixel is a number."""
    peak = float(np.fmax.reduce(image, axis=None)) if image.size else np.nan
    return peak if np.isfinite(peak) else None
