"""``cemi analyze``: one image or mosaic, one number with its interval."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_run.cli.options import json_option, parse_settings, plain_json, set_option, use_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cemi_core.plugins.types import SourcePlugin
    from cemi_run.recipe.check import Choice

_MOSAICS = (".h5", ".ome.zarr")


@click.command(
    "analyze", epilog='Example: cemi analyze picture.tif --use lamella-width --set pixel_size="100 nm" --json'
)
@click.argument("image", type=click.Path(path_type=Path))
@use_option("Analyzer")
@set_option("A setting of the analyzer, or of the source 'images' (pixel_size, crop).")
@json_option
def analyze(image: Path, use: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Measure one IMAGE, or a mosaic (.h5 or .ome.zarr) that cemi wrote, as a whole."""
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make
    from cemi_run.cli.choices import choose_with_source
    from cemi_run.engine.abilities import prepared

    source_choice, choice = choose_with_source("analyze", use, [str(image)], parse_settings(overrides), {})
    read = _mosaic if image.name.lower().endswith(_MOSAICS) else _picture
    pixels, pixel_size_um = read(image, source_choice)
    analyzer = make(choice.plugin, choice.settings, Runtime())
    prepared(analyzer, choice.plugin, choice.plugin.description.abilities_of(choice.settings))
    found = analyzer.measure(pixels, pixel_size_um)
    answer = {"name": use, "value": found.value, "low": found.low, "high": found.high, "unit": found.unit}
    answer |= found.extra
    if as_json:
        click.echo(plain_json(answer | {"reason": found.reason, "notes": list(found.notes)}))
        return
    unit = "" if found.unit == "1" else f" {found.unit}"
    if math.isfinite(found.value):
        click.echo(f"{use}: {found.value:.4g}{unit} (95 % interval {found.low:.4g} to {found.high:.4g}{unit})")
    else:
        click.echo(f"{use}: no value" + (f": {found.reason}" if found.reason else ""))
    for key, value in found.extra.items():
        if key.endswith(("_low", "_high")) and key.rpartition("_")[0] in found.extra:
            continue
        low, high = found.extra.get(f"{key}_low"), found.extra.get(f"{key}_high")
        known = "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"
        click.echo(f"  {key}: {value:.4g}{known}")
    for note in found.notes:
        click.echo(f"  note: {note}")


def _picture(path: Path, source_choice: Choice[SourcePlugin]) -> tuple[NDArray[np.float32], float | None]:
    """Return the pixels (h, w) of an image, and the edge of one in micrometres."""
    from cemi_core.errors import InputError
    from cemi_core.model.frame import FrameSource
    from cemi_core.model.stages import Runtime
    from cemi_core.plugins.manager import make

    if path.is_dir():
        raise InputError(f"{path} is a folder; name one image, or one mosaic (.h5 or .ome.zarr)")
    source = make(source_choice.plugin, source_choice.settings, Runtime())
    assert isinstance(source, FrameSource)  # the source `images` gives no recordings
    if len(source.frames) != 1:
        raise InputError(f"{path} holds {len(source.frames)} pictures; name one with a single picture")
    return source.read(0), source.frames[0].pixel_size_um


def _mosaic(path: Path, source_choice: Choice[SourcePlugin]) -> tuple[NDArray[np.float32], float | None]:
    """Return the pixels (h, w) of a mosaic, NaN where nothing was imaged, and the edge of one in micrometres."""
    import numpy as np

    from cemi_core.errors import InputError, UsageError
    from cemi_core.model.mosaic import Box
    from cemi_run.store.protocol import open_mosaic

    given: dict[str, Any] = source_choice.settings.model_dump(exclude_unset=True)
    unfit = sorted(given.keys() - {"path", "pixel_size", "crop"})
    if unfit:
        raise UsageError(f"--set {unfit[0]}: a mosaic has no such setting; pixel_size and crop can be set")
    with open_mosaic(path) as mosaic:
        box = Box(0, 0, *mosaic.shape)
        if isinstance(given.get("crop"), tuple | list):
            y0, y1, x0, x1 = given["crop"]
            box = Box(y0, x0, y1 - y0, x1 - x0)
            if box.clipped(mosaic.shape) != box or not box.height * box.width > 0:
                raise InputError(f"crop [{y0}, {y1}, {x0}, {x1}] does not fit {path} of {mosaic.shape} px (y, x)")
        pixels = mosaic.read(box)
        pixels[~mosaic.read_valid(box)] = np.nan
        return pixels, given.get("pixel_size") or mosaic.pixel_size_um
