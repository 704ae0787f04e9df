"""Where a training stands, in one safetensors file that is either the old one or the new one, whatever happens.

The file holds tensors and, as JSON, how they belong together. A checksum over both is compared when it is read, so that
a bit that fell over on the disk never becomes part of a network. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path

#: Its name in the folder of a training, and the one that versions before 0.2 gave it.
CHECKPOINT, OLD_CHECKPOINT = "checkpoint.safetensors", "checkpoint.pt"
_VERSION = "2"
_TENSOR, _PAIRS, _TUPLE = "$tensor", "$pairs", "$tuple"


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint in one step.

    Parameters
    ----------
    path : Path
    content : mapping
        Tensors and plain data, in dictionaries, lists and tuples.

    Raises
    ------
    StorageError
        The disk is full; what was at ``path`` is still there.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_without_tensors(content, "", tensors))
    metadata = {"version": _VERSION, "tree": tree, "checksum": _checksum(tree, tensors)}
    # into memory first: safetensors' own writer hides why a disk takes no more
    data = save(tensors, metadata)
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `write_checkpoint` wrote, to the bit and in the same order of memory; None if there is no file.

    Raises
    ------
    InputError
        The file is damaged, or of an earlier version.
    """
    old = path.with_name(OLD_CHECKPOINT)
    if not path.exists() and old.exists():
        raise InputError(
            f"{old} was written by an earlier version of CEMI, which this one cannot go on from: finish that training "
            "with the version that began it, or choose another --out and name its weights.safetensors in start_from"
        )
    if not path.exists():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata["version"] != _VERSION or metadata["checksum"] != _checksum(metadata["tree"], tensors):
            raise ValueError("its checksum is another one")
        return dict(_with_tensors(json.loads(metadata["tree"]), tensors))
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError, RecursionError) as error:
        raise InputError(f"{path} is not a checkpoint, or damaged: remove it to start this training again") from error


def _checksum(tree: str, tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.blake2b(tree.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return found.hexdigest()


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return plain data in which each tensor is a reference to one in ``tensors``."""
    if isinstance(value, Tensor):
        kept = value.detach().cpu()
        tensors[name] = kept.contiguous().clone()
        reference: dict[str, Any] = {_TENSOR: name}
        if not kept.is_contiguous():  # images last, for example: another order may round otherwise
            reference["strides"] = list(kept.stride())
        return reference
    if isinstance(value, Mapping):
        pairs = [
            [key, _without_tensors(part, f"{name}/{key}" if name else str(key), tensors)] for key, part in value.items()
        ]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(pairs)
        return {_PAIRS: pairs}  # the numbers of parameters in the state of an optimiser
    if isinstance(value, list | tuple):
        parts = [_without_tensors(part, f"{name}/{index}", tensors) for index, part in enumerate(value)]
        return {_TUPLE: parts} if isinstance(value, tuple) else parts
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `_without_tensors` took apart."""
    if isinstance(value, list):
        return [_with_tensors(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        tensor = tensors[value[_TENSOR]]
        if "strides" not in value:
            return tensor
        return torch.empty_strided(tensor.shape, value["strides"], dtype=tensor.dtype).copy_(tensor)
    if _PAIRS in value:
        return {key: _with_tensors(part, tensors) for key, part in value[_PAIRS]}
    if _TUPLE in value:
        return tuple(_with_tensors(part, tensors) for part in value[_TUPLE])
    return {key: _with_tensors(part, tensors) for key, part in value.items()}
