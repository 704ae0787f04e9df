"""Plugins and settings that come from the command line instead of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cemi_core.plugins.manager import registry
from cemi_core.plugins.types import SourcePlugin
from cemi_run.recipe.check import Choice, choose


def choose_with_source(
    stage: str, name: str, images: Sequence[str], settings: Mapping[str, Any], more: Mapping[str, Any]
) -> tuple[Choice[SourcePlugin], Choice[Any]]:
    """Return the source 'images' and a plugin; a setting that the plugin does not know goes to the source.

    Parameters
    ----------
    stage, name : str
        The plugin.
    images : sequence of str
        Files, folders or patterns, relative to the working directory.
    settings : mapping
        From ``--set``.
    more : mapping
        Settings of the source that have options of their own.
    """
    found = registry()
    of_plugin = found.of_stage(stage).get(name).description.load_settings().model_fields
    of_source = found.sources.get("images").description.load_settings().model_fields
    own: dict[str, Any] = {}
    sources: dict[str, Any] = {"path": [str(Path(image).absolute()) for image in images], **more}
    for key, value in settings.items():
        if key in of_plugin or key not in of_source:
            own[key] = value
        else:
            sources[key] = value
    source = choose("source", "images", sources, found, "--set")
    return source, choose(stage, name, own, found, "--set")
