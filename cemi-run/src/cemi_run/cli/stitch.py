"""``cemi stitch``: images in, one mosaic out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cemi_run.cli.options import (
    json_option,
    machine_of,
    machine_options,
    messages,
    parse_settings,
    set_option,
    terminated_like_interrupted,
    use_option,
)


@click.command("stitch", epilog="Example: cemi stitch tiles/*.tif --out mosaic.h5 --layout layout.csv")
@click.argument("images", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="mosaic.h5 or mosaic.ome.zarr.")
@click.option("--layout", "layout_path", type=click.Path(path_type=Path), help="CSV table of the places found.")
@click.option("--quality", type=click.Path(path_type=Path), help="JSON table on how good the stitching is.")
@click.option("--positions", type=click.Path(path_type=Path), help="CSV table file,y_px,x_px of rough places.")
@click.option("--match-channel", default="", metavar="NAME", help="Channel that is matched (--set channels=[BSE,SE]).")
@click.option(
    "--follow",
    type=click.Path(path_type=Path),
    help="Place images as they appear in this folder, then (Ctrl-C, or --idle) stitch all of them.",
)
@click.option("--idle", type=click.FloatRange(0, min_open=True), help="Seconds without a new image that end --follow.")
@use_option("Stitcher", "kornia")
@set_option("A setting of the stitcher, or of the source 'images' (pixel_size, grid.columns, ...).")
@json_option
@machine_options
def stitch(
    images: tuple[str, ...],
    out: Path,
    layout_path: Path | None,
    quality: Path | None,
    positions: Path | None,
    match_channel: str,
    follow: Path | None,
    idle: float | None,
    use: str,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **machine_settings: Any,
) -> None:
    """Stitch overlapping IMAGES (files, folders or patterns) into one mosaic.

    A stitcher that averages frames (--set blend=average) also writes how many made each pixel, beside the mosaic
    (NAME-looks.h5). Further channels, such as those of colour, become mosaics in a folder beside it (NAME-channels/).

    With --follow DIR the images are placed while they appear; an overview beside the mosaic (NAME-overview.png) and the
    table of --layout are refreshed.
    """
    from tempfile import TemporaryDirectory

    import numpy as np

    from cemi_core.errors import UsageError
    from cemi_core.files.atomic import PARTIAL, atomic_path
    from cemi_core.model.layout import write_layout_csv
    from cemi_core.model.stages import JudgesLayout, PlaceContext
    from cemi_core.plugins.manager import make
    from cemi_run.cli.choices import choose_with_source
    from cemi_run.cli.follow import FollowPlaces, follow_until_idle, images_to_stitch, overview_path
    from cemi_run.engine.abilities import prepared, with_ability
    from cemi_run.engine.executors import open_executor, shares_memory
    from cemi_run.engine.fingerprint import input_paths
    from cemi_run.engine.folder import RunFolder
    from cemi_run.engine.plan import Context
    from cemi_run.engine.progress import shown_progress
    from cemi_run.steps.frames import keep_frames
    from cemi_run.steps.place import placed
    from cemi_run.steps.quality import judged, write_quality_json
    from cemi_run.steps.render import Blender, write_channels, write_mosaic
    from cemi_run.store.channels import channel_paths, require_room_for_channels
    from cemi_run.store.frames import StoredFrames

    terminated_like_interrupted()
    machine = machine_of(machine_settings)
    images = images_to_stitch(images, follow, idle)
    overview = overview_path(out, follow) if follow is not None else None
    if not out.name.endswith((".h5", ".ome.zarr")):
        raise UsageError(f"--out {out}: a mosaic is written as .h5 or .ome.zarr; 'cemi export' makes other formats")
    if out.name.endswith(".h5") and not shares_memory(machine.kind):
        raise UsageError(f"--executor {machine.kind} writes from several processes: name --out with .ome.zarr")
    more = {"positions": str(positions)} if positions else {}
    settings = parse_settings(overrides)
    match_channel = match_channel or str(settings.pop("match_channel", ""))
    source_choice, choice = choose_with_source("stitch", use, images, settings, more)
    abilities = choice.plugin.description.abilities_of(choice.settings)
    looks = _looks_path(out) if abilities.counts_frames else None
    _require_places([out, *([looks] if looks else [])], (layout_path, quality), set(input_paths(source_choice)))
    if quality is not None and not abilities.judges:
        raise UsageError(f"the stitcher '{choice.name}' does not judge its layouts; leave --quality out")
    stitcher = make(choice.plugin, choice.settings, machine.runtime())
    prepared(stitcher, choice.plugin, abilities)
    blender = Blender.of(stitcher, choice)
    with (
        messages(quiet),
        shown_progress(quiet) as progress,
        open_executor(machine.kind, machine.workers, machine.scheduler) as executor,
        TemporaryDirectory(prefix=PARTIAL, dir=out.absolute().parent) as aside,
    ):
        if follow is not None and overview is not None:
            places = FollowPlaces(follow, overview, layout_path)
            follow_until_idle(places, idle, source_choice, stitcher, machine.runtime(), executor)
        # Read once, as a run does: damaged images are dropped before the long work, and reading again is fast.
        context = Context(executor, machine, progress, RunFolder(Path(aside)), key="stitch")
        context.folder.inner.mkdir()
        wanted = {"--match-channel": match_channel} if match_channel else {}
        frames = StoredFrames(keep_frames(source_choice, context, wanted).outputs[0], match_channel)
        require_room_for_channels(out, frames.channels)
        place_context = PlaceContext(executor, progress)
        layout = placed(stitcher, frames, place_context)
        write_mosaic(blender, layout, frames, out, context, looks)
        channel_notes = write_channels(blender, layout, frames, out, context)[1]
        if quality is not None:
            judging = with_ability(stitcher, JudgesLayout, choice.plugin, "judges")
            write_quality_json(quality, choice.name, judged(judging, frames, layout, place_context))
        names, dropped_frames = [frame.name for frame in frames.frames], frames.dropped
    if layout_path is not None:
        with atomic_path(layout_path) as temporary:
            write_layout_csv(temporary, layout, names)
    channels = channel_paths(out).further
    height, width = layout.mosaic_shape
    residuals = layout.residual_px[np.isfinite(layout.residual_px)]
    answer = {
        "mosaic": str(out),
        "looks": str(looks) if looks else None,
        "channels": {name: str(path) for name, path in channels.items()},
        "height_px": height,
        "width_px": width,
        "frames": len(layout),
        "dropped": [{"file": d.name, "reason": d.reason} for d in dropped_frames],
        "components": int(layout.component.max()) + 1,
        "placed_by_prior": int(layout.placed_by_prior.sum()),
        "pairs_kept": sum(pair.kept for pair in layout.pairs),
        "pairs_rejected": sum(not pair.kept for pair in layout.pairs),
        "median_residual_px": float(np.median(residuals)) if len(residuals) else None,
        "notes": [*layout.notes, *channel_notes],
    }
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo(f"{out}: {height} x {width} px from {len(layout)} frames")
    if looks is not None:
        click.echo(f"{looks}: how many frames made each pixel")
    for name, path in channels.items():
        click.echo(f"{path}: channel {name}")
    if abilities.stands_alone:
        click.echo("each image stands alone: nothing was matched or joined")
        return
    residual = answer["median_residual_px"]
    said = f"median residual {residual:.3f} px" if residual is not None else "no pair kept"
    click.echo(
        f"{answer['pairs_kept']} pairs kept, {answer['pairs_rejected']} rejected, {said}, "
        f"{answer['components']} component(s), {answer['placed_by_prior']} frame(s) placed by the prior"
    )
    for note in (*layout.notes, *channel_notes):
        click.echo(note, err=True)


def _looks_path(out: Path) -> Path:
    """Return where the number of looks is written: beside the mosaic ``out``, in its format."""
    suffix = ".ome.zarr" if out.name.endswith(".ome.zarr") else ".h5"
    return out.with_name(f"{out.name.removesuffix(suffix)}-looks{suffix}")


def _require_places(mosaics: Sequence[Path], tables: tuple[Path | None, ...], inputs: set[Path]) -> None:
    """Find out before the long work whether what comes of it can be written, and that it replaces nothing of value."""
    from cemi_core.errors import UsageError
    from cemi_core.files.atomic import require_folder_of
    from cemi_core.files.inputs import require_no_input
    from cemi_run.store.protocol import open_mosaic

    written = [path for path in (*mosaics, *tables) if path is not None]
    require_no_input(written, inputs, "images or tables that are read")
    for path in written:
        require_folder_of(path)
        if path.is_dir() and not path.name.endswith(".ome.zarr"):
            raise UsageError(f"{path} is a folder; choose another name")
    for path in mosaics:
        if path.name.endswith(".ome.zarr") and path.is_file():
            raise UsageError(f"{path} is a file in the way of the mosaic's folder; choose another name")
        if path.name.endswith(".ome.zarr") and path.exists():
            open_mosaic(path).close()  # refuses to replace anything but a mosaic
