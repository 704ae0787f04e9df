"""``cemi report``: the page again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report", epilog="Example: cemi report runs/ehea")
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write the report of a run again from what its folder holds."""
    from cemi_core.run.finish import render_run_report
    from cemi_core.run.folder import RunFolder

    folder = RunFolder(run)
    render_run_report(folder)
    click.echo(folder.report)
