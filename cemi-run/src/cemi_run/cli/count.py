"""``cemi count``: a sheet to count on by hand, and how the count agrees with the maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cemi_run.cli.options import json_option, plain_json

if TYPE_CHECKING:
    from cemi_run.engine.folder import RunFolder


@click.command(
    "count", epilog="Example: cemi count runs/ehea --cells 20; then cemi count runs/ehea --answers count.json"
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--cells", type=click.IntRange(2, 500), default=20, show_default=True, help="Random cells.")
@click.option("--points", type=click.IntRange(4, 400), default=25, show_default=True, help="Points in each.")
@click.option("--quantity", default="", help="Map to check; the first share of the area by default.")
@click.option("--ask", default="", help="What the sheet asks of each point.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws cells and grids.")
@click.option("--answers", type=click.Path(path_type=Path), help="Compare these answers, saved from the sheet.")
@json_option
def count(
    run: Path, cells: int, points: int, quantity: str, ask: str, seed: int, answers: Path | None, as_json: bool
) -> None:
    """Write a sheet to count points by hand in cells of RUN, results hidden; or compare the answers with the maps."""
    from cemi_core.errors import InputError
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import choose
    from cemi_run.steps.finish import opened_run, write_run_report

    folder = RunFolder(run)
    if not folder.run_file.exists():
        raise InputError(f"{run} holds no finished run (run.h5 is missing); run 'cemi recipe' first")
    if answers is not None:
        _compare(folder, answers, as_json)
        return
    settings = {"cells": cells, "points": points, "quantity": quantity, "ask": ask}
    choice = choose("report", "count-sheet", settings, registry(), "count")
    runtime = Runtime(seed=seed)
    with folder.opened_for_writing(), opened_run(folder):
        (page,) = write_run_report(make(choice.plugin, choice.settings, runtime), folder)
    click.echo(plain_json({"sheet": str(page)}) if as_json else f"Open {page} in a browser; save the answers there.")


def _compare(folder: RunFolder, path: Path, as_json: bool) -> None:
    from cemi_core.plugins.manager import make_named
    from cemi_run.jobs.count import compare_count, read_answers
    from cemi_run.steps.finish import opened_run, write_run_report
    from cemi_run.store.check_file import write_check

    answers = read_answers(path)
    with folder.opened_for_writing():
        with opened_run(folder) as run:
            result, digest = compare_count(run, answers), run.digest
        write_check(folder.path / "count.h5", result, digest)
        if folder.report.exists():
            write_run_report(make_named("report", "html"), folder)
    tables = {table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in result.tables}
    if as_json:
        click.echo(plain_json(tables))
        return
    for name in ("sentences", "cautions"):
        for row in tables[name]:
            click.echo(next(iter(row.values())))
