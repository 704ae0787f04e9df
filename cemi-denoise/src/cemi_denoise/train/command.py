"""``cemi train denoiser``: from pictures to weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cemi_core.cli.options import messages, plain_json, set_option

if TYPE_CHECKING:
    from cemi_denoise.train.recipe import TrainingRecipe
    from cemi_denoise.train.run import Outcome
    from cemi_denoise.train.start import Machine


@click.command(
    "denoiser", epilog="Example: cemi train denoiser training/semnet-small.yaml --out runs/semnet --minutes 30"
)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder; by default runs/NAME OF THE RECIPE.")
@set_option("Override a part of the recipe: steps=2000, data.sem.share=0.5.")
@click.option("--steps", type=click.IntRange(1), help="Stop for now when so many steps are done in all.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop for now after so many minutes.")
@click.option("--dry-run", is_flag=True, help="Only check everything, and say what would be trained.")
@click.option("--device", default="cpu", show_default=True, help="Device of torch: cpu, cuda, cuda:1.")
@click.option(
    "--threads", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="Threads on the CPU."
)
@click.option("--weights", metavar="DIR", type=click.Path(file_okay=False), help="Folder with weights to start from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def denoiser(
    recipe: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    dry_run: bool,
    device: str,
    threads: int,
    weights: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a denoiser by a RECIPE, and write its weights.

    The same command goes on where a training was stopped, by Ctrl-C, --steps or --minutes.
    """
    import torch

    from cemi_core.run.progress import shown_progress
    from cemi_denoise.train.processes import only_follows
    from cemi_denoise.train.recipe import read_training_recipe
    from cemi_denoise.train.run import Limits, train
    from cemi_denoise.train.start import Machine

    settings = read_training_recipe(recipe, overrides)
    out = out or Path("runs") / recipe.stem
    torch.set_num_threads(threads)
    machine = Machine(device, weights)
    quiet = quiet or only_follows()
    with messages(quiet):
        if dry_run:
            _tell(_plan(settings, machine), as_json)
            return
        with stopped_softly() as stopped, shown_progress(quiet) as progress:
            limits = Limits(steps, None if minutes is None else 60 * minutes, stopped)
            outcome = train(settings, out, machine, limits, progress)
    if not only_follows():
        _tell(_answer(outcome, out), as_json)
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


def _plan(settings: TrainingRecipe, machine: Machine) -> dict[str, Any]:
    """Return what would be trained, after opening everything that it needs."""
    from cemi_denoise.network.networks import parameter_count
    from cemi_denoise.train.sources import open_training_data, open_validation_data
    from cemi_denoise.train.start import start_training

    data, checked = open_training_data(settings), open_validation_data(settings)
    training, architecture = start_training(settings, machine)
    return {
        "stage": settings.stage,
        "network": architecture,
        "parameters": parameter_count(training.network),
        "data": list(data.summary),
        "validation": list(checked.summary) if checked is not None else [],
        "steps": settings.steps,
    }


def _answer(outcome: Outcome, out: Path) -> dict[str, Any]:
    from cemi_denoise.train.run import WEIGHTS

    return {
        "weights": str(out / WEIGHTS),
        "steps_done": outcome.step,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "scores": outcome.scores,
        "scores_of_noisy": outcome.noisy_scores,
        "scores_of_start": outcome.start_scores,
    }


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(plain_json(answer))
        return
    for name, value in answer.items():
        lines = value if isinstance(value, list) else [_words(value)]
        for line in lines:
            click.echo(f"{name.replace('_', ' ')}: {line}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items()) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
