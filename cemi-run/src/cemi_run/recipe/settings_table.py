"""Settings of a plugin as rows of words, made from the same JSON Schema that checks a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from cemi_core.plugins.manager import AnyPlugin, Plugins


class SettingRow(NamedTuple):
    """One setting: its key (dotted inside a nested one), what it takes, its default, and what it does."""

    key: str
    kind: str
    default: str
    description: str


def pages_of_settings(plugins: Plugins) -> list[AnyPlugin]:
    """Return the plugins that belong into the reference, stage by stage: all that a recipe or a command can name."""
    stages = (
        plugins.sources,
        plugins.denoisers,
        plugins.stitchers,
        plugins.analyzers,
        plugins.relations,
        plugins.metrics,
        plugins.exporters,
        plugins.reports,
        plugins.specimens,
        plugins.trainings,
        plugins.encoders,
    )
    return [plugin for stage in stages for plugin in stage]


def setting_rows(plugin: AnyPlugin) -> list[SettingRow]:
    """Return the settings of a plugin in the order of its model."""
    schema = plugin.description.load_settings().model_json_schema(by_alias=True)
    return list(_rows(schema, schema.get("$defs", {}), ""))


def _rows(schema: dict[str, Any], definitions: dict[str, Any], prefix: str) -> Iterator[SettingRow]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        key = f"{prefix}{name}"
        yield SettingRow(
            key, _kind(field, definitions), _default(field, name in required), str(field.get("description", ""))
        )
        nested = _nested(field, definitions)
        if nested is not None:
            yield from _rows(nested, definitions, f"{key}.")


def _nested(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    for part in [field, *field.get("anyOf", []), *field.get("allOf", [])]:
        found: dict[str, Any] = definitions.get(str(part.get("$ref", "")).rpartition("/")[2], {})
        if "properties" in found:
            return found
    return None


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "(required)"
    value = field.get("default")
    return "-" if value is None or isinstance(value, dict) else json.dumps(value).strip('"')


def _kind(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in field:
        field = definitions.get(field["$ref"].rpartition("/")[2], {})
    if "enum" in field or "const" in field:
        return " | ".join(str(choice) for choice in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        if field.get("format") == "path":
            return "path or list of paths" if "array" in str(field["anyOf"]) else "path"
        kinds = [_kind(part, definitions) for part in field["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    kind = str(field.get("type", "map"))
    if kind == "string":
        if field.get("format") == "path-or-name":
            return "path or name"
        return "path" if field.get("format") == "path" else "length" if "nm|um" in field.get("pattern", "") else "text"
    if kind == "array":
        item = field.get("items")
        return f"list of {_kind(item, definitions)}" if isinstance(item, dict) and item else "list"
    return {"number": "number", "integer": "whole number", "boolean": "true | false", "object": "map"}.get(
        kind, kind
    ) + _range(field)


def _range(field: dict[str, Any]) -> str:
    signs = (("exclusiveMinimum", ">"), ("minimum", ">="), ("exclusiveMaximum", "<"), ("maximum", "<="))
    limits = [f"{sign} {field[name]:g}" for name, sign in signs if name in field]
    return f" ({', '.join(limits)})" if limits else ""


#: Packages that the reference of settings covers; contributed ones have their own documentation.
OWN_PACKAGES = ("cemi-run", "cemi-report", "cemi-learn", "cemi-denoise", "cemi-stitch", "cemi-analyze")


def settings_markdown(plugins: Plugins) -> str:
    """Return the reference of the settings of every plugin of CEMI's own packages as Markdown."""
    lines = [
        "# Settings of every plugin of CEMI",
        "",
        "Made from the plugins themselves by `make docs`; `cemi plugins NAME` prints the same in a terminal. In a",
        "recipe they stand under `with:`. A length is a number with a unit, such as `222 nm`. Under `train` stand",
        "the keys of the file that `cemi train NAME` reads.",
    ]
    for plugin in pages_of_settings(plugins):
        if plugin.package not in OWN_PACKAGES:
            continue
        lines += ["", f"## {plugin.stage}: `{plugin.name}`", "", plugin.description.summary, ""]
        rows = setting_rows(plugin)
        if not rows:
            lines.append("No settings.")
            continue
        lines += ["| setting | takes | default | |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(_cell(cell) for cell in _coded(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _coded(row: SettingRow) -> tuple[str, str, str, str]:
    return f"`{row.key}`", row.kind, row.default, row.description


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
