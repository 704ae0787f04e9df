"""``cemi denoise``: images in, the same images without noise out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cemi_core.cli.options import (
    machine_of,
    machine_options,
    messages,
    parse_settings,
    set_option,
    terminated_like_interrupted,
)


@click.command("denoise", epilog="Example: cemi denoise frames/*.tif --out clean --use nlm")
@click.argument("images", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the denoised images.")
@click.option("--use", default="gaussian", show_default=True, help="Denoiser; 'cemi plugins' lists them.")
@set_option("A setting of the denoiser, or of the source 'images'.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@machine_options
def denoise(
    images: tuple[str, ...],
    out: Path,
    use: str,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **machine_settings: Any,
) -> int:
    """Write each of IMAGES denoised under its own name into a folder, same size and type."""
    from cemi_core.cli.choices import choose_with_source
    from cemi_core.errors import UsageError
    from cemi_core.plugins.manager import make
    from cemi_core.run.executors import open_executor, spread
    from cemi_core.run.fingerprint import input_paths
    from cemi_core.run.plan import Workers
    from cemi_core.run.progress import shown_progress
    from cemi_core.store.atomic import storage_errors

    terminated_like_interrupted()
    machine = machine_of(machine_settings)
    settings = {"crop": "none", **parse_settings(overrides)}
    source_choice, choice = choose_with_source("denoise", use, images, settings, {})
    written: list[str] = []
    failed: list[tuple[str, str]] = []
    with messages(quiet), shown_progress(quiet) as progress:
        source = make(source_choice.plugin, source_choice.settings, machine.runtime())
        denoiser = make(choice.plugin, choice.settings, machine.runtime())
        names = [_file_name(frame.name) for frame in source.frames]
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise UsageError(f"two of the images are called {twice}; denoise them into different folders")
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        if out.resolve() in {path.resolve().parent for path in input_paths(source_choice)}:
            raise UsageError(f"--out {out} holds the images themselves, which would be overwritten; choose another")
        with open_executor(machine.kind, machine.workers, machine.scheduler) as executor:
            workers = Workers(executor, machine, progress)
            work = spread(
                executor, _denoise_batch, (denoiser, source, out), range(len(names)), in_flight=workers.in_flight
            )
            for index, reason in work:
                progress(f"denoising with {use}", index + 1, len(names))
                if reason:
                    failed.append((names[index], reason))
                else:
                    written.append(str(out / names[index]))
    failed += [(dropped.name, dropped.reason) for dropped in source.dropped]
    if as_json:
        click.echo(json.dumps({"written": written, "failed": [{"file": f, "reason": r} for f, r in failed]}))
    else:
        click.echo(f"{len(written)} image(s) written to {out}")
        for name, reason in failed:
            click.echo(f"not denoised: {name}: {reason}", err=True)
    return int(not written)


def _file_name(frame_name: str) -> str:
    """Return the name of the file to write; each page of a TIFF, called ``stack.tif[2]``, becomes ``stack_2.tif``."""
    path, _, page = Path(frame_name).name.removesuffix("]").rpartition("[")
    if frame_name.endswith("]") and page.isdecimal():
        return f"{Path(path).stem}_{page}{Path(path).suffix}"
    return Path(frame_name).name


def _denoise_batch(common: tuple[Any, Any, Path], indices: Sequence[int]) -> list[str]:
    """Denoise and write some images; return for each why it failed, or an empty text."""
    from cemi_core.errors import InputError
    from cemi_core.export.write_image import write_image
    from cemi_core.model.frame import from_unit_range
    from cemi_core.run.tiles import denoise_image

    denoiser, source, out = common
    reasons = []
    for index in indices:
        frame = source.frames[index]
        try:
            image = denoise_image(denoiser, source.read(index), frame.pixel_size_um)
        except InputError as error:
            reasons.append(str(error))
            continue
        pixels = from_unit_range(image, source.dtype, getattr(source, "float_range", (0.0, 1.0)))
        write_image(out / _file_name(frame.name), pixels, frame.pixel_size_um)
        reasons.append("")
    return reasons
