"""``cemi export``: the mosaic, objects and layers for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cemi_run.cli.options import messages, parse_settings, quiet_option, set_option

if TYPE_CHECKING:
    from cemi_core.plugins.types import ExporterPlugin
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import Choice

Found = TypeVar("Found")


@click.command("export", epilog="Example: cemi export runs/ehea --to ome-tiff --out ehea.ome.tif")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "target", required=True, metavar="FORMAT", help="Export format; 'cemi plugins' lists them.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; by default beside the mosaic.")
@click.option(
    "--objects", metavar="NAME", help="Which objects of the run, for a format of objects; by default the only ones."
)
@click.option(
    "--layer", metavar="NAME", help="Which layer of the run, for a format of layers; by default the only one."
)
@click.option(
    "--channel",
    metavar="NAME",
    help="One channel of the mosaic, 'main' for the one that was matched, or 'all' (by default, where the format holds "
    "them).",
)
@set_option("A setting of the format.")
@quiet_option
def export(
    run: Path,
    target: str,
    out: Path | None,
    objects: str | None,
    layer: str | None,
    channel: str | None,
    overrides: tuple[str, ...],
    quiet: bool,
) -> None:
    """Export the mosaic, the objects or a layer of a run, or a mosaic file, to another format.

    A mosaic with channels is written with all of them into OME-TIFF and OME-Zarr, and in colour into a PNG where they
    are red, green and blue; other formats get the channel that was matched.
    """
    from cemi_core.errors import UsageError
    from cemi_core.files.inputs import require_no_input
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.fingerprint import InputFingerprints
    from cemi_run.engine.folder import RunFolder
    from cemi_run.engine.progress import shown_progress
    from cemi_run.recipe.check import choose
    from cemi_run.store.channels import channel_paths

    choice = choose("export", target, parse_settings(overrides), registry(), "--to")
    takes = choice.plugin.description.takes
    for option, value in (("objects", objects), ("layer", layer)):
        if value is not None and takes != option:
            raise UsageError(f"--{option}: the format '{target}' takes the {takes} of a run; leave the option out")
    if channel is not None and takes != "mosaic":
        raise UsageError(f"--channel: the format '{target}' takes the {takes} of a run; leave the option out")
    is_mosaic = run.is_file() or run.name.endswith(".zarr")
    exporter = make(choice.plugin, choice.settings, Runtime())
    if not is_mosaic:
        require_no_input(
            [out] if out else [], InputFingerprints(RunFolder(run).inputs).paths, "files that this run has read"
        )
    if takes != "mosaic":
        if is_mosaic:
            raise UsageError(f"the format '{target}' needs the folder of a run with {takes}, and {run} is a mosaic")
        with messages(quiet), shown_progress(quiet) as progress:
            shown = partial(progress, f"exporting to {target}")
            click.echo(_export_found(exporter, takes, objects or layer, RunFolder(run), out, choice, shown))
        return
    path = run if is_mosaic else RunFolder(run).mosaic_path()
    stem = path.name.partition(".")[0]
    out = out or path.with_name(stem + choice.plugin.description.suffix)
    require_no_input([out], [path, *channel_paths(path).paths.values()], "mosaics that are exported")
    with messages(quiet), shown_progress(quiet) as progress:
        shown = partial(progress, f"exporting to {target}")
        note = _export_mosaic(exporter, choice, path, channel, out, shown)
    click.echo(out)
    if note:
        click.echo(note, err=True)


def _export_mosaic(
    exporter: Any, choice: Choice[ExporterPlugin], mosaic: Path, channel: str | None, out: Path, shown: Any
) -> str:
    """Export all channels of a mosaic, or one of them; return what is to be said of those that are left out."""
    from cemi_core.errors import PluginError
    from cemi_core.model.stages import ExportsChannels
    from cemi_core.plugins.types import owner_of
    from cemi_run.store.channels import ChannelMosaics, channel_paths, path_of_channel
    from cemi_run.store.protocol import open_mosaic

    found = channel_paths(mosaic)
    if _several(choice, tuple(found.paths), channel):
        if not isinstance(exporter, ExportsChannels):
            raise PluginError(f"{owner_of(exporter)} declares that it holds channels, and has no export_channels")
        with ChannelMosaics(found.paths) as mosaics:
            exporter.export_channels(mosaics, out, shown)
        return ""
    wanted = "" if channel in (None, "main", "all") else str(channel)
    with open_mosaic(path_of_channel(mosaic, wanted, "--channel")) as one:
        exporter(one, out, shown)
    if channel is not None or not found.paths:
        return ""
    return f"It holds {found.main or 'the luminance'}; --channel NAME exports another of {', '.join(found.paths)}."


def _several(choice: Choice[ExporterPlugin], names: tuple[str, ...], channel: str | None) -> bool:
    """Return whether all channels go into one file.

    Raises
    ------
    UsageError
        That is asked for, and the format does not hold them.
    """
    from cemi_core.errors import UsageError
    from cemi_core.model.channels import COLOUR

    held = choice.plugin.description.channels
    fits = bool(names) and (held == "several" or (held == "colour" and names == COLOUR))
    if channel == "all" and names and not fits:
        raise UsageError(
            f"--channel all: {choice.name} does not hold the channels {', '.join(names)} in one file; export them one "
            "by one, or to ome-tiff or ome-zarr"
        )
    return fits and channel in (None, "all")


def _export_found(
    exporter: Any, takes: str, name: str | None, folder: RunFolder, out: Path | None, choice: Choice[Any], shown: Any
) -> Path:
    """Export objects or a layer of a run; return where."""
    from cemi_core.errors import InputError, UsageError
    from cemi_run.steps.finish import opened_run

    suffix = choice.plugin.description.suffix
    with opened_run(folder) as run:
        if run.mosaic is None:
            raise InputError(f"{folder.path} holds no mosaic any more")
        if takes == "objects":
            tables = {objects.name: objects for result in run.results for objects in result.objects}
            objects = _chosen(tables, name, "objects", folder.path)
            target = out or folder.path / "objects" / f"{objects.name}{suffix}"
            if (folder.path / "objects").resolve() == target.resolve().parent and target.suffix == ".h5":
                raise UsageError(f"{target} is a file of the run itself; choose another --out")
            exporter(objects, target, run.mosaic, shown)
        else:
            layers = {layer.spec.name: layer for result in run.results for layer in result.layers}
            layer = _chosen(layers, name, "layer", folder.path)
            if layer.path not in run.layers:
                raise InputError(f"{folder.path / layer.path} is gone; run the recipe again")
            target = out or folder.path / "layers" / f"{layer.spec.name}{suffix}"
            exporter(run.layers[layer.path], layer.spec, target, run.mosaic, shown)
    return target


def _chosen(found: Mapping[str, Found], name: str | None, option: str, run: Path) -> Found:
    """Return what is called ``name``, or the only one there is."""
    from cemi_core.errors import InputError, UsageError

    if not found:
        raise InputError(f"{run} holds no {option}: no analyzer of its recipe gives any")
    if name is None and len(found) > 1:
        raise UsageError(f"{run} holds several: choose one with --{option}: {', '.join(found)}")
    if name is not None and name not in found:
        raise UsageError(f"--{option} {name}: {run} holds {', '.join(found)}")
    return found[name] if name is not None else next(iter(found.values()))
