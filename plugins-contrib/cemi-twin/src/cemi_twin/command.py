"""``cemi twin``: how far to trust the numbers of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cemi_run.cli.options import json_option, machine_of, machine_options, messages, terminated_like_interrupted

_EPILOG = """\b
Examples:
  cemi twin runs/ehea
  cemi twin runs/ehea --repeats 5 --size medium --json

Writes twin.json and twin.h5, keeps the twins in twin/, and shows the answer in the run's report.
"""


@click.command("twin", epilog=_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--repeats", type=click.IntRange(1, 50), default=3, show_default=True, help="Virtual specimens.")
@click.option(
    "--size",
    type=click.Choice(["auto", "tiny", "small", "medium"]),
    default="auto",
    show_default=True,
    help="Frames of each: 24, 12, 24, 40.",
)
@click.option("--specimen", default="auto", show_default=True, help="Kind of specimen, or the one that fits best.")
@click.option("--out", type=click.Path(path_type=Path), help="Another folder than that of the run.")
@json_option
@machine_options
def twin(
    run: Path, repeats: int, size: Any, specimen: str, out: Path | None, as_json: bool, quiet: bool, **machine: Any
) -> None:
    """Run the recipe of RUN on virtual specimens like it, and say how far off its numbers are.

    Noise, blur, grey levels, structure, overlaps and stage errors are estimated from the run's frames; the virtual
    specimens have a known truth. A repeat that is done is not done again.
    """
    from cemi_core.files.atomic import atomic_path, storage_errors
    from cemi_run.engine.progress import shown_progress
    from cemi_run.store.check_file import write_check
    from cemi_twin.job import make_twin
    from cemi_twin.record import result_of, sentences, table_of, to_json

    terminated_like_interrupted()
    folder = out or run
    settings = machine_of(machine)
    with storage_errors(folder), messages(quiet), shown_progress(quiet) as progress, _held(run, out):
        answer = make_twin(
            run, folder / "twin", settings, progress, repeats, size, specimen,
            lambda sentence: None if quiet else click.echo(sentence, err=True),
        )  # fmt: skip
        with atomic_path(folder / "twin.json") as temporary:
            temporary.write_text(to_json(answer), encoding="utf-8")
        write_check(folder / "twin.h5", result_of(answer), answer.view.digest)
        if out is None:
            _report_again(run)
    if as_json:
        click.echo(to_json(answer))
        return
    click.echo(table_of(answer))
    click.echo()
    for sentence in sentences(answer):
        click.echo(sentence)
    for caution in answer.cautions:
        click.echo(f"Caution: {caution}")
    if answer.left_out:
        click.echo("Left out: " + "; ".join(answer.left_out) + ".")


def _held(run: Path, out: Path | None) -> Any:
    """Return a context that holds the folder that is written to."""
    from contextlib import nullcontext

    from cemi_core.errors import InputError
    from cemi_run.engine.folder import RunFolder

    if not RunFolder(run).run_file.exists():
        raise InputError(f"{run} holds no finished run (run.h5 is missing); run 'cemi recipe' first")
    if out is None:
        return RunFolder(run).opened_for_writing()
    out.mkdir(parents=True, exist_ok=True)
    return nullcontext()


def _report_again(run: Path) -> None:
    """Write the run's report again, with the twin in it; a run without a report gets none."""
    import yaml

    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import choose
    from cemi_run.steps.finish import write_run_report

    folder = RunFolder(run)
    if not folder.report.exists():
        return
    recipe = yaml.safe_load(folder.resolved_recipe.read_text(encoding="utf-8"))
    told = recipe.get("report") or {}
    choice = choose("report", told.get("use", "html"), told.get("with", {}), registry(), "report")
    write_run_report(make(choice.plugin, choice.settings, Runtime()), folder)
