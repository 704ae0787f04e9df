"""Deep Zoom: a pyramid of small pictures that OpenSeadragon shows in a web page.

Level ``n`` has a longest edge of at most ``2**n`` px, down to level 0 of one pixel; tiles overlap by one pixel, so that
no seam shows between them (https://openseadragon.github.io/examples/tilesource-dzi/).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from cemi_core.errors import UsageError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_run.export.pixels import Contrast, Progress, grey_range, no_progress, to_grey
from cemi_run.store.pyramid import halve

_OVERLAP_PX = 1
_XML = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="{format}" Overlap="{overlap}" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


class DeepZoomSettings(Settings):
    """Settings of the export format ``dzi``."""

    format: Literal["jpg", "png"] = Field("jpg", description="'jpg' is small, 'png' keeps every grey level.")
    quality: int = Field(90, ge=1, le=100, description="Quality of the JPEG tiles; PNG takes no notice of it.")
    tile_px: int = Field(510, ge=64, le=4094, description="Edge of a tile without its overlap of 1 px on every side.")
    contrast: Contrast = Field("keep", description="'stretch' makes 0.2 % of the picture black and 0.2 % white.")


@dataclass(frozen=True)
class DeepZoomExporter:
    """Writes a mosaic as Deep Zoom tiles in 8-bit grey.

    Parameters
    ----------
    format : {"jpg", "png"}
        Of the tiles.
    quality : int
        1 to 100, of JPEG tiles.
    tile_px : int
        Edge of a tile without its overlap, px.
    contrast : {"keep", "stretch"}
        Grey levels as they are, or from the 0.2 % darkest to the 0.2 % brightest imaged pixels.
    """

    format: Literal["jpg", "png"] = "jpg"
    quality: int = 90
    tile_px: int = 510
    contrast: Contrast = "keep"

    def __call__(self, mosaic: Mosaic, path: Path, progress: Progress | None = None) -> None:
        """Write ``NAME.dzi`` and the folder ``NAME_files`` beside it; pixels that were not imaged are black.

        Raises
        ------
        UsageError
            The path does not end in .dzi, or the folder holds something else.
        StorageError
            The disk is full.
        """
        if path.suffix != ".dzi":
            raise UsageError(f"'{path.name}': a Deep Zoom picture is named .dzi")
        tiles = path.with_name(f"{path.stem}_files")
        if tiles.exists() and not path.exists():
            raise UsageError(f"{tiles} exists and is not part of a Deep Zoom picture; choose another name")
        height, width = mosaic.shape
        black_white = grey_range(mosaic, self.contrast)
        with atomic_path(path) as description:
            xml = _XML.format(format=self.format, overlap=_OVERLAP_PX, tile=self.tile_px, width=width, height=height)
            description.write_text(xml, encoding="utf-8")
            # not durable: waiting for the disk after each of ten thousand small files takes longer than making them
            with atomic_path(tiles, durable=False) as folder:
                self._write_levels(mosaic, folder, black_white, progress or no_progress)

    def _write_levels(self, mosaic: Mosaic, folder: Path, black_white: tuple[float, float], progress: Progress) -> None:
        top = math.ceil(math.log2(max(mosaic.shape))) if max(mosaic.shape) > 1 else 0
        stored = mosaic.level_shapes
        counts = [math.ceil(h / self.tile_px) * math.ceil(w / self.tile_px) for h, w in stored]
        done, total = 0, sum(counts)
        for level, shape in enumerate(stored):
            for column, row, box in self._tiles(shape):
                grey = to_grey(mosaic.read(box, level), black_white)
                self._save(folder / str(top - level), column, row, grey)
                done += 1
                progress(done, total)
        image = mosaic.read(Box(0, 0, *stored[-1]), len(stored) - 1)
        for level in range(top - len(stored), -1, -1):
            image = halve(image)
            for column, row, box in self._tiles((image.shape[0], image.shape[1])):
                self._save(folder / str(level), column, row, to_grey(image[box.slices], black_white))

    def _tiles(self, shape: tuple[int, int]) -> Iterator[tuple[int, int, Box]]:
        for tile in Box(0, 0, *shape).tiles(self.tile_px, self.tile_px):
            yield tile.x // self.tile_px, tile.y // self.tile_px, tile.grown(_OVERLAP_PX).clipped(shape)

    def _save(self, folder: Path, column: int, row: int, grey: NDArray[np.uint8]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(folder / f"{column}_{row}.{self.format}", quality=self.quality)


def make(settings: DeepZoomSettings, runtime: Runtime) -> DeepZoomExporter:
    """Make the exporter from checked settings."""
    return DeepZoomExporter(settings.format, settings.quality, settings.tile_px, settings.contrast)
