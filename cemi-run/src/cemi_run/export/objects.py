"""Objects for other programs: CSV, Parquet, GeoJSON (QuPath) and COCO; written object by object, so memory is bounded.

An exporter of objects is called with the objects, the path, the mosaic that they lie in, and who is told how far it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cemi_core.errors import MissingDependencyError
from cemi_core.files.atomic import atomic_path, storage_errors
from cemi_core.model.mosaic import Mosaic
from cemi_core.model.objects import Objects
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_run.annotations.geometry import CORNER_PX
from cemi_run.annotations.legend import rgb
from cemi_run.export.pixels import Progress, no_progress
from cemi_run.store.object_table import table_of, write_objects_csv

#: Objects between two words on how far it is.
_STEP = 10_000


class CsvObjects:
    """Writes a table with one line per object."""

    def __call__(self, objects: Objects, path: Path, mosaic: Mosaic, progress: Progress | None = None) -> None:
        """Write the table that a run writes; outlines are left out."""
        write_objects_csv(path, objects, mosaic.pixel_size_um)


class ParquetObjects:
    """Writes a Parquet file with the columns of the CSV table, and the outlines as lists."""

    def __call__(self, objects: Objects, path: Path, mosaic: Mosaic, progress: Progress | None = None) -> None:
        """Write the file.

        Raises
        ------
        MissingDependencyError
            pyarrow is not installed.
        """
        try:
            arrow: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ModuleNotFoundError:
            raise MissingDependencyError(
                "Parquet needs pyarrow, which is not installed; run: pip install pyarrow"
            ) from None
        columns: dict[str, Any] = {"object": np.arange(1, len(objects) + 1)}
        columns |= table_of(objects, mosaic.pixel_size_um)
        names = np.array([label.name for label in objects.classes], dtype=object)
        columns |= {"class": names[objects.class_index], "score": objects.score, "cut": objects.cut}
        starts = arrow.array(objects.outline_start.astype(np.int32))
        for axis, name in enumerate(("outline_y_px", "outline_x_px")):
            columns[name] = arrow.ListArray.from_arrays(starts, arrow.array(objects.outline_px[:, axis]))
        with atomic_path(path) as partial, storage_errors(path):
            parquet.write_table(arrow.table(columns), partial)


class GeoJsonObjects:
    """Writes GeoJSON as QuPath reads it: detections with class, colour and measurements; px from the image's corner."""

    def __call__(self, objects: Objects, path: Path, mosaic: Mosaic, progress: Progress | None = None) -> None:
        """Write a collection of features; objects without an outline are points."""
        with _text_file(path) as stream:
            stream.write('{"type": "FeatureCollection", "features": [')
            for separator, index in _counted(objects, progress):
                stream.write(separator + json.dumps(self._feature(objects, index), allow_nan=False))
            stream.write("\n]}\n")

    @staticmethod
    def _feature(objects: Objects, index: int) -> dict[str, Any]:
        label = objects.classes[objects.class_index[index]]
        measurements = {"Area px^2": float(objects.area_px[index])}
        measurements |= {f"{column.label} {column.unit}": float(column.values[index]) for column in objects.columns}
        known = {name: value for name, value in measurements.items() if np.isfinite(value)}
        properties: dict[str, Any] = {
            "objectType": "detection",
            "classification": {"name": label.name, "color": list(rgb(label.colour))},
            "measurements": known,
        }
        points = (objects.outline(index)[:, ::-1].astype(float) + CORNER_PX).round(3).tolist()
        geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [[*points, *points[:1]]]}
        if len(points) < 3:
            place = [float(objects.x_px[index]) + CORNER_PX, float(objects.y_px[index]) + CORNER_PX]
            geometry = {"type": "Point", "coordinates": [round(value, 3) for value in place]}
        return {"type": "Feature", "geometry": geometry, "properties": properties}


class CocoObjects:
    """Writes a COCO file (object detection): one image, a polygon or a box for each object, scores where they exist."""

    def __call__(self, objects: Objects, path: Path, mosaic: Mosaic, progress: Progress | None = None) -> None:
        """Write the file; the image is called after it, with the ending .png of `cemi export --to png`."""
        height, width = mosaic.shape
        image = {"id": 1, "width": width, "height": height, "file_name": f"{path.name.partition('.')[0]}.png"}
        categories = [
            {"id": number, "name": label.name, "supercategory": "", "color": list(rgb(label.colour))}
            for number, label in enumerate(objects.classes, 1)
        ]
        with _text_file(path) as stream:
            head = {"info": {"description": "objects written by CEMI"}, "images": [image], "categories": categories}
            stream.write(json.dumps(head)[:-1] + ', "annotations": [')
            for separator, index in _counted(objects, progress):
                stream.write(separator + json.dumps(self._entry(objects, index), allow_nan=False))
            stream.write("\n]}\n")

    @staticmethod
    def _entry(objects: Objects, index: int) -> dict[str, Any]:
        outline = objects.outline(index).astype(float) + CORNER_PX
        if len(outline) < 3:
            edge = float(np.sqrt(objects.area_px[index])) / 2
            middle = np.array([objects.y_px[index], objects.x_px[index]]) + CORNER_PX
            outline = middle + edge * np.array([(-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)])
        (top, left), (bottom, right) = outline.min(axis=0), outline.max(axis=0)
        entry = {
            "id": index + 1,
            "image_id": 1,
            "category_id": int(objects.class_index[index]) + 1,
            "iscrowd": 0,
            "area": round(float(objects.area_px[index]), 3),
            "bbox": [round(float(value), 3) for value in (left, top, right - left, bottom - top)],
            "segmentation": [outline[:, ::-1].round(3).ravel().tolist()],
        }
        score = float(objects.score[index])
        return entry | ({"score": round(score, 6)} if np.isfinite(score) else {})


def _counted(objects: Objects, progress: Progress | None) -> Iterator[tuple[str, int]]:
    """Yield what stands before each object and its index."""
    show, total = progress or no_progress, len(objects)
    for index in range(total):
        if index % _STEP == 0:
            show(index, total)
        yield ("\n" if index == 0 else ",\n"), index
    show(total, total)


@contextmanager
def _text_file(path: Path) -> Iterator[TextIO]:
    """Yield a text file that appears when it is complete."""
    with atomic_path(path) as partial, storage_errors(path), partial.open("w", encoding="utf-8") as stream:
        yield stream


def make_csv(settings: Settings, runtime: Runtime) -> CsvObjects:
    """Make the exporter of CSV tables."""
    return CsvObjects()


def make_parquet(settings: Settings, runtime: Runtime) -> ParquetObjects:
    """Make the exporter of Parquet files."""
    return ParquetObjects()


def make_geojson(settings: Settings, runtime: Runtime) -> GeoJsonObjects:
    """Make the exporter of GeoJSON."""
    return GeoJsonObjects()


def make_coco(settings: Settings, runtime: Runtime) -> CocoObjects:
    """Make the exporter of COCO files."""
    return CocoObjects()
