"""``cemi relate``: a finished run against a property that was measured later, or a condition of its images."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_run.cli.options import json_option, parse_settings, plain_json, set_option, use_option

if TYPE_CHECKING:
    from cemi_core.model.result import GroupMean, Relation


#: Of a relation, told where they are known.
_WHERE_KNOWN = ("p_holm", "p_fdr", "ceiling", "disattenuated", "disattenuated_low", "disattenuated_high", "q2")


@click.command("relate", epilog="Example: cemi relate runs/ehea hardness.csv --x x_um --y y_um --value hv")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("table", required=False, type=click.Path(path_type=Path))
@click.option("--x", help="Column with the place; its name ends in its unit.  [default: x_um]")
@click.option("--y", help="Column with the place across, for places on the image instead of along x.")
@click.option("--value", help="Column with the property.")
@click.option("--condition", help="Condition of images that stand alone, such as time_s, instead of a TABLE.")
@use_option("Relation method", "pearson")
@set_option("A setting of the method.")
@json_option
def relate(
    run: Path,
    table: Path | None,
    x: str | None,
    y: str | None,
    value: str | None,
    condition: str | None,
    use: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Relate what a finished run measured to a property along x or at points, or to a condition of separate images."""
    from cemi_core.errors import InputError, UsageError
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make, registry
    from cemi_run.engine.folder import RunFolder
    from cemi_run.recipe.check import choose
    from cemi_run.steps.conditions import condition_table, notes_on_condition
    from cemi_run.steps.finish import opened_run
    from cemi_run.steps.relate import read_property_table, related

    if condition is None and (table is None or value is None):
        raise UsageError("give a TABLE and --value NAME, or --condition NAME for images that stand alone")
    if condition is not None and any(given is not None for given in (table, value, x, y)):
        raise UsageError("--condition takes the place of TABLE, --x, --y and --value; give either")
    choice = choose("relate", use, parse_settings(overrides), registry(), "--use")
    abilities = choice.plugin.description.abilities_of(choice.settings)
    if y is not None and not abilities.needs_maps:
        raise UsageError(f"'{use}' compares profiles along x, for which --y says nothing; leave it out")
    with opened_run(RunFolder(run)) as data:
        profiles, pixel_size_um, frames, separate = data.profiles, data.pixel_size_um, data.frames, data.separate
        results, grid = data.results, data.grid
    notes: list[str] = []
    if condition is not None:
        if not separate:
            raise InputError(f"the images of {run} were joined into one; --condition compares images that stand alone")
        properties, notes = condition_table(frames, condition, choice), notes_on_condition(frames, condition)
        relations = tuple(make(choice.plugin, choice.settings, Runtime()).relate(profiles, properties))
    else:
        assert table is not None
        assert value is not None
        if separate:
            raise InputError(f"the images of {run} stand alone and have no x in common; use --condition NAME")
        if pixel_size_um is None:
            raise InputError(f"the pixel size of {run} is unknown, so places in micrometres cannot be compared")
        if grid is None:
            raise InputError(f"the mosaic of {run} is gone, and with it where its cells lie")
        properties = read_property_table(table, x or "x_um", value, y)
        notes = list(properties.notes)
        relations = related(choice, Runtime(), results, profiles, grid, pixel_size_um, properties)
    for note in notes:
        click.echo(note, err=True)
    if as_json:
        click.echo(plain_json([_record(relation) for relation in relations]))
        return
    for relation in relations:
        click.echo(_line(relation))
        if relation.verdict:
            click.echo(f"  {relation.verdict}")
        for group in relation.groups:
            click.echo(f"  {group.name}: {_mean_text(group)}, n = {group.n}")
        for note in relation.notes:
            click.echo(f"  {note}")


def _mean_text(group: GroupMean) -> str:
    """Return a mean with its interval, with the digits that it supports."""
    from cemi_core.numeric.digits import interval_decimals

    half = (group.high - group.low) / 2
    if not half > 0:  # one image, or images that are all the same
        return f"{group.mean:.4g} [{group.low:.4g}, {group.high:.4g}]"
    low, mean, high = (f"{value:.{interval_decimals(half)}f}" for value in (group.low, group.mean, group.high))
    return f"{mean} [{low}, {high}]"


def _record(relation: Relation) -> dict[str, Any]:
    keys = ("quantity", "property_name", "r", "low", "high", "p_value", "n", "n_effective", "notes")
    record = {key: getattr(relation, key) for key in keys}
    record |= {key: value for key in _WHERE_KNOWN if math.isfinite(value := getattr(relation, key))}
    record |= {"verdict": relation.verdict} if relation.verdict else {}
    record |= {"quantities": relation.quantities} if relation.quantities else {}
    if relation.measure != "r":
        record |= {"measure": relation.measure}
    if relation.groups:
        record |= {"groups": [asdict(group) for group in relation.groups]}
    return record


def _line(relation: Relation) -> str:
    signed = math.isfinite(relation.low) or relation.measure == "r"
    interval = f" [{relation.low:+.3f}, {relation.high:+.3f}]" if signed else ""
    strength = f"{relation.measure} = {relation.r:{'+' if signed else ''}.3f}{interval}"
    q2 = f"  Q2 = {relation.q2:.3f}" if math.isfinite(relation.q2) else ""
    adjusted = math.isfinite(relation.p_holm) and relation.p_holm != relation.p_value
    holm = f" ({relation.p_holm:.3g} after Holm)" if adjusted else ""
    return (
        f"{relation.quantity:<24} {strength}{q2}  "
        f"p = {relation.p_value:.3g}{holm}  n = {relation.n} (worth {relation.n_effective:.1f})"
    )
