"""``cemi relate``: profiles of a finished run against a property measured later."""

from __future__ import annotations

from pathlib import Path

import click

from cemi_run.cli.options import json_option, parse_settings, plain_json, set_option, use_option


@click.command("relate", epilog="Example: cemi relate runs/ehea hardness.csv --x x_um --value hv")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--x", default="x_um", show_default=True, help="Column with the place; its name ends in its unit.")
@click.option("--value", required=True, help="Column with the property.")
@use_option("Relation method", "pearson")
@set_option("A setting of the method.")
@json_option
def relate(run: Path, table: Path, x: str, value: str, use: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Relate the maps of a finished run to a measured property along x."""
    from cemi_core.errors import InputError
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import choose
    from cemi_run.steps.finish import opened_run
    from cemi_run.steps.measure import read_property_table

    choice = choose("relate", use, parse_settings(overrides), registry(), "--use")
    with opened_run(RunFolder(run)) as data:
        profiles, pixel_size_um = data.profiles, data.pixel_size_um
    if pixel_size_um is None:
        raise InputError(f"the pixel size of {run} is unknown, so places in micrometres cannot be compared")
    relations = make(choice.plugin, choice.settings, Runtime()).relate(profiles, read_property_table(table, x, value))
    if as_json:
        keys = ("quantity", "property_name", "r", "low", "high", "p_value", "n", "n_effective", "notes")
        click.echo(plain_json([{key: getattr(relation, key) for key in keys} for relation in relations]))
        return
    for relation in relations:
        click.echo(
            f"{relation.quantity:<24} r = {relation.r:+.3f} [{relation.low:+.3f}, {relation.high:+.3f}]  "
            f"p = {relation.p_value:.3g}  n = {relation.n} (worth {relation.n_effective:.1f})"
        )
        for note in relation.notes:
            click.echo(f"  {note}")
