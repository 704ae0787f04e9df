"""What this package adds to CEMI."""

from __future__ import annotations

from collections.abc import Iterator

from cemi_core.plugins import CommandPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_commands() -> Iterator[CommandPlugin]:
    """Yield the command ``cemi virtual-sem``."""
    yield CommandPlugin(
        "virtual-sem",
        "Record a virtual specimen with a virtual microscope, with full truth.",
        command="cemi_virtual_sem.command:virtual_sem",
    )
