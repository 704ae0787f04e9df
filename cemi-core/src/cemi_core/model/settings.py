"""Field types that plugins use in their settings models, so that units are checked the same way everywhere."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from cemi_core.errors import UsageError
from cemi_core.model.units import parse_length_um


def _length(value: Any) -> float:
    try:
        return parse_length_um(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _positive_length(value: Any) -> float:
    length_um = _length(value)
    if length_um <= 0:
        raise ValueError(f"must be longer than zero, not '{value}'")
    return length_um


_SCHEMA = {"type": "string", "pattern": r"^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*(pm|nm|um|µm|mm|cm|m)\s*$"}

#: A length with a unit in the recipe ("222 nm"), a float in micrometres in the settings object.
LengthUm = Annotated[float, BeforeValidator(_length), WithJsonSchema(_SCHEMA)]
PositiveLengthUm = Annotated[float, BeforeValidator(_positive_length), WithJsonSchema(_SCHEMA)]

#: A path of an input: in a recipe it is relative to the recipe's file, and ``${NAME}`` is taken from the environment.
#: What it names (a file, a folder, a glob) is part of the fingerprint of the step that reads it.
InputPath = Annotated[str, WithJsonSchema({"type": "string", "format": "path", "minLength": 1})]

#: An input path, or a bare word (letters, digits, ``-``, ``_``) for what the plugin knows by name: one without a dot or
#: a slash stays as it is.
InputPathOrName = Annotated[str, WithJsonSchema({"type": "string", "format": "path-or-name", "minLength": 1})]


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown keys are errors, every field is described.

    Use as ``class NlmSettings(Settings): strength: float = Field(0.8, gt=0, description="...")``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    #: Settings of a stitcher that change how the picture is blended but not where frames lie: a run that differs in
    #: them alone keeps its layout.
    picture_only: ClassVar[frozenset[str]] = frozenset()
