"""The program ``cemi``: finds its commands through plugins and turns every failure into one sentence."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from cemi_core.errors import CemiError
from cemi_core.plugins.manager import Registered, registry
from cemi_core.plugins.types import CommandPlugin, TrainingPlugin, load_object
from cemi_run import __version__


class LazyGroup(click.Group):
    """Commands by name and summary; a command's module is imported only when it is called.

    Commands of two words that share the first, such as ``train denoiser``, are a group of that name.
    """

    #: What the names of these commands begin with: nothing, or a first word and a space.
    prefix = ""

    def _commands(self) -> dict[str, Registered[CommandPlugin | TrainingPlugin]]:
        """Return what is registered, by name without the prefix."""
        found: dict[str, Registered[CommandPlugin | TrainingPlugin]] = {p.name: p for p in registry().commands}
        found |= {f"train {plugin.name}": plugin for plugin in registry().trainings}
        return {name.removeprefix(self.prefix): p for name, p in found.items() if name.startswith(self.prefix)}

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands, of those of two words the first."""
        return sorted({name.partition(" ")[0] for name in self._commands()})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command, or None if there is none of that name."""
        if name not in self.list_commands(context):
            return None
        if name in self._commands():
            return _command_of(self._commands()[name])
        group = LazyGroup(name, help=f"Commands that begin with '{name}'.")
        group.prefix = f"{name} "
        return group

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was meant when there is none of that name."""
        from difflib import get_close_matches

        name = args[0]
        names = self.list_commands(context)
        if name not in names and not name.startswith("-"):
            close = get_close_matches(name, names, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"No such command '{self.prefix}{name}'.{hint} See '{context.command_path} --help'.")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write names and summaries from the descriptions, without importing the commands."""
        rows = {name: plugin.description.summary for name, plugin in self._commands().items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows.items()))


def _command_of(plugin: Registered[CommandPlugin | TrainingPlugin]) -> click.Command:
    if isinstance(plugin.description, TrainingPlugin):
        from cemi_run.cli.train import training_command

        return training_command(registry().trainings.get(plugin.name))
    command: click.Command = load_object(registry().commands.get(plugin.name).description.command)
    return command


@click.group(cls=LazyGroup, epilog="Example: cemi recipe recipes/ehea.yaml --out runs/ehea")
@click.version_option(__version__, prog_name="cemi")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def cli(debug: bool) -> None:
    """Turn SEM videos and overlapping images into one large picture, maps and their relation to properties."""
    if debug:
        os.environ["CEMI_DEBUG"] = "1"


def main(args: list[str] | None = None) -> None:
    """Run the program and exit: 0 done, 1 the work failed, 2 the call was wrong, 130 interrupted."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    try:
        outcome: Any = cli.main(args=args, prog_name="cemi", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. A run folder keeps what is finished: the same command goes on from there.", err=True)
        from cemi_run.cli.options import INTERRUPTED

        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CemiError as error:
        if os.environ.get("CEMI_DEBUG"):
            raise
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except Exception as error:
        if os.environ.get("CEMI_DEBUG"):
            raise
        click.echo(f"Error: {_explained(error)}", err=True)
        return 1
    return outcome if isinstance(outcome, int) else 0


def _explained(error: Exception) -> str:
    """Return what to say of an error that nobody has put into words: whose it is, as far as can be told."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); use fewer --workers" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"'{os.fsdecode(error.filename)}' cannot be used: {error.strerror}"
    return (
        f"{type(error).__name__}: {error}\n"
        f"This is a defect of {_owner(error)}, not of your call. 'cemi --debug ...' shows where."
    )


def _owner(error: Exception) -> str:
    """Return the package in whose module an error arose, here or in a worker: a plugin's, or cemi itself."""
    from traceback import format_exception

    # the text, not the frames: an error from another process brings its traceback as text only
    trace = "".join(format_exception(error)).replace("\\", "/")
    own = ("cemi_core", "cemi_run", "cemi_report")
    places = {f"cemi {__version__}": max(trace.rfind(f"/{module}/") for module in own)}
    for plugin in registry().plugins:
        module = plugin.module.partition(".")[0]
        if module not in own:
            places[f"{plugin.package} {plugin.version}"] = max(trace.rfind(f"/{module}/"), trace.rfind(f"/{module}.py"))
    return max(places, key=lambda package: places[package])
