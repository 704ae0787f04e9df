"""``cemi annotations convert`` and ``cemi annotations check``: annotations of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_run.cli.options import json_option, plain_json

if TYPE_CHECKING:
    from cemi_core.model.annotation import Annotation
    from cemi_core.model.classes import ClassLabel

_INPUTS = click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=click.Path(path_type=Path))
_IMAGES = click.option("--images", type=click.Path(path_type=Path), help="Folder of the images, for names and sizes.")
_CLASSES = click.option(
    "--classes",
    metavar="A,B",
    help="The classes that there may be, in their order; name=#rrggbb gives the colour of one.",
)
_IGNORE = click.option("--ignore-unknown", is_flag=True, help="Leave out labels that are not among --classes.")
_FROM = click.option("--from", "source", metavar="FORMAT", help="Format of IN; by default told from the content.")


@click.command(
    "convert", epilog="Example: cemi annotations convert labelme/ --to coco --out coco.json --images images/"
)
@_INPUTS
@click.option("--to", "target", required=True, metavar="FORMAT", help="coco, imagej-roi, label-studio, labelme, "
              "mask-png, qupath or via.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File, or folder for one file per image.")
@_IMAGES
@_CLASSES
@_IGNORE
@_FROM
@click.option("--tolerance", type=click.FloatRange(0), default=0.0, show_default=True, metavar="PX",
              help="How far outlines of masks may leave the pixels' edges, to have fewer vertices.")  # fmt: skip
@json_option
def convert(
    inputs: tuple[Path, ...],
    target: str,
    out: Path,
    images: Path | None,
    classes: str | None,
    ignore_unknown: bool,
    source: str | None,
    tolerance: float,
    as_json: bool,
) -> None:
    """Convert annotations of other programs into another format."""
    from cemi_run.annotations import write_annotations
    from cemi_run.annotations.formats import format_named

    format_named(target)
    annotations = _read(inputs, images, classes, ignore_unknown, source)
    _require_own_files(annotations, out, target, inputs, images)
    lost = write_annotations(annotations, out, target, tolerance_px=tolerance)
    for note in [*_told(annotations), *lost]:
        click.echo(note, err=True)
    if as_json:
        classes_found = [label.name for label in annotations[0].classes]
        click.echo(
            plain_json({"out": str(out), "images": len(annotations), "classes": classes_found, "not_kept": lost})
        )
    else:
        click.echo(out)


@click.command("check", epilog="Example: cemi annotations check coco.json --images images/")
@_INPUTS
@_IMAGES
@_CLASSES
@_IGNORE
@_FROM
@json_option
def check(
    inputs: tuple[Path, ...],
    images: Path | None,
    classes: str | None,
    ignore_unknown: bool,
    source: str | None,
    as_json: bool,
) -> None:
    """Print what annotations hold, for each class, and what is odd about them."""
    from cemi_run.annotations.checks import class_shares

    annotations = _read(inputs, images, classes, ignore_unknown, source)
    shares = [class_shares(annotation) for annotation in annotations]
    pixels = [annotation.shape[0] * annotation.shape[1] for annotation in annotations]
    rows: list[dict[str, Any]] = []
    for index, label in enumerate(annotations[0].classes):
        counts = [sum(shape.class_index == index for shape in annotation.shapes) for annotation in annotations]
        covered = sum(share[index] * size for share, size in zip(shares, pixels, strict=True))
        used = sum(bool(count or share[index]) for count, share in zip(counts, shares, strict=True))
        rows.append({"class": label.name, "shapes": sum(counts), "images": used, "share": covered / sum(pixels)})
    notes = _told(annotations)
    if as_json:
        click.echo(plain_json({"images": len(annotations), "classes": rows, "notes": notes}))
        return
    width = max([5, *(len(row["class"]) for row in rows)])
    click.echo(f"{len(annotations)} images")
    click.echo(f"{'class':<{width}}  {'shapes':>7}  {'images':>7}  {'area':>8}")
    for row in rows:
        click.echo(f"{row['class']:<{width}}  {row['shapes']:>7}  {row['images']:>7}  {row['share']:>8.3%}")
    for note in notes:
        click.echo(note)


def _read(
    inputs: tuple[Path, ...], images: Path | None, classes: str | None, ignore_unknown: bool, source: str | None
) -> list[Annotation]:
    from cemi_core.errors import InputError
    from cemi_run.annotations import read_annotations

    declared = None if classes is None else _declared(classes)
    found = read_annotations(
        list(inputs), images, declared, format=source, unknown="ignore" if ignore_unknown else "error"
    )
    if not found:
        raise InputError(f"{', '.join(map(str, inputs))}: no image is annotated")
    return found


def _require_own_files(
    annotations: list[Annotation], out: Path, target: str, inputs: tuple[Path, ...], images: Path | None
) -> None:
    """Raise UsageError if what is written would replace an image, or an annotation that is read."""
    from cemi_core.files.inputs import require_no_input
    from cemi_core.images.read_image import IMAGE_SUFFIXES
    from cemi_run.annotations.mask_legend import LEGEND_FILE
    from cemi_run.annotations.read import annotation_files
    from cemi_run.annotations.write import written_paths

    files = annotation_files(list(inputs))
    kept = {path.resolve() for path in files}
    kept.update(path.resolve().with_name(LEGEND_FILE) for path in files)
    # Labelme and others keep the annotations beside the images, which then need no --images
    for folder in {path.resolve().parent for path in files} | ({images.resolve()} if images else set()):
        kept.update(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    written = [path for path in written_paths(annotations, out, target) if path.exists()]
    require_no_input(written, kept, "images or annotations")


def _declared(text: str) -> list[ClassLabel]:
    """Return the classes of ``--classes a,b=#ff0000``."""
    import re

    from cemi_core.errors import UsageError
    from cemi_core.model.classes import ClassLabel

    declared = []
    for part in text.split(","):
        name, equals, colour = (piece.strip() for piece in part.partition("="))
        if not name or (equals and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour)):
            raise UsageError(f"--classes: '{part}' is neither a name nor name=#rrggbb")
        declared.append(ClassLabel(name, "", colour.lower()))
    return declared


def _told(annotations: list[Annotation]) -> list[str]:
    """Return the notes of all images, each once, with the images that it is about."""
    about: dict[str, list[str]] = {}
    for annotation in annotations:
        for note in annotation.notes:
            about.setdefault(note, []).append(annotation.image)
    return [
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {note}"
        for note, names in about.items()
    ]
