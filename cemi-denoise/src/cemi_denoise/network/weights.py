"""Weights of networks: safetensors files that say themselves which network they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_denoise.network.networks import DenoisingNetwork, build_network

_ARCHITECTURE = "architecture"
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
    dtype = torch.float16 if half else torch.float32
    tensors = {key: value.detach().to("cpu", dtype).contiguous() for key, value in network.state_dict().items()}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise InputError(f"{path}: some weights are too large for 16 bits; set stored_as: float32")
    metadata = {_ARCHITECTURE: json.dumps(dict(architecture)), "card": json.dumps(dict(card))}
    with atomic_path(Path(path)) as partial:
        # as bytes, because safetensors' own writer hides a full disk, and gives the file to its owner alone
        partial.write_bytes(save(tensors, metadata))


def find_weights(name: str, weights_dir: str | Path | None = None) -> Path:
    """Return the file of weights that a setting means: a path, a name in ``weights_dir``, or one that is shipped.

    Raises
    ------
    InputError
        There is no such file, or it is one of another kind.
    """
    folders = [Path(weights_dir)] if weights_dir else []
    candidates = [Path(name), *(folder / file for folder in folders for file in (name, f"{name}.safetensors"))]
    there = [path for path in candidates if path.is_file()]
    found = next((path for path in there if path.suffix == ".safetensors"), None)
    shipped = shipped_weights()
    if found is None and name in shipped:
        found = shipped[name]
    if found is None and there:
        raise InputError(
            f"{there[0]} is not a .safetensors file, such as 'cemi train denoiser' writes "
            "(the plugin cemi-denoise-spandrel reads model files of other programs)"
        )
    if found is None:
        where = f" in {weights_dir}" if weights_dir else ""
        raise InputError(
            f"there are no weights {name!r}{where}; give the path of a .safetensors file, or one of: "
            + (", ".join(shipped) or "(none are shipped)")
        )
    return found


def load_weights(name: str, weights_dir: str | Path | None = None) -> LoadedWeights:
    """Load weights by name or path; see `find_weights`.

    Raises
    ------
    InputError
        There is no such file, it is damaged, it does not say which network it belongs to (any file that this package
        did not write), or it does not fit that network.
    """
    path = find_weights(name, weights_dir)
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy or download it again") from error
    try:
        architecture = dict(json.loads(metadata[_ARCHITECTURE]))
        card = dict(json.loads(metadata.get("card", "{}")))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: does not say which network it belongs to; it was not written by 'cemi train denoiser' "
            "(the plugin cemi-denoise-spandrel reads model files of other programs)"
        ) from error
    if _shapes_of(path, architecture) != {key: tuple(value.shape) for key, value in tensors.items()}:
        raise InputError(f"{path}: its weights do not fit the network {architecture} that it names")
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise InputError(f"{path}: some weights are no numbers; the training that made them diverged")
    network = build_network(architecture)
    network.load_state_dict(tensors)
    return LoadedWeights(network.eval(), architecture, card)


def _shapes_of(path: Path, architecture: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a network that a file names, without making them."""
    large = [name for name, value in architecture.items() if isinstance(value, int) and not 0 <= value <= _MOST]
    if large:
        raise InputError(f"{path}: no network of this package has '{large[0]}' {architecture[large[0]]:.6g}")
    try:
        with torch.device("meta"):  # what a file says of itself must not fill the memory
            return {key: tuple(value.shape) for key, value in build_network(architecture).state_dict().items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


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
