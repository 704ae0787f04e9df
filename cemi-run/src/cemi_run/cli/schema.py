"""``cemi schema``: for editors that complete and check recipes."""

from __future__ import annotations

import json

import click


@click.command("schema", epilog="Example: cemi schema > recipe.schema.json")
@click.argument("command", nargs=-1)
def schema(command: tuple[str, ...]) -> None:
    """Print the JSON Schema of recipes, made from the installed plugins.

    With COMMAND, such as 'train denoiser', that of the file which this command reads.
    """
    from cemi_core.errors import UsageError
    from cemi_core.plugins.manager import registry
    from cemi_run.recipe.json_schema import recipe_json_schema, settings_file_json_schema

    name = " ".join(command)
    if not name:
        found = recipe_json_schema(registry())
    else:
        plugins, training = registry(), name.removeprefix("train ")
        is_training = training != name and training in plugins.trainings
        description = (
            plugins.trainings.get(training).description if is_training else plugins.commands.get(name).description
        )
        if description.settings is None:
            raise UsageError(f"'cemi {name}' reads no file of settings; 'cemi schema' alone is about recipes")
        found = settings_file_json_schema(description.load_settings(), f"cemi {name}")
    click.echo(json.dumps(found, indent=2))
