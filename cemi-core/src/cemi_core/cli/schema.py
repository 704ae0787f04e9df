"""``cemi schema``: for editors that complete and check recipes."""

from __future__ import annotations

import json

import click


@click.command("schema", epilog="Example: cemi schema > recipe.schema.json")
def schema() -> None:
    """Print the JSON Schema of recipes, made from the installed plugins."""
    from cemi_core.plugins.manager import registry
    from cemi_core.recipe.json_schema import recipe_json_schema

    click.echo(json.dumps(recipe_json_schema(registry()), indent=2))
