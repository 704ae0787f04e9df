"""``cemi recipe``: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cemi_run.cli.options import (
    json_option,
    machine_of,
    machine_options,
    messages,
    set_option,
    terminated_like_interrupted,
)


@click.command("recipe", epilog="Example: cemi recipe recipes/ehea.yaml --out runs/ehea --set stitch.matcher=zncc")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; by default runs/NAME OF THE RECIPE.")
@set_option("Override a part of the recipe: stitch.matcher=zncc, denoise.0.sigma_px=2, grid.rows=4.")
@click.option("--dry-run", is_flag=True, help="Only say what would run and why.")
@click.option("--discard", multiple=True, type=click.Choice(["frames"]), help="Remove the kept frames at the end.")
@json_option
@machine_options
def recipe(
    file: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    discard: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **machine_settings: Any,
) -> None:
    """Run a recipe: from frames to the picture, the maps and the report.

    A second run redoes only what changed; a run that was stopped goes on where it was.
    """
    from cemi_core.plugins.manager import registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.engine.progress import shown_progress
    from cemi_run.flow import dry_run as judge_flow
    from cemi_run.flow import run_recipe
    from cemi_run.recipe.check import check_recipe

    terminated_like_interrupted()
    machine = machine_of(machine_settings)
    checked = check_recipe(file, registry(), overrides)
    out = out or Path("runs") / file.stem
    if dry_run:
        verdicts = judge_flow(checked, RunFolder(out), machine)
        if as_json:
            click.echo(json.dumps([{"step": v.step.name, "runs": bool(v.reason), "why": v.reason} for v in verdicts]))
            return
        width = max(len(v.step.name) for v in verdicts)
        for verdict in verdicts:
            word = "would run" if verdict.reason else "is kept"
            why = f": {verdict.reason}" if verdict.reason else ""
            click.echo(f"{verdict.step.name:<{width}}  {word}{why}")
        return
    with messages(quiet), shown_progress(quiet) as progress:
        timings = run_recipe(checked, out, machine, progress, discard)
    if as_json:
        steps = [{"step": t.name, "seconds": round(t.seconds, 3), "kept": t.kept} for t in timings]
        click.echo(json.dumps({"run": str(out), "report": str(out / "report.html"), "steps": steps}))
        return
    seconds = sum(t.seconds for t in timings if not t.kept)
    kept = sum(t.kept for t in timings)
    click.echo(f"Done in {seconds:.1f} s ({kept} of {len(timings)} steps kept): {out / 'report.html'}")
