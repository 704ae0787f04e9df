"""A layer as a label image of an OME-Zarr mosaic (https://ngff.openmicroscopy.org/0.5/, "Labels")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cemi_core.errors import UsageError
from cemi_core.files.atomic import storage_errors
from cemi_core.model.layers import NO_CLASS, LayerSpec
from cemi_core.model.mosaic import Box, Mosaic
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_run.annotations.legend import rgb
from cemi_run.export.ome_zarr import OmeZarrExporter
from cemi_run.export.pixels import Progress, no_progress
from cemi_run.store.ome_zarr import SHARD_PX, create_level, multiscales


class LabelsExporter:
    """Writes a mosaic as OME-Zarr with a layer of masks or classes as one of its label images."""

    def __call__(
        self, layer: Mosaic, spec: LayerSpec, path: Path, mosaic: Mosaic, progress: Progress | None = None
    ) -> None:
        """Write the label image ``labels/NAME`` into the folder ``path``; it is made from the mosaic if there is none.

        Label 0 is none; a mask has label 1, class k has label k + 1.

        Raises
        ------
        UsageError
            The layer is a probability, which has no labels, or ``path`` has such a label image already.
        InputError
            ``path`` is a folder that is not a mosaic.
        """
        if spec.kind == "probability":
            raise UsageError(f"the layer '{spec.name}' is a probability, which has no labels; export it as ome-zarr")
        show = progress or no_progress
        if not path.exists():
            OmeZarrExporter()(mosaic, path, lambda done, total: show(done, 2 * total))
        with storage_errors(path):
            group = zarr.open_group(path, mode="r+", zarr_format=3)
            labels = group.require_group("labels")
            stored: Any = labels.attrs.get("ome", {"version": "0.5", "labels": []})
            about = dict(stored)
            if spec.name in about["labels"]:
                raise UsageError(f"{path} has a label image '{spec.name}' already; choose another --out")
            names = [label.label or label.name for label in spec.classes] or [spec.label]
            colours = [rgb(label.colour) for label in spec.classes] or [rgb("#d55e00")]
            image_label = {
                "source": {"image": "../../"},
                "colors": [{"label-value": n, "rgba": [*colour, 255]} for n, colour in enumerate(colours, 1)],
                "properties": [{"label-value": n, "class": name} for n, name in enumerate(names, 1)],
            }
            ome = {**multiscales(spec.name, len(layer.level_shapes), layer.pixel_size_um), "image-label": image_label}
            here = labels.create_group(spec.name, attributes={"ome": ome})
            total = sum(1 for _ in self._pieces(layer))
            for level, shape in enumerate(layer.level_shapes):
                create_level(here, level, shape, np.dtype(np.uint8), 0, compressors="auto")
            for done, (level, box) in enumerate(self._pieces(layer), 1):
                here[str(level)][box.slices] = _numbers(layer, spec, box, level)  # type: ignore[index]
                show(total + done, 2 * total)
            labels.attrs["ome"] = {**about, "labels": [*about["labels"], spec.name]}

    @staticmethod
    def _pieces(layer: Mosaic) -> list[tuple[int, Box]]:
        return [
            (level, box)
            for level, shape in enumerate(layer.level_shapes)
            for box in Box(0, 0, *shape).tiles(SHARD_PX, SHARD_PX)
        ]


def _numbers(layer: Mosaic, spec: LayerSpec, box: Box, level: int) -> NDArray[np.uint8]:
    """Return the labels of a box of a layer, 0 where there is none or nothing was imaged."""
    values, valid = layer.read(box, level), layer.read_valid(box, level)
    if spec.kind == "mask":
        return ((values >= 0.5) & valid).astype(np.uint8)
    numbers = np.rint(values * 255).astype(np.uint8)
    return np.where(valid & (numbers != NO_CLASS), numbers + 1, 0).astype(np.uint8)


def make(settings: Settings, runtime: Runtime) -> LabelsExporter:
    """Make the exporter."""
    return LabelsExporter()
