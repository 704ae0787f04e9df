"""The JSON Schema of recipes, made from the settings of the installed plugins, for editors that complete and check."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from cemi_core.plugins.manager import AnyPlugin, Plugins
from cemi_run.recipe.schema import STAGE_OF_KEY, USED_BY_DEFAULT, Recipe


def recipe_json_schema(registry: Plugins) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a recipe; each stage allows the installed plugins with their settings."""
    schema = settings_file_json_schema(Recipe, "CEMI recipe")
    definitions = schema.setdefault("$defs", {})
    for key, stage in STAGE_OF_KEY.items():
        part = schema["properties"][key]
        is_list = part.get("type") == "array"
        base = _base_of(part["items"] if is_list else part, definitions)
        base = {**base, "required": [r for r in base.get("required", []) if r != "use"]}
        choices = [_choice_schema(plugin, base, definitions) for plugin in registry.of_stage(stage)]
        if not choices:  # none is installed, so that a recipe may name none
            continue
        allowed: dict[str, Any] = {"oneOf": choices}
        kept = {k: v for k, v in part.items() if k in ("description", "default")}
        schema["properties"][key] = {**kept, "type": "array", "items": allowed} if is_list else {**kept, **allowed}
    return schema


def settings_file_json_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a YAML file of settings, which may extend another one."""
    schema = model.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = title
    schema["properties"]["extends"] = {
        "type": "string",
        "format": "path",
        "description": "A recipe that this one builds on: maps merge, lists replace.",
    }
    # A recipe that extends another one may leave out what the other one says.
    schema["required"] = []
    return schema


def _base_of(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for candidate in [part, *part.get("anyOf", []), *part.get("allOf", [])]:
        reference = candidate.get("$ref", "")
        if reference:
            found: dict[str, Any] = definitions[reference.rpartition("/")[2]]
            return found
    return part


def _choice_schema(plugin: AnyPlugin, base: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    settings = plugin.description.load_settings().model_json_schema(by_alias=True)
    prefix = f"{plugin.stage}.{plugin.name}."
    for name, definition in settings.pop("$defs", {}).items():
        definitions[prefix + name] = _renamed(definition, prefix)
    settings = _renamed(settings, prefix)
    properties = {**base["properties"], "use": {"const": plugin.name, "description": plugin.description.summary}}
    properties["with"] = settings
    implied = plugin.stage in ("relate", "report") and plugin.name == USED_BY_DEFAULT[plugin.stage]
    required = base["required"] if implied else ["use", *base["required"]]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _renamed(schema: Any, prefix: str) -> Any:
    """Return the schema with its references pointing to definitions that carry ``prefix``."""
    if isinstance(schema, dict):
        return {
            key: f"#/$defs/{prefix}{value.rpartition('/')[2]}" if key == "$ref" else _renamed(value, prefix)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_renamed(value, prefix) for value in schema]
    return schema
