"""From the word in a recipe to an encoder."""

from __future__ import annotations

from typing import Any

from cemi_core.errors import UsageError
from cemi_core.model.encoder import Encoder
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import make, registry

_THIS_MACHINE = Runtime()


def find_encoder(word: str, runtime: Runtime = _THIS_MACHINE, **settings: Any) -> Encoder:
    """Return the encoder that a word names: ``"efficientnet-lite0"``, ``"smp:resnet34"``.

    Parameters
    ----------
    word : str
        The name of a plugin, and after a colon which encoder of a family.
    runtime : Runtime
    **settings
        Further settings of the plugin, such as ``weights="resnet34.safetensors"``.

    Raises
    ------
    UsageError
        There is no such encoder.
    pydantic.ValidationError
        A setting does not fit.
    """
    name, colon, which = word.partition(":")
    plugin = registry().encoders.get(name)
    model = plugin.description.load_settings()
    is_family = "which" in model.model_fields
    if is_family and not which:
        raise UsageError(f"'{name}' stands for a family of encoders: write {name}:NAME, such as {name}:resnet34")
    if colon and not is_family:
        raise UsageError(f"'{name}' is one encoder: leave ':{which}' out")
    return make(plugin, model(**settings, **({"which": which} if which else {})), runtime)
