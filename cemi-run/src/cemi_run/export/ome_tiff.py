"""OME-TIFF: one tiled, pyramidal BigTIFF file, written tile by tile.

The levels are SubIFDs of the first page, as the OME-TIFF specification asks for
(https://docs.openmicroscopy.org/ome-model/6.2.2/ome-tiff/specification.html#sub-resolutions).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from pydantic import Field

import cemi_core
from cemi_core.files.atomic import atomic_path
from cemi_core.model.frame import from_unit_range
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_run.export.pixels import Progress, common_type, no_progress

_TILE_PX = 512


class OmeTiffSettings(Settings):
    """Settings of the export format ``ome-tiff``."""

    compression: Literal["none", "deflate"] = Field(
        "none",
        description="'deflate' makes large empty areas small, but takes several times as long; noise hardly shrinks.",
    )


@dataclass(frozen=True)
class OmeTiffExporter:
    """Writes a mosaic as OME-TIFF.

    Parameters
    ----------
    compression : {"none", "deflate"}
        Lossless either way.
    """

    compression: Literal["none", "deflate"] = "none"

    def __call__(self, mosaic: Mosaic, path: Path, progress: Progress | None = None) -> None:
        """Write ``mosaic`` with all its levels to ``path``, in its own type; pixels that were not imaged are 0.

        Raises
        ------
        StorageError
            The disk is full.
        """
        self._write([mosaic], {"axes": "YX", "Name": "mosaic"}, path, progress or no_progress)

    def export_channels(self, channels: Mapping[str, Mosaic], path: Path, progress: Progress) -> None:
        """Write mosaics of one shape as the channels of one image, with their names, in a type that holds all of them.

        Raises
        ------
        StorageError
            The disk is full.
        """
        about = {"axes": "CYX", "Name": "mosaic", "Channel": {"Name": list(channels)}}
        self._write(list(channels.values()), about, path, progress)

    def _write(self, mosaics: Sequence[Mosaic], about: dict[str, Any], path: Path, progress: Progress) -> None:
        first = mosaics[0]
        pixels = common_type(mosaics)
        count = _Count(progress, len(mosaics) * sum(len(_tiles(shape)) for shape in first.level_shapes))
        with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True, ome=True) as file:
            for level, shape in enumerate(first.level_shapes):
                file.write(
                    _stored_tiles(mosaics, pixels, level, count),
                    shape=(len(mosaics), *shape) if "C" in about["axes"] else shape,
                    dtype=pixels[0],
                    tile=(_TILE_PX, _TILE_PX),
                    photometric="minisblack",
                    compression=None if self.compression == "none" else self.compression,
                    maxworkers=1,
                    software=f"cemi-core {cemi_core.__version__}",
                    **_page_options(first, level, about),
                )


def make(settings: OmeTiffSettings, runtime: Runtime) -> OmeTiffExporter:
    """Make the exporter from checked settings."""
    return OmeTiffExporter(settings.compression)


def _page_options(mosaic: Mosaic, level: int, about: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"metadata": None, "subfiletype": 1}
    if level == 0:
        options = {"metadata": dict(about), "subifds": len(mosaic.level_shapes) - 1}
    if mosaic.pixel_size_um is not None:
        per_cm = 1e4 / (mosaic.pixel_size_um * 2**level)
        options |= {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
        if level == 0:
            edge = mosaic.pixel_size_um
            options["metadata"] |= {"PhysicalSizeX": edge, "PhysicalSizeXUnit": "µm"}
            options["metadata"] |= {"PhysicalSizeY": edge, "PhysicalSizeYUnit": "µm"}
    return options


@dataclass
class _Count:
    progress: Progress
    total: int
    done: int = 0

    def one_more(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _tiles(shape: tuple[int, int]) -> list[Box]:
    return list(Box(0, 0, *shape).tiles(_TILE_PX, _TILE_PX))


def _stored_tiles(
    mosaics: Sequence[Mosaic], pixels: tuple[np.dtype[Any], tuple[float, float]], level: int, count: _Count
) -> Iterator[NDArray[Any]]:
    """Yield the tiles of a level, channel by channel and row by row, each of the full tile size."""
    for mosaic in mosaics:
        for box in _tiles(mosaic.level_shapes[level]):
            tile = np.zeros((_TILE_PX, _TILE_PX), pixels[0])
            tile[: box.height, : box.width] = from_unit_range(mosaic.read(box, level), *pixels)
            count.one_more()
            yield tile
