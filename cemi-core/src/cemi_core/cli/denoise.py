"""``cemi denoise``: images in, the same images without noise out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cemi_core.cli.options import (
    machine_of,
    machine_options,
    messages,
    parse_settings,
    set_option,
    terminated_like_interrupted,
)

if TYPE_CHECKING:
    from cemi_core.run.against import Against, Comparison


@click.command("denoise", epilog="Example: cemi denoise frames/*.tif --out clean --use nlm")
@click.argument("images", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the denoised images.")
@click.option("--use", default="gaussian", show_default=True, help="Denoiser; 'cemi plugins' lists them.")
@click.option(
    "--against",
    metavar="HD",
    help="Better images of the same fields (file, folder or pattern; same names and sizes): print how near the images "
    "come to them, as they came and denoised.",
)
@set_option("A setting of the denoiser, or of the source 'images'.")
@click.option(
    "--dtype",
    type=click.Choice(("auto", "float32", "bfloat16")),
    help="Numbers that a network computes in; short for --set dtype=...",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@machine_options
def denoise(
    images: tuple[str, ...],
    out: Path,
    use: str,
    against: str | None,
    overrides: tuple[str, ...],
    dtype: str | None,
    as_json: bool,
    quiet: bool,
    **machine_settings: Any,
) -> int:
    """Write each of IMAGES denoised under its own name into a folder, same size and type.

    With --against HD they are compared with better images of the same fields, which must be registered to them.
    """
    from cemi_core.cli.choices import choose_with_source
    from cemi_core.errors import UsageError
    from cemi_core.plugins.manager import make, registry
    from cemi_core.run.against import comparison_record, comparison_table
    from cemi_core.run.executors import open_executor, spread
    from cemi_core.run.fingerprint import input_paths
    from cemi_core.run.plan import Workers
    from cemi_core.run.progress import shown_progress
    from cemi_core.store.atomic import storage_errors

    terminated_like_interrupted()
    machine = machine_of(machine_settings)
    settings = {"crop": "none", **parse_settings(overrides), **({} if dtype is None else {"dtype": dtype})}
    source_choice, choice = choose_with_source("denoise", use, images, settings, {})
    written: list[str] = []
    failed: list[tuple[str, str]] = []
    compared: list[Comparison] = []
    not_compared: list[tuple[str, str]] = []
    notes: list[str] = []
    with messages(quiet), shown_progress(quiet) as progress:
        source = make(source_choice.plugin, source_choice.settings, machine.runtime())
        # fewer images than workers: each gets more of the cores
        threads = machine.workers // max(1, min(machine.workers, len(source.frames)))
        denoiser = make(choice.plugin, choice.settings, replace(machine.runtime(), threads=threads))
        names = [_file_name(frame.name) for frame in source.frames]
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise UsageError(f"two of the images are called {twice}; denoise them into different folders")
        inputs = set(input_paths(source_choice))
        better = None
        if against is not None:
            better, notes, paths = _better_images(against, names, source, settings, machine.runtime())
            inputs |= paths
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        if out.resolve() in {path.resolve().parent for path in inputs}:
            raise UsageError(f"--out {out} holds the images themselves, which would be overwritten; choose another")
        with open_executor(machine.kind, machine.workers, machine.scheduler) as executor:
            workers = Workers(executor, machine, progress)
            common = denoiser, source, out, better
            work = spread(executor, _denoise_batch, common, range(len(names)), in_flight=workers.in_flight)
            for index, done in work:
                progress(f"denoising with {use}", index + 1, len(names))
                if done.failure:
                    failed.append((names[index], done.failure))
                    continue
                written.append(str(out / names[index]))
                if done.comparison is not None:
                    compared.append(done.comparison)
                if done.not_compared:
                    not_compared.append((names[index], done.not_compared))
    failed += [(dropped.name, dropped.reason) for dropped in source.dropped]
    answer: dict[str, Any] = {"written": written, "failed": _as_records(failed)}
    if against is not None:
        answer |= {"against": comparison_record(compared), "not_compared": _as_records(not_compared), "notes": notes}
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{len(written)} image(s) written to {out}")
        if compared:
            click.echo(comparison_table(compared, registry().of_stage("metric")))
        _say_what_is_missing(answer)
    return int(not written or (against is not None and not compared))


def _say_what_is_missing(answer: dict[str, Any]) -> None:
    for note in answer.get("notes", ()):
        click.echo(note, err=True)
    for entry in answer["failed"]:
        click.echo(f"not denoised: {entry['file']}: {entry['reason']}", err=True)
    for entry in answer.get("not_compared", ()):
        click.echo(f"not compared: {entry['file']}: {entry['reason']}", err=True)


def _as_records(reasons: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"file": name, "reason": reason} for name, reason in reasons]


def _better_images(
    where: str, names: Sequence[str], source: Any, settings: dict[str, Any], runtime: Any
) -> tuple[Against, list[str], set[Path]]:
    """Open the images to compare with, on the same scale of grey levels; return also what to say, and their paths."""
    from cemi_core.plugins.manager import make, registry
    from cemi_core.recipe.check import choose
    from cemi_core.run.against import Against, find_partners, load_metrics
    from cemi_core.run.fingerprint import input_paths

    own: dict[str, Any] = {"path": str(Path(where).absolute()), "crop": settings["crop"]}
    if source.dtype.kind == "f":
        own["float_range"] = list(source.float_range)
    choice = choose("source", "images", own, registry(), "--against")
    better = make(choice.plugin, choice.settings, runtime)
    partners = find_partners(names, better, f"--against {where}")
    metrics, notes = load_metrics(registry(), runtime)
    return Against(better, partners, metrics), notes, set(input_paths(choice))


def _file_name(frame_name: str) -> str:
    """Return the name of the file to write; each page of a TIFF, called ``stack.tif[2]``, becomes ``stack_2.tif``."""
    path, _, page = Path(frame_name).name.removesuffix("]").rpartition("[")
    if frame_name.endswith("]") and page.isdecimal():
        return f"{Path(path).stem}_{page}{Path(path).suffix}"
    return Path(frame_name).name


class _Done(NamedTuple):
    """What became of one image; empty texts where nothing went wrong."""

    failure: str = ""
    comparison: Comparison | None = None
    not_compared: str = ""


def _denoise_batch(common: tuple[Any, Any, Path, Against | None], indices: Sequence[int]) -> list[_Done]:
    """Denoise and write some images, and compare them with better ones."""
    from cemi_core.errors import InputError
    from cemi_core.export.write_image import write_image
    from cemi_core.model.frame import from_unit_range
    from cemi_core.run.tiles import denoise_image

    denoiser, source, out, better = common
    done = []
    for index in indices:
        frame = source.frames[index]
        name = _file_name(frame.name)
        try:
            raw = source.read(index)
            image = denoise_image(denoiser, raw, frame.pixel_size_um)
        except InputError as error:
            done.append(_Done(failure=str(error)))
            continue
        pixels = from_unit_range(image, source.dtype, getattr(source, "float_range", (0.0, 1.0)))
        write_image(out / name, pixels, frame.pixel_size_um)
        try:
            done.append(_Done(comparison=None if better is None else better.compare(name, raw, image)))
        except InputError as error:
            done.append(_Done(not_compared=str(error)))
    return done
