"""``cemi plugins``: what is installed, and what is broken."""

from __future__ import annotations

import json

import click

from cemi_core.plugins.manager import STAGES, registry


@click.command("plugins", epilog="Example: cemi plugins --stage denoise")
@click.option("--stage", type=click.Choice(STAGES), help="Only plugins of this stage.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(stage: str | None, as_json: bool) -> None:
    """List the installed plugins by stage; a broken one is named with the reason."""
    found = registry()
    stages = [stage] if stage else list(STAGES)
    rows = {
        s: [
            {"name": p.name, "summary": p.description.summary, "package": p.package, "version": p.version}
            for p in found.of_stage(s)
        ]
        for s in stages
    }
    problems = [
        {"package": p.package, "version": p.version, "entry_point": p.entry_point, "reason": p.reason}
        for p in found.problems
    ] + [
        {
            "package": ", ".join(p.package for p in same),
            "version": ", ".join(p.version for p in same),
            "entry_point": "",
            "reason": f"{clash} '{name}' is offered by more than one package; uninstall all but one",
        }
        for clash, name, same in found.conflicts()
    ]
    if as_json:
        click.echo(json.dumps({"plugins": rows, "problems": problems}, indent=2))
        return
    for name, entries in rows.items():
        click.secho(name, bold=True)
        width = max((len(e["name"]) for e in entries), default=0)
        for entry in entries:
            click.echo(f"  {entry['name']:<{width}}  {entry['summary']}  [{entry['package']} {entry['version']}]")
    if problems:
        click.secho("not loaded", bold=True)
        for problem in problems:
            where = f" ({problem['entry_point']})" if problem["entry_point"] else ""
            click.echo(f"  {problem['package']} {problem['version']}{where}: {problem['reason']}")
