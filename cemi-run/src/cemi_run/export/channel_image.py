"""An image of several channels as OME-Zarr 0.5: arrays (c, y, x) with the names of the channels.

Levels are copied from those of the mosaics. Metadata (``multiscales`` and ``omero``): https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

import cemi_core
from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, storage_errors
from cemi_core.model.frame import from_unit_range
from cemi_core.model.mosaic import Box, Mosaic
from cemi_run.export.pixels import Progress, common_type
from cemi_run.store.levels import CHUNK_PX
from cemi_run.store.ome_zarr import SHARD_PX, multiscales

_FORMAT = "cemi-channels"
#: Colours in which viewers show channels at first: red, green and blue for colour, else these in turn.
_TINTS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF8000")
_COLOUR_TINTS = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}


def write_channel_image(path: Path, channels: Mapping[str, Mosaic], progress: Progress) -> None:
    """Write mosaics of one shape as the channels of one OME-Zarr image, in a type that holds all of them.

    Raises
    ------
    InputError
        ``path`` is a folder that is no such image.
    StorageError
        The disk is full.
    """
    if path.exists():
        _make_way(path)
    first = next(iter(channels.values()))
    pixels = common_type(channels.values())
    about = {"format": _FORMAT, "version": 1, "creator": f"cemi-core {cemi_core.__version__}"}
    boxes = [
        (level, box)
        for level, shape in enumerate(first.level_shapes)
        for box in Box(0, 0, *shape).tiles(SHARD_PX, SHARD_PX)
    ]
    with atomic_path(path) as folder, storage_errors(path):
        ome = multiscales("mosaic", len(first.level_shapes), first.pixel_size_um, ("c",)) | {"omero": _omero(channels)}
        group = zarr.create_group(folder, attributes={"ome": ome, "cemi": about})
        arrays = [_level(group, n, (len(channels), *shape), pixels[0]) for n, shape in enumerate(first.level_shapes)]
        for number, mosaic in enumerate(channels.values()):
            for done, (level, box) in enumerate(boxes):
                arrays[level][(number, *box.slices)] = from_unit_range(mosaic.read(box, level), *pixels)
                progress(number * len(boxes) + done + 1, len(channels) * len(boxes))


def _make_way(path: Path) -> None:
    """Remove an older image of channels; refuse to throw away anything else."""
    try:
        about = zarr.open_group(path, mode="r", zarr_format=3).attrs.get("cemi")
    except (OSError, ValueError, KeyError):
        about = None
    if not isinstance(about, dict) or about.get("format") not in (_FORMAT, "cemi-mosaic"):
        raise InputError(f"{path} exists and is not an image written by CEMI; choose another --out")
    shutil.rmtree(path)


def _level(group: zarr.Group, level: int, shape: tuple[int, int, int], dtype: Any) -> zarr.Array[Any]:
    chunks = (1, min(shape[1], CHUNK_PX), min(shape[2], CHUNK_PX))
    needed = [-(-extent // chunk) * chunk for extent, chunk in zip(shape, chunks, strict=True)]
    return group.create_array(
        str(level),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=(1, min(needed[1], SHARD_PX), min(needed[2], SHARD_PX)),
        compressors=None,
        dimension_names=("c", "y", "x"),
    )


def _omero(channels: Mapping[str, Mosaic]) -> dict[str, Any]:
    shown = [
        {"label": name, "color": _COLOUR_TINTS.get(name, _TINTS[number % len(_TINTS)]), "active": True}
        for number, name in enumerate(channels)
    ]
    return {"channels": shown}
