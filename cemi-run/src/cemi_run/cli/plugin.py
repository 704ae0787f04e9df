"""Registers the commands of cemi-run."""

from __future__ import annotations

from collections.abc import Iterator

from cemi_core.plugins import CommandPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_commands() -> Iterator[CommandPlugin]:
    """Yield every command of cemi-run."""
    for name, summary in (
        ("recipe", "Run a recipe: from frames to the picture, the maps and the report."),
        ("extract", "Write the whole scans of a screen recording as images."),
        ("denoise", "Denoise images."),
        ("stitch", "Stitch overlapping images into one mosaic."),
        ("analyze", "Measure one image."),
        ("relate", "Relate the maps of a run to a measured property."),
        ("report", "Write the report of a run again."),
        ("count", "Check a map by counting points by hand."),
        ("export", "Export the mosaic of a run or a mosaic file to another format."),
        ("plugins", "List the installed plugins and what is wrong with any."),
        ("schema", "Print the JSON Schema of recipes."),
        ("new-plugin", "Start a plugin package with its test."),
        ("doctor", "Check the installation and the machine."),
    ):
        module = name.replace("-", "_")
        yield CommandPlugin(name, summary, command=f"cemi_run.cli.{module}:{module}")
    yield CommandPlugin(
        "annotations convert",
        "Convert annotations of other programs into another format.",
        command="cemi_run.cli.annotations:convert",
    )
    yield CommandPlugin(
        "annotations check",
        "Count annotations of each class and say what is odd about them.",
        command="cemi_run.cli.annotations:check",
    )
