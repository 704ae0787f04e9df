"""``cemi report``: the page again."""

from __future__ import annotations

from pathlib import Path

import click

from cemi_run.cli.options import parse_settings, set_option, use_option


@click.command("report", epilog="Example: cemi report runs/ehea")
@click.argument("run", type=click.Path(path_type=Path))
@use_option("Report", "html")
@set_option("A setting of the report.")
def report(run: Path, use: str, overrides: tuple[str, ...]) -> None:
    """Write the report of a run again from what its folder holds."""
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import choose
    from cemi_run.steps.finish import write_run_report

    choice = choose("report", use, parse_settings(overrides), registry(), "--use")
    for path in write_run_report(make(choice.plugin, choice.settings, Runtime()), RunFolder(run)):
        click.echo(path)
