"""Writes a specimen into a folder: the image, its masks, labels, fields and objects, and the planted numbers."""

from __future__ import annotations

import csv
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.errors import InputError, StorageError, UsageError
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import Objects
from cemi_core.model.specimen import Specimen

MAX_PIXELS = 128_000_000
_TILE_PX = 512
#: How far beyond the image objects that reach into it are looked for, px, until each of its labels has its row.
_BEYOND_PX = (64, 256, 1024)


@dataclass
class _Image:
    """The image and its truth, filled tile by tile."""

    grey: NDArray[np.uint16]
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    fields: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    labels: NDArray[np.uint32] | None = None
    numbers: list[int] = field(default_factory=list)  # object number of label 1, 2, ...


def write_specimen(
    out: Path,
    specimen: Specimen,
    size_px: tuple[int, int],
    about: dict[str, Any],
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write the first ``size_px`` of a specimen with its truth into a folder.

    Parameters
    ----------
    out : Path
        The folder; it appears when all of it is complete.
    specimen : Specimen
        Any specimen.
    size_px : (int, int)
        Height and width of the image.
    about : dict
        What ``properties.json`` says besides: name, seed, settings.
    force : bool
        Write into a folder that is not empty; files of the same names are replaced.
    progress : callable
        ``progress(done, total)`` after each tile.

    Returns
    -------
    dict
        What was written: the contents of ``properties.json`` and the names of the files.

    Raises
    ------
    UsageError
        The image is too large.
    InputError
        The folder is not empty, or a file is in the way.
    StorageError
        The disk is full or read-only.
    """
    height, width = size_px
    if height * width > MAX_PIXELS:
        raise UsageError(
            f"an image of {height} x {width} px has {height * width / 1e6:.0f} Mpx, more than the "
            f"{MAX_PIXELS / 1e6:.0f} that are kept in memory: choose a smaller --size, or render boxes of it in Python"
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file: name a folder for the specimen")
    if out.exists() and any(out.iterdir()) and not force:
        raise InputError(f"the folder '{out}' is not empty: name another one, or use --force to write into it")
    image = _computed(specimen, size_px, progress)
    table = _objects(specimen, Box(0, 0, height, width), image)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pending = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            report = _write(pending, specimen, image, table, about)
            return {**report, "folder": str(out), "files": _moved(pending, out)}
        finally:
            shutil.rmtree(pending, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write the specimen into '{out}': {error.strerror or error}") from error


def _computed(specimen: Specimen, size_px: tuple[int, int], progress: Callable[[int, int], None]) -> _Image:
    image = _Image(np.zeros(size_px, np.uint16))
    known: dict[int, int] = {}
    tiles = list(Box(0, 0, *size_px).tiles(_TILE_PX, _TILE_PX))
    for done, tile in enumerate(tiles, 1):
        image.grey[tile.slices] = np.rint(specimen.render(tile) * np.float32(65535))
        truth = specimen.truth(tile)
        for name, mask in truth.masks.items():
            image.masks.setdefault(name, np.zeros(size_px, bool))[tile.slices] = mask
        undefined = {name: np.where(where, values, np.float32(np.nan)) for name, (values, where) in truth.means.items()}
        for name, values in {**truth.fields, **undefined}.items():
            image.fields.setdefault(name, np.zeros(size_px, np.float32))[tile.slices] = values
        if truth.labels is not None:
            if image.labels is None:
                image.labels = np.zeros(size_px, np.uint32)
            found, index = np.unique(truth.labels, return_inverse=True)
            labels = [known.setdefault(int(number), len(known) + 1) if number else 0 for number in found]
            image.labels[tile.slices] = np.array(labels, np.uint32)[index.reshape(truth.labels.shape)]
        progress(done, len(tiles))
    image.numbers = list(known)
    return image


def _objects(specimen: Specimen, whole: Box, image: _Image) -> tuple[Objects, NDArray[np.int64]] | None:
    """Return the objects in the image or reaching into it, and their labels (0 for one that cannot be seen)."""
    found = specimen.objects(whole)
    if found is None:
        return None
    names = [column.name for column in found.columns]
    for beyond_px in _BEYOND_PX:
        if "number" not in names or np.isin(image.numbers, found.column("number").astype(np.int64)).all():
            break
        found = specimen.objects(whole.grown(beyond_px)) or found
    inside = (found.y_px >= -0.5) & (found.y_px < whole.height - 0.5)
    inside &= (found.x_px >= -0.5) & (found.x_px < whole.width - 0.5)
    if "number" not in names:
        return found.selected(inside), np.zeros(int(inside.sum()), np.int64)
    label_of = {number: label for label, number in enumerate(image.numbers, 1)}
    labels = np.array([label_of.get(int(number), 0) for number in found.column("number")], np.int64)
    keep = inside | (labels > 0)
    return found.selected(keep), labels[keep]


def _write(
    folder: Path,
    specimen: Specimen,
    image: _Image,
    table: tuple[Objects, NDArray[np.int64]] | None,
    about: dict[str, Any],
) -> dict[str, Any]:
    _write_tiff(folder / "image.tif", image.grey, specimen.pixel_size_um)
    for name, mask in image.masks.items():
        (folder / "masks").mkdir(exist_ok=True)
        if not cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask.astype(np.uint8) * 255):
            raise StorageError(f"cannot write the mask '{name}': the disk may be full")
    for name, values in image.fields.items():
        (folder / "fields").mkdir(exist_ok=True)
        _write_tiff(folder / "fields" / f"{name}.tif", values, specimen.pixel_size_um)
    if image.labels is not None:
        small = len(image.numbers) < 2**16
        _write_tiff(
            folder / "labels.tif", image.labels.astype(np.uint16) if small else image.labels, specimen.pixel_size_um
        )
    if table is not None:
        _write_objects(folder / "objects.csv", *table, labelled=image.labels is not None)
    height, width = image.grey.shape
    report = {
        **about,
        "height_px": height,
        "width_px": width,
        "pixel_size_um": specimen.pixel_size_um,
        "properties": {name: float(value) for name, value in specimen.properties().items()},
        "mask_fractions": {name: float(mask.mean()) for name, mask in image.masks.items()},
        "objects": 0 if table is None else len(table[0]),
    }
    (folder / "properties.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _moved(pending: Path, out: Path) -> list[str]:
    """Move what is complete to where it belongs and return its names."""
    names = sorted(path.relative_to(pending).as_posix() for path in pending.rglob("*") if path.is_file())
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (pending / name).replace(out / name)
    return names


def _write_tiff(path: Path, values: NDArray[Any], pixel_size_um: float) -> None:
    per_cm = 1e4 / pixel_size_um
    # the tags hold a fraction of two 32-bit numbers: a pixel of 10 pm is too fine for pixels per centimetre alone
    scale = 1 if per_cm < 2**31 else 2 ** (math.ceil(math.log2(per_cm)) - 31)
    resolution = (round(per_cm * 1000), 1000) if per_cm < 2**21 else (round(per_cm / scale), scale)
    tifffile.imwrite(
        path, values, resolution=(resolution, resolution), resolutionunit="CENTIMETER", photometric="minisblack",
        compression="zlib",
    )  # fmt: skip


def _write_objects(path: Path, objects: Objects, labels: NDArray[np.int64], labelled: bool) -> None:
    further = [column for column in objects.columns if column.name != "number"]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ["label"] if labelled else []
        writer.writerow([*head, "y_px", "x_px", "area_px", "class", *(column.name for column in further)])
        for i in range(len(objects)):
            place = [f"{value:.4f}" for value in (objects.y_px[i], objects.x_px[i], objects.area_px[i])]
            kind = objects.classes[objects.class_index[i]].name
            line = [int(labels[i])] if labelled else []
            writer.writerow([*line, *place, kind, *(f"{column.values[i]:.7g}" for column in further)])
