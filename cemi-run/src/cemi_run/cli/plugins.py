"""``cemi plugins``: what is installed, and what is broken."""

from __future__ import annotations

import json
from difflib import get_close_matches

import click

from cemi_core.plugins.manager import STAGES, Plugins, registry
from cemi_run.cli.options import json_option


@click.command("plugins", epilog="Example: cemi plugins lamella-width")
@click.argument("name", required=False)
@click.option("--stage", type=click.Choice(STAGES), help="Only plugins of this stage.")
@json_option
def plugins(name: str | None, stage: str | None, as_json: bool) -> None:
    """List the installed plugins by stage, or the settings of the one called NAME; a broken one is named."""
    found = registry()
    if name is not None:
        _show_settings(found, name, stage, as_json)
        return
    stages = [stage] if stage else list(STAGES)
    rows = {
        s: [
            {"name": p.name, "summary": p.description.summary, "package": p.package, "version": p.version}
            for p in (found.commands if s == "command" else found.of_stage(s))
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
            "reason": f"{clash} '{word}' is offered by more than one package; uninstall all but one",
        }
        for clash, word, same in found.conflicts()
    ]
    if as_json:
        click.echo(json.dumps({"plugins": rows, "problems": problems}, indent=2))
        return
    for heading, entries in rows.items():
        click.secho(heading, bold=True)
        width = max((len(e["name"]) for e in entries), default=0)
        for entry in entries:
            click.echo(f"  {entry['name']:<{width}}  {entry['summary']}  [{entry['package']} {entry['version']}]")
    if problems:
        click.secho("not loaded", bold=True)
        for problem in problems:
            where = f" ({problem['entry_point']})" if problem["entry_point"] else ""
            click.echo(f"  {problem['package']} {problem['version']}{where}: {problem['reason']}")


def _show_settings(found: Plugins, name: str, stage: str | None, as_json: bool) -> None:
    """Print the settings of one plugin: what a recipe may write under ``with:``."""
    from cemi_core.errors import UsageError
    from cemi_run.recipe.settings_table import pages_of_settings, setting_rows

    candidates = [p for p in pages_of_settings(found) if stage in (None, p.stage)]
    matches = [plugin for plugin in candidates if plugin.name == name]
    if not matches:
        close = get_close_matches(name, [p.name for p in candidates], n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "; 'cemi plugins' lists them"
        raise UsageError(f"there is no plugin '{name}'{hint}")
    if as_json:
        described = [
            {"stage": p.stage, "name": p.name, "settings": [row._asdict() for row in setting_rows(p)]} for p in matches
        ]
        click.echo(json.dumps(described, indent=2))
        return
    for plugin in matches:
        click.secho(f"{plugin.stage}: {plugin.name}", bold=True)
        click.echo(f"{plugin.description.summary}  [{plugin.package} {plugin.version}]")
        for row in setting_rows(plugin):
            click.echo(f"\n  {row.key}: {row.kind}, default {row.default}")
            click.echo(click.wrap_text(row.description, 100, "      ", "      "))
