"""A training before its first step: the network and what it is up against, from the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from cemi_core.errors import InputError
from cemi_denoise.network import esrgan_trunk
from cemi_denoise.network.networks import build_network, take_over
from cemi_denoise.network.runner import require_device
from cemi_denoise.network.weights import load_weights
from cemi_denoise.train.card import in_words
from cemi_denoise.train.discriminator import UNetDiscriminator
from cemi_denoise.train.losses import load_perceptual_loss
from cemi_denoise.train.processes import Processes
from cemi_denoise.train.recipe import NetworkSettings, TrainingRecipe
from cemi_denoise.train.training import Plan, Training


@dataclass(frozen=True)
class Machine:
    """Where a training runs.

    Attributes
    ----------
    device : str
        A torch device name.
    weights_dir : str or None
        Folder with the weights that 'start_from' and the losses name.
    """

    device: str = "cpu"
    weights_dir: str | None = None


def plan_of(recipe: TrainingRecipe) -> Plan:
    """Return how a recipe trains its network."""
    return Plan(
        stage=recipe.stage,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        average=recipe.average,
        l1=recipe.losses.l1,
        perceptual=recipe.losses.perceptual,
        adversarial=recipe.losses.adversarial,
        autocast=recipe.precision,
        grey_error=_grey_error(recipe),
    )


def _grey_error(recipe: TrainingRecipe) -> Literal["absolute", "squared"]:
    chosen = recipe.losses.grey_error
    if chosen == "auto":
        return "absolute" if recipe.data.overlaps is None else "squared"
    return chosen


def start_training(
    recipe: TrainingRecipe, machine: Machine, processes: Processes | None = None
) -> tuple[Training, dict[str, Any]]:
    """Return a training before its first step, and the architecture of its network.

    Parameters
    ----------
    recipe : TrainingRecipe
    machine : Machine
    processes : Processes, optional
        Those that train together; by default this one alone.

    Raises
    ------
    InputError
        The weights to start from, or those of the perceptual loss, are missing, damaged or of another network.
    UsageError
        There is no such device.
    """
    processes = processes or Processes(machine.device)
    require_device(processes.device)
    torch.manual_seed(recipe.seed)
    wanted = None if recipe.network is None else recipe.network.architecture()
    if recipe.start_from == esrgan_trunk.NAME:
        architecture = wanted or NetworkSettings(size="large").architecture()
        network = build_network(architecture)
        esrgan_trunk.take_over_trunk(network, esrgan_trunk.find_esrgan(machine.weights_dir))
    elif recipe.start_from:
        start = load_weights(recipe.start_from, machine.weights_dir)
        network, architecture = start.network, dict(start.architecture)
        if wanted is not None:
            larger = build_network(wanted)
            try:
                take_over(larger, network)
            except ValueError as error:
                raise InputError(
                    f"'start_from' {recipe.start_from} holds the network {in_words(architecture)}, and 'network' asks "
                    f"for {in_words(wanted)}; leave 'network' out, or take other weights ({error})"
                ) from None
            network, architecture = larger, wanted
    else:
        architecture = wanted or NetworkSettings().architecture()
        network = build_network(architecture)
    perceptual = discriminator = None
    if recipe.stage == "semgan":
        perceptual = load_perceptual_loss(machine.weights_dir)
        discriminator = UNetDiscriminator(recipe.discriminator_features)
    share = processes.share_gradients
    return Training(network, plan_of(recipe), processes.device, perceptual, discriminator, share), architecture
