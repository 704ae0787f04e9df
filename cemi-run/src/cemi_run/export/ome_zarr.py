"""OME-Zarr: a copy of the mosaic in a folder that viewers stream and programs read in parallel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cemi_core.errors import UsageError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_run.export.channel_image import write_channel_image
from cemi_run.export.pixels import Progress, no_progress
from cemi_run.store.ome_zarr import OmeZarrMosaic
from cemi_run.store.pyramid import build_pyramid


class OmeZarrExporter:
    """Writes a mosaic as OME-Zarr 0.5."""

    def __call__(self, mosaic: Mosaic, path: Path, progress: Progress | None = None) -> None:
        """Write ``mosaic`` to the folder ``path``, in its own type, with its validity as a label image.

        Raises
        ------
        InputError
            ``path`` is a folder that is not a mosaic.
        StorageError
            The disk is full.
        """
        if path.suffix != ".zarr":
            raise UsageError(f"'{path.name}': an OME-Zarr folder is named .ome.zarr, so that programs know it")
        if path.exists():
            OmeZarrMosaic.open(path)  # refuses to throw away anything else
        show = progress or no_progress
        float_range = mosaic.float_range
        with (
            atomic_path(path) as temporary,
            OmeZarrMosaic.create(temporary, mosaic.shape, mosaic.dtype, mosaic.pixel_size_um, float_range) as copy,
        ):
            boxes = list(Box(0, 0, *mosaic.shape).tiles(*copy.writer_px))
            total = 2 * len(boxes)  # the pyramid is about as much work again
            for number, box in enumerate(boxes):
                image = mosaic.read(box)
                image[~mosaic.read_valid(box)] = np.nan
                copy.write(box, image)
                show(number + 1, total)
            build_pyramid(copy, progress=lambda done, all_: show(len(boxes) + len(boxes) * done // all_, total))

    def export_channels(self, channels: Mapping[str, Mosaic], path: Path, progress: Progress) -> None:
        """Write mosaics of one shape as the channels of one image (c, y, x), with their names; 0 was not imaged.

        Raises
        ------
        InputError
            ``path`` is a folder that is not an image of CEMI.
        StorageError
            The disk is full.
        """
        if path.suffix != ".zarr":
            raise UsageError(f"'{path.name}': an OME-Zarr folder is named .ome.zarr, so that programs know it")
        write_channel_image(path, channels, progress)


def make(settings: Settings, runtime: Runtime) -> OmeZarrExporter:
    """Make the exporter."""
    return OmeZarrExporter()
