"""Objects in an HDF5 file of their own, column by column, and as a CSV table for people."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, storage_errors
from cemi_core.model.classes import ClassLabel
from cemi_core.model.objects import ObjectColumn, Objects

_FORMAT = "cemi-objects"
_ARRAYS = ("y_px", "x_px", "area_px", "class_index", "score", "cut", "outline_px", "outline_start")
#: Rows of the CSV table that are made at a time, which bounds memory.
_ROWS = 100_000


def write_objects(path: Path, objects: Objects) -> None:
    """Write objects to an HDF5 file in one step; the arrays are not copied, so a million objects need no more memory.

    Raises
    ------
    StorageError
        The disk is full.
    """
    with atomic_path(path) as partial, storage_errors(path), h5py.File(partial, "w") as file:
        file.attrs.update(format=_FORMAT, version=1, name=objects.name, label=objects.label)
        file["classes"] = json.dumps([asdict(label) for label in objects.classes])
        for name in _ARRAYS:
            values = getattr(objects, name)
            file.create_dataset(name, data=values.view(np.uint8) if values.dtype == np.bool_ else values)
        group = file.create_group("columns", track_order=True)
        for column in objects.columns:
            dataset = group.create_dataset(column.name, data=column.values)
            dataset.attrs.update(label=column.label, unit=column.unit)


def read_objects(path: Path) -> Objects:
    """Return the objects that `write_objects` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged or of another kind.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != _FORMAT:
                raise InputError(f"{path} is an HDF5 file, but no table of objects written by CEMI")
            arrays = {name: file[name][:] for name in _ARRAYS}
            arrays["cut"] = arrays["cut"].view(np.bool_)
            columns = tuple(
                ObjectColumn(name, str(data.attrs["label"]), str(data.attrs["unit"]), data[:])
                for name, data in file["columns"].items()
            )
            classes = tuple(ClassLabel(**entry) for entry in json.loads(file["classes"][()]))
            return Objects(
                str(file.attrs["name"]), str(file.attrs["label"]), classes=classes, columns=columns, **arrays
            )
    except FileNotFoundError:
        raise InputError(f"there is no table of objects {path}; run the recipe again") from None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it and run the recipe again") from error


def write_objects_csv(path: Path, objects: Objects, pixel_size_um: float | None) -> None:
    """Write one line per object: place, area, class, score, cut, and every further quantity; outlines are left out.

    Parameters
    ----------
    path : Path
    objects : Objects
    pixel_size_um : float or None
        Adds the place in micrometres and the area in square micrometres.
    """
    numbers_of = table_of(objects, pixel_size_um)
    names_of_columns = [column.name for column in objects.columns]
    places = {name: values for name, values in numbers_of.items() if name not in names_of_columns}
    heads = ["object", *places, "class", "score", "cut", *names_of_columns]
    series = list(places.values())
    names = np.array([label.name for label in objects.classes], dtype=object)
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(heads)
        for start in range(0, len(objects), _ROWS):
            part = slice(start, start + _ROWS)
            numbers = [_texts(values[part]) for values in series]
            more = [_texts(column.values[part]) for column in objects.columns]
            kinds, cut = names[objects.class_index[part]], np.where(objects.cut[part], "yes", "no")
            count = range(start + 1, start + 1 + len(kinds))
            table.writerows(zip(count, *numbers, kinds, _texts(objects.score[part]), cut, *more, strict=True))


def table_of(objects: Objects, pixel_size_um: float | None) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of a table of objects by name: place, area and further quantities, each of shape (n,)."""
    table = {"y_px": objects.y_px, "x_px": objects.x_px, "area_px": objects.area_px}
    if pixel_size_um is not None:
        table |= {"y_um": objects.y_px * pixel_size_um, "x_um": objects.x_px * pixel_size_um}
        table["area_um2"] = objects.area_px * pixel_size_um**2
    return table | {column.name: column.values for column in objects.columns}


def _texts(values: NDArray[np.floating]) -> list[str]:
    """Return numbers with up to six digits; an unknown one is an empty cell."""
    return ["" if value != value else f"{value:.7g}" for value in values.tolist()]
