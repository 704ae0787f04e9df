"""The model card: what a network was trained on and how good it is, for people and inside the file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from cemi_learn import __version__
from cemi_learn.bench.outcome import Outcome
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.task import Task


def card_of(task: Task[Any], plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """Return plain data that say how weights came about.

    Parameters
    ----------
    task : Task
    plan : Plan
    outcome : Outcome
    """
    from_where = task.provenance()
    return {
        **from_where.settings,
        "steps": plan.steps,
        "steps_done": outcome.step,
        "best_step": outcome.best_step,
        "learning_rate": plan.learning_rate,
        "schedule": plan.schedule,
        "average": plan.average,
        "precision": plan.precision,
        "seed": plan.seed,
        "start_from": from_where.started_from,
        "credits": list(from_where.credits),
        "data": list(from_where.data),
        "measured_on": list(from_where.measured_on),
        "scores": _rounded(outcome.scores),
        "scores_of_baseline": _rounded(outcome.baseline),
        "scores_of_start": _rounded(outcome.start_scores),
        "hours": round(outcome.seconds / 3600, 2),
        "made_with": f"cemi-learn {__version__}, torch {torch.__version__}",
        "made_on": datetime.now(UTC).date().isoformat(),
    }


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in scores.items()}


def parameter_count(network: nn.Module) -> int:
    """Return how many numbers a network has learnt or could learn."""
    return sum(parameter.numel() for parameter in network.parameters())


def card_text(name: str, task: Task[Any], network: str, card: Mapping[str, Any]) -> str:
    """Return a model card in Markdown.

    Parameters
    ----------
    name : str
        Of the weights.
    task : Task
    network : str
        The network in words.
    card : mapping
        What `card_of` returned, and what the task added.
    """
    lines = [
        f"# {name}",
        "",
        f"{task.summary or 'Weights of a network'}, made by `cemi train {task.name}`.",
        "",
        f"- Network: {network}.",
        f"- Trained on: {'; '.join(card['data']) or 'nothing that is named'}.",
        f"- Steps: {_steps(card)}; learning rate {card['learning_rate']:g} ({card['schedule']}), moving average "
        f"{card['average']:g}, seed {card['seed']}, {card['precision']}; {card['hours']:g} h.",
    ]
    if card["start_from"]:
        lines.append(f"- Started from: {card['start_from'].replace(chr(92), '/').rpartition('/')[2]}.")
    lines += [f"- With weights of others: {line}." for line in card["credits"]]
    lines += [f"- {key.capitalize()}: {_plain(value)}." for key, value in task.provenance().settings.items()]
    lines += [f"- Made with {card['made_with']}, {card['made_on']}.", "", *_table(card)]
    return "\n".join([*lines, *([task.use()] if task.use() else [])]) + "\n"


def in_words(architecture: Mapping[str, Any]) -> str:
    """Return a network's name and its numbers."""
    rest = ", ".join(f"{key} {_plain(value)}" for key, value in architecture.items() if key != "name")
    name = str(architecture.get("name", "unnamed"))
    return f"{name} ({rest})" if rest else name


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value)
    return str(value)


def _steps(card: Mapping[str, Any]) -> str:
    done = card["steps_done"]
    if card["best_step"] is not None:
        return f"{done} (of {card['steps']} at most), of which step {card['best_step']} was the best"
    return f"{done}" if done >= card["steps"] else f"{done} (stopped; {card['steps']} were planned)"


def _table(card: Mapping[str, Any]) -> list[str]:
    if not card["scores"]:
        return ["Nothing was set aside to measure it on.", ""]
    before = {"without it": card["scores_of_baseline"], "at the start": card["scores_of_start"]}
    columns = {**{name: scores for name, scores in before.items() if scores}, "this network": card["scores"]}
    return [
        f"Measured on what it did not learn from: {'; '.join(card['measured_on'])}; mean:",
        "",
        _row("", *columns),
        "|---" * (1 + len(columns)) + "|",
        *(_row(key, *(scores.get(key, "") for scores in columns.values())) for key in card["scores"]),
        "",
    ]


def _row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
