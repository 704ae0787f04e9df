"""Writes annotations in any known format."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from cemi_core.errors import InputError
from cemi_core.files.atomic import made_folder
from cemi_core.model.annotation import Annotation
from cemi_run.annotations.formats import FORMATS, format_named
from cemi_run.annotations.mask_legend import LEGEND_FILE
from cemi_run.annotations.outlines import shapes_of
from cemi_run.annotations.raster import background_index


def write_annotations(
    annotations: Sequence[Annotation], path: str | Path, format: str, *, tolerance_px: float = 0.0
) -> list[str]:
    """Write annotations for another program.

    Parameters
    ----------
    annotations : sequence of Annotation
        All with the same classes. A format without masks gets the outlines of the masks' areas.
    path : str or Path
        A file for formats with one file for all images; a folder, which is made, for those with one for each image
        (or a file, if there is one image).
    format : str
        A key of `FORMATS`.
    tolerance_px : float
        How far the outlines of a mask may leave the edges of its pixels to have fewer vertices.

    Returns
    -------
    list of str
        Sentences on what the format could not keep.

    Raises
    ------
    InputError
        There are no annotations, they differ in their classes, or two images would share a file.
    StorageError
        The disk is full or read-only, or the folder that shall hold ``path`` is missing.
    """
    chosen, path = format_named(format), Path(path)
    if not annotations:
        raise InputError("there are no annotations to write")
    if any(annotation.classes != annotations[0].classes for annotation in annotations):
        raise InputError("annotations of different classes cannot be written together; read them together first")
    if chosen is FORMATS["mask-png"]:
        return chosen.write(annotations, path)
    drawn = [replace(annotation, shapes=shapes_of(annotation, tolerance_px)) for annotation in annotations]
    notes = _mask_notes(annotations)
    if not chosen.per_image:
        return [*notes, *chosen.write(drawn, path)]
    targets = _targets(drawn, path, chosen.suffixes)
    with nullcontext() if path in targets else made_folder(path):
        for annotation, target in zip(drawn, targets, strict=True):
            notes += chosen.write([annotation], target)
    return list(dict.fromkeys(notes))


def written_paths(annotations: Sequence[Annotation], path: str | Path, format: str) -> list[Path]:
    """Return the files that `write_annotations` would write, and write nothing."""
    chosen, path = format_named(format), Path(path)
    if chosen is FORMATS["mask-png"]:
        if path.suffix.lower() == ".png":
            return [path, path.parent / LEGEND_FILE]
        return [*_paths_in(path, annotations, ".png"), path / LEGEND_FILE]
    if not chosen.per_image or (path.suffix.lower() in chosen.suffixes and not path.is_dir()):
        return [path]
    return _paths_in(path, annotations, chosen.suffixes[0])


def _paths_in(folder: Path, annotations: Sequence[Annotation], suffix: str) -> list[Path]:
    return [folder / f"{Path(annotation.image).stem}{suffix}" for annotation in annotations]


def _mask_notes(annotations: Sequence[Annotation]) -> list[str]:
    masks = [a for a in annotations if a.mask is not None and not a.shapes]
    background = background_index(annotations[0].classes)
    if not masks or background is None:
        return []
    name = annotations[0].classes[background].name
    return [f"the class '{name}' of the masks was not written: what no shape covers is background"]


def _targets(annotations: Sequence[Annotation], path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the file of each annotation."""
    if path.suffix.lower() in suffixes and not path.is_dir():
        if len(annotations) > 1:
            raise InputError(f"'{path.name}' is one file for {len(annotations)} images; name a folder")
        return [path]
    targets = _paths_in(path, annotations, suffixes[0])
    doubled = [target.name for target in targets if targets.count(target) > 1]
    if doubled:
        raise InputError(
            f"several images would share the file {doubled[0]}; rename them, or write a format with one file"
        )
    return targets
