"""The model card: what a network was trained on and how good it is, for people and inside the file of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from cemi_denoise import __version__
from cemi_denoise.network.networks import build_network, parameter_count
from cemi_denoise.train.recipe import TrainingRecipe

if TYPE_CHECKING:
    from cemi_denoise.train.run import Outcome


def card_of(
    recipe: TrainingRecipe, data: Sequence[str], measured_on: Sequence[str], outcome: Outcome
) -> dict[str, Any]:
    """Return plain data that say how weights came about.

    Parameters
    ----------
    recipe : TrainingRecipe
    data, measured_on : sequence of str
        What was trained on and measured on, in words.
    outcome : Outcome
    """
    settings = recipe.model_dump(mode="json", exclude={"data", "validation", "every", "network", "tensorboard"})
    if recipe.stage == "semnet":
        settings = {key: value for key, value in settings.items() if key not in ("losses", "discriminator_features")}
    return {
        **settings,
        "steps_done": outcome.step,
        "data": list(data),
        "measured_on": list(measured_on),
        "scores": _rounded(outcome.scores),
        "scores_of_noisy": _rounded(outcome.noisy_scores),
        "scores_of_start": _rounded(outcome.start_scores),
        "hours": round(outcome.seconds / 3600, 2),
        "made_with": f"cemi-denoise {__version__}, torch {torch.__version__}",
        "made_on": datetime.now(UTC).date().isoformat(),
    }


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in scores.items()}


def card_text(name: str, architecture: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Return a model card in Markdown.

    Parameters
    ----------
    name : str
        Of the weights.
    architecture : mapping
        What `build_network` makes the network from.
    card : mapping
        What `card_of` returned.
    """
    count = parameter_count(build_network(architecture)) / 1e6
    unfinished = "" if card["steps_done"] >= card["steps"] else f" (stopped; {card['steps']} were planned)"
    lines = [
        f"# {name}",
        "",
        f"Weights of a network that takes the noise out of SEM pictures ({card['stage'].upper()}), made by "
        "`cemi train denoiser`.",
        "",
        f"- Network: {in_words(architecture)}, {count:.2f} M parameters.",
        f"- Trained on: {'; '.join(card['data'])}.",
        f"- Steps: {card['steps_done']}{unfinished}, each of {card['batch']} patches of {card['patch_px']} px; "
        f"learning rate {card['learning_rate']:g} ({card['schedule']}), moving average {card['average']:g}, "
        f"seed {card['seed']}, {card['precision']}; {card['hours']:g} h.",
    ]
    if card["start_from"]:
        lines.append(f"- Started from: {card['start_from'].replace(chr(92), '/').rpartition('/')[2]}.")
    if "losses" in card:
        lines.append("- Losses: " + ", ".join(f"{key} {value}" for key, value in card["losses"].items()) + ".")
    lines += [f"- Made with {card['made_with']}, {card['made_on']}.", "", *_table(card), *_use(card)]
    return "\n".join(lines) + "\n"


def in_words(architecture: Mapping[str, Any]) -> str:
    """Return a network's name and its numbers."""
    rest = ", ".join(f"{key} {value}" for key, value in architecture.items() if key != "name")
    return f"{architecture['name']} ({rest})"


def _table(card: Mapping[str, Any]) -> list[str]:
    if not card["scores"]:
        return ["No pictures were set aside to measure it on.", ""]
    columns = {"noisy": card["scores_of_noisy"], "denoised": card["scores"]}
    if card["scores_of_start"]:
        columns = {"noisy": columns["noisy"], "at the start": card["scores_of_start"], "denoised": columns["denoised"]}
    return [
        f"Measured on patches that it did not learn from: {'; '.join(card['measured_on'])}; mean:",
        "",
        _row("", *columns),
        "|---" * (1 + len(columns)) + "|",
        *(_row(key, *(scores.get(key, "") for scores in columns.values())) for key in card["scores"]),
        "",
    ]


def _row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _use(card: Mapping[str, Any]) -> list[str]:
    return [
        f"In a recipe: `denoise: [{{use: {card['stage']}, with: {{weights: PATH}}}}]`. It has learnt the kinds of "
        "structure and noise named above; on others, compare a denoised picture with a slow scan of the same field.",
    ]
