"""``cemi analyze``: one image, one number with its interval."""

from __future__ import annotations

from pathlib import Path

import click

from cemi_core.cli.options import parse_settings, plain_json, set_option


@click.command(
    "analyze", epilog='Example: cemi analyze picture.tif --use lamella-width --set pixel_size="100 nm" --json'
)
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--use", required=True, help="Analyzer; 'cemi plugins' lists them.")
@set_option("A setting of the analyzer, or of the source 'images' (pixel_size, crop).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def analyze(image: Path, use: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Measure one IMAGE as a whole."""
    from cemi_core.cli.choices import choose_with_source
    from cemi_core.errors import InputError
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make

    if image.is_dir():
        raise InputError(f"{image} is a folder; name one image")
    source_choice, choice = choose_with_source("analyze", use, [str(image)], parse_settings(overrides), {})
    source = make(source_choice.plugin, source_choice.settings, Runtime())
    if len(source.frames) != 1:
        raise InputError(f"{image} holds {len(source.frames)} pictures; name one with a single picture")
    analyzer = make(choice.plugin, choice.settings, Runtime())
    found = analyzer.measure(source.read(0), source.frames[0].pixel_size_um)
    answer = {"name": use, "value": found.value, "low": found.low, "high": found.high, "unit": found.unit}
    answer |= found.extra
    if as_json:
        click.echo(plain_json(answer))
        return
    unit = "" if found.unit == "1" else f" {found.unit}"
    click.echo(f"{use}: {found.value:.4g}{unit} (95 % interval {found.low:.4g} to {found.high:.4g}{unit})")
    for key, value in found.extra.items():
        click.echo(f"  {key}: {value:.4g}")
