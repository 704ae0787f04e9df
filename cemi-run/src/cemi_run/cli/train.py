"""``cemi train NAME``: one command for each training that an installed package offers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from cemi_core.plugins.manager import Registered
from cemi_core.plugins.types import TrainingPlugin
from cemi_run.cli.options import json_option, messages, plain_json, quiet_option, set_option

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)", re.IGNORECASE)


class Budget(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A time such as ``2h``, ``90min`` or ``1h30m``, in seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the time in seconds, or fail with what would be right."""
        text = str(value).replace(" ", "")
        seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(text))
        if _PART.sub("", text) or not seconds > 0:
            self.fail(f"'{value}' is not a time: write it with units, such as 2h, 90min or 1h30m", param, ctx)
        return seconds


def training_command(plugin: Registered[TrainingPlugin]) -> click.Command:
    """Return the command that trains by a recipe as the plugin has it."""

    @click.command(plugin.name, help=_HELP.format(summary=plugin.description.summary, name=plugin.name))
    @click.argument("recipe", type=click.Path(path_type=Path))
    @click.option("--out", type=click.Path(path_type=Path), help="Folder; by default runs/NAME OF THE RECIPE.")
    @set_option("Override a part of the recipe: steps=2000, data.sem.share=0.5.")
    @click.option("--steps", type=click.IntRange(1), help="Stop for now when so many steps are done in all.")
    @click.option("--budget", type=Budget(), help="Stop for now after this time, such as 2h or 90min.")
    @click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop for now after so many minutes.")
    @click.option("--dry-run", is_flag=True, help="Only check everything, and say what would be trained.")
    @click.option("--device", default="cpu", show_default=True, help="Device of torch: cpu, cuda, cuda:1.")
    @click.option(
        "--threads", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="Threads on the CPU."
    )
    @click.option(
        "--weights", metavar="DIR", type=click.Path(file_okay=False), help="Folder with weights to start from."
    )
    @json_option
    @quiet_option
    def command(**options: Any) -> None:
        _train(plugin, **options)

    return command


_HELP = """{summary}

RECIPE is a YAML file; 'cemi schema train {name}' prints what it may hold. The same command goes on where a training
was stopped, by Ctrl-C, --steps or --budget."""


def _train(
    plugin: Registered[TrainingPlugin],
    recipe: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    steps: int | None,
    budget: float | None,
    minutes: float | None,
    dry_run: bool,
    device: str,
    threads: int,
    weights: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from cemi_core.errors import UsageError
    from cemi_core.model.stages import Runtime
    from cemi_core.model.training import TrainingLimits
    from cemi_core.plugins.manager import make
    from cemi_run.engine.progress import shown_progress
    from cemi_run.recipe.settings_file import read_settings_file

    if budget is not None and minutes is not None:
        raise UsageError("--budget and --minutes say the same: give one of them")
    seconds = budget if minutes is None else 60 * minutes
    settings: BaseModel = read_settings_file(recipe, plugin.description.load_settings(), overrides)
    out = out or Path("runs") / recipe.stem
    job = make(plugin, settings, Runtime(device, threads, weights_dir=weights))
    follows = os.environ.get("RANK", "0") != "0"  # another process, started together with this one, speaks for both
    quiet = quiet or follows
    with messages(quiet):
        if dry_run:
            _tell(job.plan(), as_json)
            return
        with stopped_softly() as stopped, shown_progress(quiet) as progress:
            answer = job.run(out, TrainingLimits(steps, seconds, stopped), progress)
    if not follows:
        _tell(answer, as_json)
    if stopped():
        raise KeyboardInterrupt


@contextmanager
def stopped_softly() -> Iterator[Callable[[], bool]]:
    """Yield a question: has Ctrl-C been pressed, or SIGTERM come? A second one ends the work at once."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(answer: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(plain_json(dict(answer)))
        return
    for name, value in answer.items():
        lines = value if isinstance(value, list) else [_words(value)]
        for line in lines:
            click.echo(f"{name.replace('_', ' ')}: {line}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items()) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
