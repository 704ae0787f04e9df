"""``cemi export``: the mosaic for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from cemi_run.cli.options import messages, parse_settings, quiet_option, set_option


@click.command("export", epilog="Example: cemi export runs/ehea --to ome-tiff --out ehea.ome.tif")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "target", required=True, metavar="FORMAT", help="Export format; 'cemi plugins' lists them.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; by default beside the mosaic.")
@set_option("A setting of the format.")
@quiet_option
def export(run: Path, target: str, out: Path | None, overrides: tuple[str, ...], quiet: bool) -> None:
    """Export the mosaic of a run, or a mosaic file, to another format."""
    from cemi_core.errors import UsageError
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.engine.progress import shown_progress
    from cemi_run.recipe.check import choose
    from cemi_run.store.protocol import open_mosaic

    choice = choose("export", target, parse_settings(overrides), registry(), "--to")
    is_mosaic = run.is_file() or run.name.endswith(".zarr")
    path = run if is_mosaic else RunFolder(run).mosaic_path()
    stem = path.name.partition(".")[0]
    out = out or path.with_name(stem + choice.plugin.description.suffix)
    if out.resolve() == path.resolve():
        raise UsageError(f"{out} is the mosaic itself; choose another --out")
    exporter = make(choice.plugin, choice.settings, Runtime())
    with messages(quiet), shown_progress(quiet) as progress, open_mosaic(path) as mosaic:
        exporter(mosaic, out, lambda done, total: progress(f"exporting to {target}", done, total))
    click.echo(out)
