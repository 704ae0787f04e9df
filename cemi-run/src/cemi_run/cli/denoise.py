"""``cemi denoise``: images in, the same images without noise out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_run.cli.options import (
    json_option,
    machine_of,
    machine_options,
    messages,
    parse_settings,
    said_if_interrupted,
    set_option,
    terminated_like_interrupted,
    use_option,
)

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.types import DenoiserPlugin, SourcePlugin
    from cemi_run.jobs.compare import Against, Comparison
    from cemi_run.jobs.denoise_files import DenoisedFile
    from cemi_run.recipe.check import Choice
    from cemi_run.sources.images import ImagesSource


@click.command("denoise", epilog="Example: cemi denoise frames/*.tif --out clean --use nlm")
@click.argument("images", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the denoised images.")
@use_option("Denoiser", "gaussian")
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
@json_option
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
    """Write each of IMAGES denoised into a folder under its own name, with its own size, type of pixels and pages.

    Colour stays colour: each channel is denoised. With --against HD the images are compared with better ones of the
    same fields, which must be registered to them.
    """
    from cemi_core.errors import UsageError
    from cemi_core.files.atomic import made_folder
    from cemi_core.plugins.manager import make
    from cemi_run.cli.choices import choose_with_source
    from cemi_run.engine.abilities import prepared
    from cemi_run.engine.executors import open_executor
    from cemi_run.engine.plan import Workers
    from cemi_run.engine.progress import shown_progress
    from cemi_run.jobs.denoise_files import FilesTask, denoise_files

    terminated_like_interrupted()
    machine = machine_of(machine_settings)
    settings = {"crop": "none", **parse_settings(overrides), **({} if dtype is None else {"dtype": dtype})}
    source_choice, choice = choose_with_source("denoise", use, images, settings, {})
    interrupted = f"Interrupted: what is finished is in {out}; no file is half written."
    with said_if_interrupted(interrupted), messages(quiet), shown_progress(quiet) as progress:
        source = _opened(source_choice)
        if source_choice.settings.model_dump()["float_range"] is not None:
            source.require_floats()
        # fewer images than workers: each gets more of the cores
        threads = machine.workers // max(1, min(machine.workers, len(source.frames)))
        _require_no_overlaps(choice)
        abilities = choice.plugin.description.abilities_of(choice.settings)
        if abilities.scale > 1 and against is not None:
            raise UsageError(f"'{choice.name}' makes images {abilities.scale} times as large; leave --against out")
        denoiser = make(choice.plugin, choice.settings, replace(machine.runtime(), threads=threads))
        prepared(denoiser, choice.plugin, abilities)
        better, metrics_left_out = None, list[str]()
        if against is not None:
            source, better, metrics_left_out = _better_images(against, source_choice, source, machine.runtime())
        _require_other_folder(out, source, against)
        with (
            made_folder(out, parents=True),
            _aside(out) as aside,
            open_executor(machine.kind, machine.workers, machine.scheduler) as executor,
        ):
            task = FilesTask(denoiser, source, out, Path(aside), better, abilities.takes_channels, abilities.scale)
            done = list(denoise_files(task, Workers(executor, machine, progress), f"denoising with {use}"))
    answer = _answer(done, source, metrics_left_out, against is not None)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _say(answer, done, out)
    return int(not answer["written"] or (against is not None and not any(file.comparisons for file in done)))


def _aside(out: Path) -> TemporaryDirectory[str]:
    """Return a folder in ``out`` for what is not finished."""
    from tempfile import TemporaryDirectory

    from cemi_core.files.atomic import PARTIAL, storage_errors

    with storage_errors(out):
        return TemporaryDirectory(prefix=PARTIAL, dir=out)


def _require_no_overlaps(choice: Choice[DenoiserPlugin]) -> None:
    """Raise UsageError if a setting asks the denoiser to learn from overlapping frames, which only a run has."""
    from cemi_core.errors import UsageError
    from cemi_run.steps.adapted import setting_that_learns

    learning = setting_that_learns(choice)
    if learning is not None:
        key, value = learning
        raise UsageError(
            f"--set {key}={value} learns from the overlaps of a run, which 'cemi denoise' does not have; write "
            f"denoise: [{{use: {choice.name}, with: {{{key}: {value}}}}}] into a recipe for 'cemi recipe'"
        )


def _what_changes(source: ImagesSource) -> list[str]:
    """Return a sentence for each thing in which the files that are written differ from those that came."""
    indexed = [still.name for still in source.stills if still.header.indexed]
    printed = [still.name for still in source.stills if still.header.model == "cmyk"]
    one_bit = [still.name for still in source.stills if still.header.stored.kind == "b"]
    sentences = []
    if indexed:
        sentences.append(f"stored with a palette of colours, written as red, green and blue: {_some(indexed)}")
    if printed:
        sentences.append(f"stored in printing colours (CMYK), written as red, green and blue: {_some(printed)}")
    if one_bit:
        sentences.append(f"stored with 1 bit, written with 8: {_some(one_bit)}")
    return sentences


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _opened(choice: Choice[SourcePlugin], **changed: Any) -> ImagesSource:
    """Open images that have nothing to do with each other."""
    from cemi_run.sources.images import ImagesSettings, ImagesSource

    settings = choice.settings.model_copy(update=changed)
    assert isinstance(settings, ImagesSettings)
    return ImagesSource(settings, apart=True)


def _require_other_folder(out: Path, source: ImagesSource, against: str | None) -> None:
    """Raise UsageError if what is written would replace an image, or another that is written."""
    from cemi_core.errors import UsageError
    from cemi_core.files.find import find_files
    from cemi_core.files.inputs import require_no_input
    from cemi_core.images.read_image import IMAGE_SUFFIXES

    paths = {still.path for still in source.stills}
    twice = next((name for name, count in Counter(path.name for path in paths).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"two of the images are called {twice}; denoise them into different folders")
    if against is not None:
        paths.update(find_files(against, IMAGE_SUFFIXES, "images"))
    require_no_input([out], {path.parent for path in paths}, "folders of the images")


def _better_images(
    where: str, source_choice: Choice[SourcePlugin], source: ImagesSource, runtime: Runtime
) -> tuple[ImagesSource, Against, list[str]]:
    """Open the images to compare with; return the images on one scale of grey levels with them, and what to say."""
    from cemi_core.plugins.manager import registry
    from cemi_run.jobs.compare import Against, find_partners, load_metrics
    from cemi_run.jobs.denoise_files import picture_names
    from cemi_run.recipe.check import choose

    own: dict[str, Any] = {"path": str(Path(where).absolute()), "crop": source_choice.settings.model_dump()["crop"]}
    if any(still.header.dtype.kind == "f" for still in source.stills):
        own["float_range"] = list(source.float_range)
        source = _opened(source_choice, float_range=source.float_range)
    better = _opened(choose("source", "images", own, registry(), "--against"))
    partners = find_partners(picture_names(source), better, f"--against {where}")
    metrics, notes = load_metrics(registry(), runtime)
    return source, Against(better, partners, metrics), notes


def _answer(done: Sequence[DenoisedFile], source: ImagesSource, notes: list[str], compared: bool) -> dict[str, Any]:
    """Return what was done as plain data."""
    from cemi_run.jobs.compare import comparison_record

    failed = [(file.path.name, file.failure) for file in done if file.failure]
    failed += [(entry.name, entry.reason) for entry in source.dropped]
    answer: dict[str, Any] = {
        "written": [str(file.path) for file in done if not file.failure],
        "failed": _as_records(failed),
        "notes": _what_changes(source) + notes,
    }
    if compared:
        answer["against"] = comparison_record(_comparisons(done))
        answer["not_compared"] = _as_records([entry for file in done for entry in file.not_compared])
    return answer


def _comparisons(done: Sequence[DenoisedFile]) -> list[Comparison]:
    return [comparison for file in done for comparison in file.comparisons]


def _as_records(reasons: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"file": name, "reason": reason} for name, reason in reasons]


def _say(answer: dict[str, Any], done: Sequence[DenoisedFile], out: Path) -> None:
    """Print what was done in one line, the comparison if there is one, and what is missing."""
    from cemi_core.plugins.manager import registry
    from cemi_run.jobs.compare import comparison_table

    written = [file for file in done if not file.failure]
    pages = sum(file.pages for file in written)
    stacks = sum(file.pages > 1 for file in written)
    of_pages = f" ({stacks} of them with several pages, {pages} pictures in all)" if stacks else ""
    click.echo(f"{len(written)} image(s) written to {out}{of_pages}")
    compared = _comparisons(done)
    if compared:
        click.echo(comparison_table(compared, registry().metrics))
    for note in answer["notes"]:
        click.echo(note, err=True)
    for entry in answer["failed"]:
        click.echo(f"not denoised: {entry['file']}: {entry['reason']}", err=True)
    for entry in answer.get("not_compared", ()):
        click.echo(f"not compared: {entry['file']}: {entry['reason']}", err=True)
