"""Which formats there are, and which of them a file has."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cemi_core.errors import InputError, UsageError
from cemi_core.model.annotation import Annotation
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations import coco, imagej_roi, label_studio, labelme, mask_png, qupath_geojson, via
from cemi_run.annotations.drawing import Drawings
from cemi_run.annotations.files import AnnotationFile


@dataclass(frozen=True)
class AnnotationFormat:
    """One format.

    Attributes
    ----------
    summary : str
        One line for help.
    suffixes : tuple of str
        Of its files, the one that is written first.
    per_image : bool
        Whether each image has a file of its own.
    recognises : callable
        Says from its content whether a file is of this format.
    read : callable
        From a file and the declared classes, if any, to what it says.
    write : callable
        From annotations (one, if ``per_image``) to a file; returns sentences on what could not be kept.
    """

    summary: str
    suffixes: tuple[str, ...]
    per_image: bool
    recognises: Callable[[AnnotationFile], bool]
    read: Callable[[AnnotationFile, Sequence[ClassLabel] | None], Drawings]
    write: Callable[[Sequence[Annotation], Path], list[str]]


def _of(module: object, summary: str, suffixes: tuple[str, ...], per_image: bool) -> AnnotationFormat:
    parts = (getattr(module, name) for name in ("recognises", "read", "write"))
    return AnnotationFormat(summary, suffixes, per_image, *parts)


#: Every format by the word that names it. The order is that in which files are tried.
FORMATS: dict[str, AnnotationFormat] = {
    "labelme": _of(labelme, "Labelme: one JSON for each image", (".json",), True),
    "coco": _of(coco, "COCO: one JSON for all images", (".json",), False),
    "via": _of(via, "VGG Image Annotator: project or CSV", (".json", ".csv"), False),
    "qupath": _of(qupath_geojson, "QuPath: one GeoJSON for each image", (".geojson", ".json"), True),
    "label-studio": _of(label_studio, "Label Studio: JSON export", (".json",), False),
    "imagej-roi": _of(imagej_roi, "ImageJ and Fiji: one set of regions for each image", (".zip", ".roi"), True),
    "mask-png": _of(mask_png, "masks: one PNG or TIFF for each image", (".png", ".tif", ".tiff"), False),
}


def format_named(name: str) -> AnnotationFormat:
    """Return a format.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(name, FORMATS, 1, 0.4)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    raise UsageError(f"unknown annotation format '{name}'{hint}; there are {', '.join(FORMATS)}")


def format_of(file: AnnotationFile) -> AnnotationFormat:
    """Return the format of a file, told from its content.

    Raises
    ------
    InputError
        It is none of them.
    """
    for candidate in FORMATS.values():
        if candidate.recognises(file):
            return candidate
    raise InputError(f"'{file.path}' is none of the known annotation formats ({', '.join(FORMATS)})")
