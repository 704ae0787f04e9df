"""The networks of a training before its first step, from the recipe."""

from __future__ import annotations

from typing import Any

from torch import nn

from cemi_core.errors import InputError
from cemi_denoise.network import esrgan_trunk
from cemi_denoise.network.networks import DenoisingNetwork, build_network, take_over
from cemi_denoise.network.weights import load_weights
from cemi_denoise.train.discriminator import UNetDiscriminator
from cemi_denoise.train.losses import load_perceptual_loss
from cemi_denoise.train.recipe import NetworkSettings, TrainingRecipe
from cemi_learn.bench.card import in_words
from cemi_learn.bench.task import MAIN, Networks
from cemi_learn.digest import digest_of


def start_networks(recipe: TrainingRecipe, weights_dir: str | None) -> Networks:
    """Return the network that a recipe trains, and for SEMGAN what it is up against.

    Raises
    ------
    InputError
        The weights to start from, or those of the perceptual loss, are missing, damaged or of another network.
    """
    network, architecture = _network(recipe, weights_dir)
    networks: dict[str, nn.Module] = {MAIN: network}
    if recipe.stage == "semgan":
        networks["perceptual"] = load_perceptual_loss(weights_dir)
        networks["discriminator"] = UNetDiscriminator(recipe.discriminator_features)
    return Networks(networks, architecture)


def _network(recipe: TrainingRecipe, weights_dir: str | None) -> tuple[DenoisingNetwork, dict[str, Any]]:
    wanted = None if recipe.network is None else recipe.network.architecture()
    if recipe.start_from == esrgan_trunk.NAME:
        architecture = wanted or NetworkSettings(size="large").architecture()
        network = build_network(architecture)
        esrgan_trunk.take_over_trunk(network, esrgan_trunk.find_esrgan(weights_dir))
        return network, architecture
    if not recipe.start_from:
        architecture = wanted or NetworkSettings().architecture()
        return build_network(architecture), architecture
    start = load_weights(recipe.start_from, weights_dir)
    if wanted is None:
        return start.network, dict(start.architecture)
    larger = build_network(wanted)
    try:
        take_over(larger, start.network)
    except ValueError as error:
        raise InputError(
            f"'start_from' {recipe.start_from} holds the network {in_words(start.architecture)}, and 'network' asks "
            f"for {in_words(wanted)}; leave 'network' out, or take other weights ({error})"
        ) from None
    return larger, wanted


def start_digest(recipe: TrainingRecipe, weights_dir: str | None) -> str:
    """Return a hash of the weights to start from; empty for those that are drawn, or of other programs."""
    if not recipe.start_from or recipe.start_from == esrgan_trunk.NAME:
        return ""
    weights = load_weights(recipe.start_from, weights_dir).network.state_dict()
    return digest_of(value.numpy() for value in weights.values())
