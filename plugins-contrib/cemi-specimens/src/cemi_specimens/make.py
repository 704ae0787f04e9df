"""Specimens by name, from settings as a user writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from cemi_core.errors import UsageError
from cemi_core.model.specimen import Specimen
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import make, registry


def specimen_names() -> tuple[str, ...]:
    """Return the names of the installed specimens, sorted."""
    return tuple(plugin.name for plugin in registry().specimens)


def checked_settings(name: str, values: dict[str, Any], prefix: str = "") -> Any:
    """Return the settings object of a specimen.

    Parameters
    ----------
    name : str
        An installed specimen.
    values : dict
        Fields of its settings; lengths are texts with a unit.
    prefix : str
        What stands before the fields in a message, such as ``"specimen."``.

    Raises
    ------
    UsageError
        There is no such specimen, or a field is unknown or does not fit; the message names every such field.
    """
    model = registry().specimens.get(name).description.load_settings()
    try:
        return model(**values)
    except ValidationError as error:
        problems = [f"{prefix}{'.'.join(map(str, e['loc'])) or name}: {e['msg']}" for e in error.errors()]
        unknown = any(e["type"] == "extra_forbidden" for e in error.errors())
        hint = f" (known: {', '.join(model.model_fields)})" if unknown else ""
        raise UsageError(f"settings of the specimen '{name}': {'; '.join(problems)}{hint}") from None


def make_specimen(name: str, *, seed: int = 0, prefix: str = "", **settings: Any) -> Specimen:
    """Return an installed specimen.

    Parameters
    ----------
    name : str
        ``"voronoi"``, ``"graphene"``, ...: what ``cemi specimen --help`` lists.
    seed : int
        Another seed gives another specimen.
    prefix : str
        See `checked_settings`.
    **settings
        Fields of its settings, such as ``pixel_size="50 nm"``, ``extent_px=(512, 512)``, ``grain_um=3``.

    Raises
    ------
    UsageError
        An unknown specimen or setting.

    Examples
    --------
    >>> from cemi_core.model.mosaic import Box
    >>> make_specimen("voronoi", seed=3, grain_um=2.0).render(Box(0, 0, 64, 128)).shape
    (64, 128)
    """
    model = checked_settings(name, settings, prefix)
    made: Specimen = make(registry().specimens.get(name), model, Runtime(seed=seed))
    return made


def parsed_settings(overrides: Iterable[str]) -> dict[str, Any]:
    """Return ``key=value`` texts as a mapping; a value is read as JSON if it is, and as text if not.

    Raises
    ------
    UsageError
        A text without ``=`` or without a key.
    """
    values: dict[str, Any] = {}
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"--set takes key=value, such as grain_um=3, not '{text}'")
        try:
            values[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            values[key.strip()] = value.strip()
    return values
