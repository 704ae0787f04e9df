"""``cemi extract``: the whole scans of a screen recording as images."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_run.cli.options import (
    json_option,
    messages,
    parse_settings,
    quiet_option,
    set_option,
    terminated_like_interrupted,
)

if TYPE_CHECKING:
    from cemi_core.model.frame import DroppedFrame


@click.command("extract", epilog='Example: cemi extract pass*.mp4 --out frames --set pixel_size="222 nm"')
@click.argument("videos", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the images.")
@set_option("A setting of the source 'video' (overlap, deskew, pixel_size, ...).")
@json_option
@quiet_option
def extract(videos: tuple[str, ...], out: Path, overrides: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Write the whole scans of screen recordings as TIFF, with their rough places in positions.csv."""
    from cemi_core.files.atomic import atomic_path, made_folder
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.progress import shown_progress
    from cemi_run.recipe.check import choose

    terminated_like_interrupted()
    settings = {"path": [str(Path(video).absolute()) for video in videos], **parse_settings(overrides)}
    choice = choose("source", "video", settings, registry(), "--set")
    source = make(choice.plugin, choice.settings, Runtime())
    rows: list[tuple[str, float, float]] = []
    dropped: list[DroppedFrame] = []
    with made_folder(out, parents=True), messages(quiet), shown_progress(quiet) as progress:
        for number in range(len(source.passes)):
            _extract_pass(source, number, out, rows, dropped)
            progress("decoding passes", number + 1, len(source.passes))
    table = out / "positions.csv"
    with atomic_path(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "y_px", "x_px"])
        writer.writerows((name, f"{y:.2f}", f"{x:.2f}") for name, y, x in rows)
    if as_json:
        click.echo(json.dumps({"written": [row[0] for row in rows], "positions": str(table), **_as_plain(dropped)}))
    else:
        click.echo(f"{len(rows)} scan(s) written to {out}, {sum(entry.frames for entry in dropped)} dropped")
        for entry in dropped:
            click.echo(f"{'dropped ' if entry.frames else ''}{entry.name}: {entry.reason}", err=True)
    return int(not rows)


def _as_plain(dropped: Sequence[DroppedFrame]) -> dict[str, list[dict[str, str]]]:
    """Return what was dropped, and remarks on whole recordings, for JSON."""
    found: dict[str, list[dict[str, str]]] = {"dropped": [], "notes": []}
    for entry in dropped:
        found["dropped" if entry.frames else "notes"].append({"name": entry.name, "reason": entry.reason})
    return found


def _extract_pass(
    source: Any, number: int, out: Path, rows: list[tuple[str, float, float]], dropped: list[DroppedFrame]
) -> None:
    from cemi_core.errors import InputError
    from cemi_core.images.write_image import write_image
    from cemi_core.model.frame import DroppedFrame

    stem = Path(source.passes[number]).stem
    try:
        for entry in source.read_pass(number):
            if isinstance(entry, DroppedFrame):
                dropped.append(entry)
                continue
            frame, pixels = entry
            name = f"{stem}_{frame.index:04d}.tif"
            write_image(out / name, pixels, frame.pixel_size_um)
            y, x = frame.position_px or (0.0, 0.0)
            rows.append((name, y, x))
    except InputError as error:
        dropped.append(DroppedFrame(stem, str(error)))
