"""What this package adds to CEMI."""

from __future__ import annotations

from collections.abc import Iterator

from cemi_core.plugins import CommandPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_commands() -> Iterator[CommandPlugin]:
    """Yield the command ``cemi twin``."""
    yield CommandPlugin(
        "twin",
        "Run the recipe of a run on virtual specimens like it, and say how far off its numbers are.",
        command="cemi_twin.command:twin",
    )
