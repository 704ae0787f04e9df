"""``cemi relate``: a finished run against a property that was measured later, or a condition of its images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_run.cli.options import json_option, parse_settings, plain_json, set_option, use_option

if TYPE_CHECKING:
    from cemi_core.model.result import Relation


@click.command("relate", epilog="Example: cemi relate runs/ehea hardness.csv --x x_um --value hv")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("table", required=False, type=click.Path(path_type=Path))
@click.option("--x", help="Column with the place; its name ends in its unit.  [default: x_um]")
@click.option("--value", help="Column with the property.")
@click.option("--condition", help="Condition of images that stand alone, such as time_s, instead of a TABLE.")
@use_option("Relation method", "pearson")
@set_option("A setting of the method.")
@json_option
def relate(
    run: Path,
    table: Path | None,
    x: str | None,
    value: str | None,
    condition: str | None,
    use: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Relate what a finished run measured to a property along x, or to a condition of images that stand alone."""
    from cemi_core.errors import InputError, UsageError
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import choose
    from cemi_run.steps.conditions import condition_table, notes_on_condition
    from cemi_run.steps.finish import opened_run
    from cemi_run.steps.measure import read_property_table

    if condition is None and (table is None or value is None):
        raise UsageError("give a TABLE and --value NAME, or --condition NAME for images that stand alone")
    if condition is not None and (table is not None or value is not None or x is not None):
        raise UsageError("--condition takes the place of TABLE, --x and --value; give either")
    choice = choose("relate", use, parse_settings(overrides), registry(), "--use")
    with opened_run(RunFolder(run)) as data:
        profiles, pixel_size_um, frames, separate = data.profiles, data.pixel_size_um, data.frames, data.separate
    notes: list[str] = []
    if condition is not None:
        if not separate:
            raise InputError(f"the images of {run} were joined into one; --condition compares images that stand alone")
        properties, notes = condition_table(frames, condition, choice), notes_on_condition(frames, condition)
    else:
        assert table is not None
        assert value is not None
        if separate:
            raise InputError(f"the images of {run} stand alone and have no x in common; use --condition NAME")
        if pixel_size_um is None:
            raise InputError(f"the pixel size of {run} is unknown, so places in micrometres cannot be compared")
        properties = read_property_table(table, x or "x_um", value)
    relations = make(choice.plugin, choice.settings, Runtime()).relate(profiles, properties)
    for note in notes:
        click.echo(note, err=True)
    if as_json:
        click.echo(plain_json([_record(relation) for relation in relations]))
        return
    for relation in relations:
        click.echo(_line(relation))
        for group in relation.groups:
            click.echo(f"  {group.name}: {group.mean:.4g} [{group.low:.4g}, {group.high:.4g}], n = {group.n}")
        for note in relation.notes:
            click.echo(f"  {note}")


def _record(relation: Relation) -> dict[str, Any]:
    keys = ("quantity", "property_name", "r", "low", "high", "p_value", "n", "n_effective", "notes")
    record = {key: getattr(relation, key) for key in keys}
    if relation.measure != "r":
        record |= {"measure": relation.measure}
    if relation.groups:
        record |= {"groups": [asdict(group) for group in relation.groups]}
    return record


def _line(relation: Relation) -> str:
    interval = f" [{relation.low:+.3f}, {relation.high:+.3f}]" if relation.measure == "r" else ""
    strength = f"{relation.measure} = {relation.r:{'+' if relation.measure == 'r' else ''}.3f}{interval}"
    return (
        f"{relation.quantity:<24} {strength}  "
        f"p = {relation.p_value:.3g}  n = {relation.n} (worth {relation.n_effective:.1f})"
    )
