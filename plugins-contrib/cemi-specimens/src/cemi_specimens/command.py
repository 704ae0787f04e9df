"""``cemi specimen``: write an image of a made specimen with its truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cemi_core.errors import UsageError
from cemi_core.model.specimen import SpecimenSettings
from cemi_core.plugins.manager import registry
from cemi_specimens.folder import write_specimen
from cemi_specimens.make import checked_settings, make_specimen, parsed_settings

_DEFAULT_SIZE = (512, 512)
_BASE_EXTENT = SpecimenSettings.model_fields["extent_px"].default
_EPILOG = """\b
Examples:
  cemi specimen voronoi --out data/grains --size 1024,1024 --seed 3
  cemi specimen graphene --out data/graphene --set "pixel_size=8 pm" --set vacancy_share=0.01
  cemi specimen diffraction --out data/au011 --set lattice=Au --set "zone_axis=[0, 1, 1]"
  cemi specimen voronoi --settings

Writes image.tif (16 bit), masks/*.png, fields/*.tif, labels.tif, objects.csv and properties.json.
"""


class _WithNames(click.Command):
    """Lists the installed specimens in its help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and below them the specimens with their summaries."""
        super().format_options(ctx, formatter)
        with formatter.section("Specimens"):
            formatter.write_dl([(p.name, p.description.summary) for p in registry().specimens])


@click.command("specimen", cls=_WithNames, epilog=_EPILOG)
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the image and its truth.")
@click.option("--size", metavar="H,W", help="Height and width of the image, px.  [default: 512,512, or its own size]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same specimen.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting, such as grain_um=3.")
@click.option("--settings", "list_settings", is_flag=True, help="List the specimen's settings and write nothing.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written, or the settings, as JSON.")
def specimen(
    name: str,
    out: Path | None,
    size: str | None,
    seed: int,
    overrides: tuple[str, ...],
    list_settings: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write an image of the made specimen NAME with its exact truth."""
    if list_settings:
        _list_settings(name, as_json)
        return
    if out is None:
        raise UsageError("--out is missing: name a folder for the image and its truth")
    values = parsed_settings(overrides)
    wanted = parse_size(size) if size is not None else None
    if "extent_px" not in values and (wanted or _own_extent(name) is None):
        values["extent_px"] = wanted or _DEFAULT_SIZE
    made = make_specimen(name, seed=seed, **values)
    settings = checked_settings(name, values).model_dump(mode="json")
    about = {"specimen": name, "seed": seed, "settings": settings}
    report = write_specimen(out, made, wanted or made.extent_px, about, force)
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(f"{name}, {report['height_px']} x {report['width_px']} px, {report['objects']} objects: {out}")
    click.echo("  " + ", ".join(report["files"]))
    for mask, fraction in report["mask_fractions"].items():
        click.echo(f"  {mask}: {100 * fraction:.2f} % of the image")


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width from ``"H,W"``.

    Raises
    ------
    UsageError
        It is something else, or one of them is below 1.
    """
    parts = text.split(",")
    try:
        height, width = (int(part) for part in parts)
    except ValueError:
        raise UsageError(f"--size takes height,width in px, such as 512,512, not '{text}'") from None
    if height < 1 or width < 1:
        raise UsageError(f"--size {text}: height and width are at least 1 px")
    return height, width


def _own_extent(name: str) -> Any:
    """Return the extent that a specimen has by its nature, such as that of a file; None if any will do."""
    extent = registry().specimens.get(name).description.load_settings().model_fields["extent_px"].default
    return None if extent == _BASE_EXTENT else extent


def _list_settings(name: str, as_json: bool) -> None:
    model = registry().specimens.get(name).description.load_settings()
    if as_json:
        click.echo(json.dumps(model.model_json_schema()))
        return
    for key, field in model.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default}"
        click.echo(f"{key} ({default}): {field.description}")
