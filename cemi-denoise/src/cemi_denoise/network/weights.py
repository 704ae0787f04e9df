"""Weights of networks: safetensors files that say themselves which network they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from cemi_core.errors import InputError
from cemi_core.files.weights import find_weights_file
from cemi_denoise.network.networks import DenoisingNetwork, build_network
from cemi_learn.weights.stored_network import read_network, rebuild, save_network

_ARCHITECTURE = "architecture"
#: The word after ``cemi train``.
TASK = "denoiser"
_OTHERS = "the plugin cemi-denoise-spandrel reads model files of other programs"
#: Blocks, channels and filters of a network are no more; a file that claims more would only cost time and memory.
_MOST = 1024


@dataclass(frozen=True)
class LoadedWeights:
    """A network with its weights, ready to use.

    Attributes
    ----------
    network : DenoisingNetwork
        In evaluation mode, float32, on the CPU.
    architecture : dict
        What `build_network` made it from.
    card : dict
        How it was trained: data, seed, steps, and more.
    """

    network: DenoisingNetwork
    architecture: dict[str, Any]
    card: dict[str, Any]


def shipped_weights() -> dict[str, Path]:
    """Return the weights that come with the package, by name; the model card lies beside each file."""
    folder = Path(str(files("cemi_denoise"))) / "shipped"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def save_weights(
    path: str | Path,
    network: DenoisingNetwork,
    architecture: Mapping[str, Any],
    card: Mapping[str, Any],
    half: bool = False,
) -> None:
    """Write the weights of a network, and what it is, into one safetensors file.

    Parameters
    ----------
    path : str or Path
    network : DenoisingNetwork
    architecture : mapping
        What `build_network` made it from.
    card : mapping
        How it was trained; anything that JSON holds.
    half : bool
        Whether to store 16-bit floats.

    Raises
    ------
    InputError
        A weight is too large for 16 bits.
    StorageError
        The disk is full; what was at ``path`` is still there.
    """
    save_network(path, network, architecture, card, task=TASK, half=half)


def find_weights(name: str, weights_dir: str | Path | None = None) -> Path:
    """Return the file of weights that a setting means: a path, a name in ``weights_dir``, or one that is shipped.

    Raises
    ------
    InputError
        There is no such file, or it is one of another kind.
    """
    hint = " (the plugin cemi-denoise-spandrel reads model files of other programs)"
    return find_weights_file(name, shipped_weights(), weights_dir, "cemi train denoiser", hint)


def load_weights(name: str, weights_dir: str | Path | None = None) -> LoadedWeights:
    """Load weights by name or path; see `find_weights`.

    Raises
    ------
    InputError
        There is no such file, it is damaged, it does not say which network it belongs to (any file that this package
        did not write), or it does not fit that network.
    """
    stored = read_network(find_weights(name, weights_dir), TASK, _OTHERS)
    return LoadedWeights(rebuild(stored, _built), stored.architecture, stored.card)


def _built(architecture: Mapping[str, Any]) -> DenoisingNetwork:
    """Return a network as a file names it, if it is not of a size that would only cost time and memory."""
    large = [name for name, value in architecture.items() if isinstance(value, int) and not 0 <= value <= _MOST]
    if large:
        raise InputError(f"no network of this package has '{large[0]}' {architecture[large[0]]:.6g}")
    return build_network(architecture)


def weights_to_bytes(network: DenoisingNetwork, architecture: Mapping[str, Any]) -> bytes:
    """Return a network as bytes that `network_from_bytes` reads, for sending it to another process."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    # as a tensor: safetensors reads metadata from files alone
    text = torch.frombuffer(bytearray(json.dumps(dict(architecture)).encode()), dtype=torch.uint8)
    return save({**tensors, _ARCHITECTURE: text})


def network_from_bytes(data: bytes) -> DenoisingNetwork:
    """Return the network, in evaluation mode on the CPU, that `weights_to_bytes` wrote."""
    tensors = load(data)
    network = build_network(json.loads(bytes(tensors.pop(_ARCHITECTURE).tolist())))
    network.load_state_dict(tensors)
    return network.eval()
