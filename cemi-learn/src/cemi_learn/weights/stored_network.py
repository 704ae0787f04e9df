"""A network in one safetensors file that says itself which network it is and how it was trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path

_ARCHITECTURE, _CARD, _TASK = "architecture", "card", "task"
_NetworkT = TypeVar("_NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class StoredNetwork:
    """What a file of weights holds.

    Attributes
    ----------
    path : Path
    tensors : mapping of str to tensor
        float32, on the CPU; whole numbers as they are.
    architecture : dict
        What the network is made from, in plain data.
    card : dict
        How it was trained: data, seed, steps, and more.
    task : str
        What it was trained for, the word after ``cemi train``; empty in files of earlier versions.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    architecture: dict[str, Any]
    card: dict[str, Any]
    task: str = ""


def save_network(
    path: str | Path,
    network: nn.Module,
    architecture: Mapping[str, Any],
    card: Mapping[str, Any],
    *,
    task: str = "",
    half: bool = False,
) -> None:
    """Write the weights of a network, and what it is, into one safetensors file.

    Parameters
    ----------
    path : str or Path
    network : nn.Module
    architecture : mapping
        What it is made from; anything that JSON holds.
    card : mapping
        How it was trained; anything that JSON holds.
    task : str
        What it was trained for.
    half : bool
        Whether to store 16-bit floats.

    Raises
    ------
    InputError
        A weight is too large for 16 bits.
    StorageError
        The disk is full; what was at ``path`` is still there.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous()
        for key, value in network.state_dict().items()
    }
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise InputError(f"{path}: some weights are too large for 16 bits; set stored_as: float32")
    metadata = {_ARCHITECTURE: json.dumps(dict(architecture)), _CARD: json.dumps(dict(card))}
    if task:
        metadata[_TASK] = task
    with atomic_path(Path(path)) as partial:
        # as bytes, because safetensors' own writer hides a full disk, and gives the file to its owner alone
        partial.write_bytes(save(tensors, metadata))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, floats as float32, and its metadata.

    Raises
    ------
    InputError
        The file is damaged, or of another kind.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy or download it again") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in found.items()}, metadata


def read_network(path: str | Path, task: str = "", hint: str = "") -> StoredNetwork:
    """Read what `save_network` wrote.

    Parameters
    ----------
    path : str or Path
    task : str
        What the network must have been trained for; empty for anything.
    hint : str
        What else may read a file that was not written by CEMI, for the message.

    Raises
    ------
    InputError
        The file is damaged, does not say which network it holds, or holds one that was trained for something else.
    """
    tensors, metadata = read_tensors(path)
    try:
        architecture = dict(json.loads(metadata[_ARCHITECTURE]))
        card = dict(json.loads(metadata.get(_CARD, "{}")))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        maker = f"'cemi train {task}'" if task else "'cemi train'"
        more = f" ({hint})" if hint else ""
        raise InputError(
            f"{path}: does not say which network it belongs to; it was not written by {maker}{more}"
        ) from error
    found = metadata.get(_TASK, "")
    if task and found and found != task:
        raise InputError(
            f"{path} holds a network of 'cemi train {found}', and one of 'cemi train {task}' is needed here"
        )
    return StoredNetwork(Path(path), tensors, architecture, card, found)


def rebuild(stored: StoredNetwork, build: Callable[[Mapping[str, Any]], _NetworkT]) -> _NetworkT:
    """Return the network that a file holds, in evaluation mode on the CPU.

    Parameters
    ----------
    stored : StoredNetwork
    build : callable
        Makes the network from its architecture; raises `InputError` where there is no such network.

    Raises
    ------
    InputError
        The weights do not fit the network that the file names, or are not numbers.
    """
    try:
        with torch.device("meta"):  # what a file says of itself must not fill the memory
            wanted = {key: tuple(value.shape) for key, value in build(stored.architecture).state_dict().items()}
    except InputError as error:
        raise InputError(f"{stored.path}: {error}") from error
    if wanted != {key: tuple(value.shape) for key, value in stored.tensors.items()}:
        raise InputError(
            f"{stored.path}: its weights do not fit the network {short(stored.architecture)} that it names"
        )
    if not all(bool(torch.isfinite(value).all()) for value in stored.tensors.values()):
        raise InputError(f"{stored.path}: some weights are not numbers; the training that made them diverged")
    network = build(stored.architecture)
    network.load_state_dict(dict(stored.tensors))
    return network.eval()


def short(architecture: Mapping[str, Any]) -> str:
    """Return an architecture in at most a line."""
    text = str(dict(architecture))
    return text if len(text) <= 200 else f"{text[:200]}..."
