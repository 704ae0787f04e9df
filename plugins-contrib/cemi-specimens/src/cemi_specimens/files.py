"""A specimen from a folder: an image with masks, labels and objects, as other simulators write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from cemi_core.errors import InputError
from cemi_core.model.classes import class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.settings import InputPath
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import label_objects, lies_in
from cemi_specimens.read_image import SUFFIXES, read_grey, read_plane, tiff_pixel_size_um

_GIVEN = ("y_px", "x_px", "area_px", "class", "label")


class FileSettings(SpecimenSettings):
    """Where the image and its truth lie."""

    path: InputPath = Field(description="Folder with image.tif (or .png), masks/, labels.tif, objects.csv.")
    extent_px: tuple[PositiveInt, PositiveInt] = Field((1, 1), description="Not used: the image has a size of its own.")
    blur_px: float = Field(0.0, ge=0, le=8, description="Standard deviation of a further blur, px.")


@dataclass(frozen=True)
class _Loaded:
    """What a folder holds; each array has the shape of the image."""

    image: NDArray[np.float32]
    pixel_size_um: float | None
    masks: dict[str, NDArray[np.bool_]]
    fields: dict[str, NDArray[np.float32]]
    labels: NDArray[np.int64] | None
    objects: Objects | None
    properties: dict[str, float]


class Files:
    """An image with its truth, made elsewhere; black and without truth beyond its edges.

    Nothing is opened before it is asked for. See the README for the folder's layout, which is also what
    ``cemi specimen NAME --out`` writes.

    Parameters
    ----------
    settings : FileSettings
        The folder; a pixel size that is given replaces that of the TIFF.
    """

    def __init__(self, settings: FileSettings) -> None:
        self.settings = settings

    @property
    def pixel_size_um(self) -> float:
        """Edge of a pixel, micrometres: as set, else as the TIFF says, else 0.1."""
        if "pixel_size" in self.settings.model_fields_set:
            return self.settings.pixel_size
        return self._loaded().pixel_size_um or self.settings.pixel_size

    @property
    def extent_px(self) -> tuple[int, int]:
        """(height, width) of the image, px."""
        height, width = self._loaded().image.shape
        return height, width

    @property
    def mask_names(self) -> tuple[str, ...]:
        """Names of the masks: those of the files in ``masks/``."""
        return tuple(self._loaded().masks)

    @property
    def mean_names(self) -> tuple[str, ...]:
        """There are none."""
        return ()

    def render(self, box: Box) -> NDArray[np.float32]:
        """Return the image in a box."""
        return _cut(self._loaded().image, box)

    def truth(self, box: Box) -> SpecimenTruth:
        """Return masks, labels and fields in a box."""
        loaded = self._loaded()
        return SpecimenTruth(
            masks={name: _cut(mask, box) for name, mask in loaded.masks.items()},
            labels=None if loaded.labels is None else _cut(loaded.labels, box),
            fields={name: _cut(field, box) for name, field in loaded.fields.items()},
        )

    def objects(self, box: Box) -> Objects | None:
        """Return the objects whose centroid lies in a box: those of the table, or else those of the labels."""
        found = self._loaded().objects
        return None if found is None else found.selected(lies_in(box, found.y_px, found.x_px))

    def properties(self) -> Mapping[str, float]:
        """Return the numbers in ``properties.json``."""
        return self._loaded().properties

    def _loaded(self) -> _Loaded:
        folder = Path(self.settings.path)
        if not folder.is_dir():
            raise InputError(f"there is no folder '{folder}' to read a specimen from")
        files = sorted(path for level in ("*", "masks/*", "fields/*") for path in folder.glob(level) if path.is_file())
        state = tuple((str(path), path.stat().st_mtime_ns) for path in files)
        return _load(str(folder), state, self.settings.blur_px)


def _cut(values: NDArray[Any], box: Box) -> NDArray[Any]:
    """Return a box of an array, zero beyond its edges."""
    part = box.clipped((values.shape[0], values.shape[1]))
    found = np.zeros((box.height, box.width), values.dtype)
    found[Box(part.y - box.y, part.x - box.x, part.height, part.width).slices] = values[part.slices]
    return found


@lru_cache(maxsize=2)
def _load(folder_text: str, state: tuple[tuple[str, int], ...], blur_px: float) -> _Loaded:
    """Return what lies in a folder; ``state`` names its files and when they changed."""
    folder = Path(folder_text)
    path = _one(folder, "image")
    if path is None:
        raise InputError(f"there is no image in '{folder}': a specimen needs image.tif or image.png")
    image = read_grey(path)
    pixel_size_um = tiff_pixel_size_um(path)
    masks = {p.stem: _same_size(p, read_plane(p), image) != 0 for p in _images_in(folder / "masks")}
    fields = {p.stem: _same_size(p, read_plane(p), image).astype(np.float32) for p in _images_in(folder / "fields")}
    labels, labels_path = None, _one(folder, "labels")
    if labels_path is not None:
        found = _same_size(labels_path, read_plane(labels_path), image)
        if not np.issubdtype(found.dtype, np.integer):
            raise InputError(
                f"'{labels_path}' holds {found.dtype}; labels are whole numbers, 0 where there is no object"
            )
        labels = found.astype(np.int64)
    table = folder / "objects.csv"
    objects = None
    if table.is_file():
        objects = read_objects(table)
    elif labels is not None:
        known = labels
        objects = label_objects(
            Box(0, 0, *image.shape), lambda box: _cut(known, box), max(image.shape), "objects", "Objects",
            pixel_size_um or 1.0,
        )  # fmt: skip
    if blur_px > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur_px), np.float32)
    return _Loaded(image, pixel_size_um, masks, fields, labels, objects, _properties(folder / "properties.json"))


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def _one(folder: Path, stem: str) -> Path | None:
    found = [path for path in _images_in(folder) if path.stem == stem]
    if len(found) > 1:
        raise InputError(f"'{folder}' holds {' and '.join(path.name for path in found)}: keep one of them")
    return found[0] if found else None


def _same_size(path: Path, values: NDArray[Any], image: NDArray[np.float32]) -> NDArray[Any]:
    if values.shape != image.shape:
        raise InputError(f"'{path}' is {values.shape} px, but its image is {image.shape} px (height, width)")
    return values


def read_objects(path: Path) -> Objects:
    """Return the objects of a CSV table with the columns ``y_px`` and ``x_px``.

    ``area_px``, ``class`` and ``label`` (the object's value in the labels) are known too; further columns of numbers
    become further quantities, whose unit is what follows the last underscore of their name (``diameter_um``).

    Raises
    ------
    InputError
        A column is missing, or a cell is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
            header = list(rows[0]) if rows else path.read_text(encoding="utf-8").strip().split(",")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read '{path}' as a table: {error}") from None
    missing = [name for name in ("y_px", "x_px") if name not in header]
    if missing:
        raise InputError(f"'{path}' has no column {' and '.join(missing)}; its columns are {', '.join(header)}")
    numbers = {name: _numbers(path, rows, name) for name in header if name != "class"}
    names = sorted({row["class"] for row in rows}) if "class" in header and rows else ["object"]
    kinds = [names.index(row["class"]) if "class" in header else 0 for row in rows]
    further = [name for name in numbers if name not in _GIVEN]
    columns = [ObjectColumn(name, name.replace("_", " "), _unit(name), numbers[name]) for name in further]
    if "label" in numbers:
        columns.insert(0, ObjectColumn("number", "Number in the labels", "1", numbers["label"]))
    return Objects(
        "objects",
        "Objects",
        numbers["y_px"],
        numbers["x_px"],
        numbers.get("area_px", np.full(len(rows), np.nan)),
        class_index=np.array(kinds, np.int32),
        classes=class_labels(names),
        columns=tuple(columns),
    )


def _unit(name: str) -> str:
    last = name.rpartition("_")[2]
    return last if last in ("px", "um", "nm", "deg") else "1"


def _numbers(path: Path, rows: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    values = np.empty(len(rows))
    for number, row in enumerate(rows):
        try:
            values[number] = float(row[name]) if row[name] else np.nan
        except (TypeError, ValueError):
            raise InputError(f"'{path}', line {number + 2}: {name} is '{row[name]}', which is not a number") from None
    return values


def _properties(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"cannot read '{path}' as JSON: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("properties"), dict):
        found = found["properties"]
    if not isinstance(found, dict):
        raise InputError(f"'{path}' is not a JSON object of numbers")
    return {str(name): float(value) for name, value in found.items() if isinstance(value, int | float)}


def make_files(settings: FileSettings, runtime: Runtime) -> Files:
    """Return the specimen; no seed changes it."""
    return Files(settings)
