"""Options that several commands share, and what they become."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cemi_run.engine.plan import Machine

Command = TypeVar("Command", bound=Callable[..., Any])

#: Exit code of a program that Ctrl-C ended, as a shell counts it.
INTERRUPTED = 130

_EXECUTORS = ("serial", "threads", "processes", "dask")


def set_option(help_text: str) -> Callable[[Command], Command]:
    """Return the option ``--set KEY=VALUE`` with its help."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=help_text)


def use_option(what: str, default: str | None = None) -> Callable[[Command], Command]:
    """Return the option ``--use NAME``; one without a default must be given."""
    given: dict[str, Any] = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option("--use", help=f"{what}; 'cemi plugins' lists them.", **given)


def json_option(command: Command) -> Command:
    """Add the option ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def quiet_option(command: Command) -> Command:
    """Add the option ``--quiet``."""
    return click.option("--quiet", is_flag=True, help="Show no progress.")(command)


def machine_options(command: Command) -> Command:
    """Add the options that say where and how the work is done."""
    cores = os.cpu_count() or 1
    for option in (
        click.option(
            "--executor",
            type=click.Choice(_EXECUTORS),
            default="threads",
            show_default=True,
            help="How work is spread.",
        ),
        click.option("--workers", type=click.IntRange(1), default=cores, show_default=True, help="Tasks at a time."),
        click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786."),
        click.option("--device", default="cpu", show_default=True, help="Device of torch: cpu, cuda, cuda:1."),
        click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random."),
        click.option("--weights", metavar="DIR", type=click.Path(file_okay=False), help="Folder with model weights."),
        quiet_option,
    ):
        command = option(command)
    return command


def machine_of(options: dict[str, Any]) -> Machine:
    """Return the machine that the options of `machine_options` describe, and take them out of ``options``."""
    from cemi_core.errors import UsageError
    from cemi_run.engine.plan import Machine

    kind, scheduler = options.pop("executor"), options.pop("scheduler")
    if scheduler is not None:
        if kind not in ("dask", "threads"):
            raise UsageError(f"--scheduler goes with --executor dask, not with --executor {kind}")
        kind = "dask"
    return Machine(
        kind=kind,
        workers=options.pop("workers"),
        scheduler=scheduler,
        device=options.pop("device"),
        seed=options.pop("seed"),
        weights_dir=options.pop("weights"),
    )


@contextmanager
def messages(quiet: bool) -> Iterator[None]:
    """Write the log of the work to stderr, plainly, for the time of a command."""
    log = logging.getLogger("cemi")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


@contextmanager
def said_if_interrupted(sentence: str) -> Iterator[None]:
    """End the program with ``sentence`` on Ctrl-C, where what a run folder keeps is not the point."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(sentence, err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def parse_settings(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that ``--set key=value`` options give; a dotted key names a part of a setting.

    Raises
    ------
    UsageError
        An option is not of the form ``key=value``.
    """
    from cemi_core.errors import UsageError
    from cemi_run.recipe.yaml_tree import parse_scalar

    settings: dict[str, Any] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {override}: write it as key=value, such as --set sigma_px=2")
        *parents, last = key.strip().split(".")
        inner = settings
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise UsageError(f"--set {override}: '{parent}' has been given a value already, so it has no parts")
        inner[last] = parse_scalar(value)
    return settings


def plain_json(answer: Any) -> str:
    """Return an answer as JSON that every program reads: a number that could not be measured is null, not NaN."""
    return json.dumps(_without_nan(answer))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def terminated_like_interrupted() -> None:
    """Let SIGTERM end the work the way Ctrl-C does: in a folder that can be resumed."""
    import signal

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
