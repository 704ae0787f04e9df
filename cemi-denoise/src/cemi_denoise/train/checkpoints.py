"""Where a training stands, in one file that is either the old one or the new one, whatever happens while it is written.

The file holds tensors and plain data only, and is read without running code from it.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path
from cemi_denoise.network import esrgan_trunk
from cemi_denoise.network.weights import load_weights
from cemi_denoise.train.pictures import digest_of
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.sources import OpenedData
from cemi_denoise.train.start import Machine
from cemi_denoise.train.training import Training

#: Its name in the folder of a training.
CHECKPOINT = "checkpoint.pt"
_VERSION = 1


def identity_of(recipe: TrainingRecipe, data: OpenedData, processes: int = 1) -> dict[str, Any]:
    """Return what makes a training this one: all that the weights depend on."""
    settings = recipe.model_dump(mode="json", exclude={"every", "tensorboard", "stored_as", "validation"})
    # folders may be moved: the pixels count, not their paths
    for mode, names in (("sem", ("noise_of",)), ("pairs", ("ld", "hd")), ("overlaps", ("run",))):
        for name in names:
            (settings["data"][mode] or {}).pop(name, None)
    settings["data"].pop("images")
    settings["data"]["pixels"] = data.digest
    settings["start_from"] = Path(recipe.start_from).name
    settings["processes"] = processes
    return settings


def start_digest(recipe: TrainingRecipe, machine: Machine) -> str:
    """Return a hash of the weights to start from; empty for those that are drawn, or of other programs."""
    if not recipe.start_from or recipe.start_from == esrgan_trunk.NAME:
        return ""
    weights = load_weights(recipe.start_from, machine.weights_dir).network.state_dict()
    return digest_of(value.numpy() for value in weights.values())


def save_checkpoint(path: Path, identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write a checkpoint in one step.

    Parameters
    ----------
    path : Path
    identity : mapping
        What makes this training this one: plain data by name.
    content : mapping
        Tensors and plain data.

    Raises
    ------
    StorageError
        The disk is full; what was at ``path`` is still there.
    """
    # into memory first: torch's own writer turns a full disk into an error without a reason
    buffer = io.BytesIO()
    torch.save({"version": _VERSION, "identity": json.dumps(dict(identity)), **content}, buffer)
    with atomic_path(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, or None if there is no file.

    Raises
    ------
    InputError
        The file is damaged, or belongs to another training; says what differs.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = dict(json.loads(content["identity"]))
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no checkpoint, or damaged: remove it to start this training again") from error
    # through JSON, as the other one went
    difference = _first_difference(found, json.loads(json.dumps(dict(identity))), "")
    if difference:
        if _is_lengthened(found, identity) and content.get("training", {}).get("step") == found["steps"]:
            raise InputError(
                f"{path.parent} holds this training, finished after {found['steps']} steps; to train for longer, "
                f"choose another --out, with start_from: {path.parent / 'weights.safetensors'}"
            )
        raise InputError(
            f"{path.parent} holds another training: {difference}; choose another --out, or put the recipe back"
        )
    return dict(content)


def restore(training: Training, out: Path, identity: Mapping[str, Any], start: str) -> Mapping[str, Any]:
    """Let a training go on from the checkpoint in a folder, and return what else is in it; empty if there is none.

    Parameters
    ----------
    training : Training
    out : Path
        The folder.
    identity : mapping
        What `identity_of` returned.
    start : str
        What `start_digest` returned.

    Raises
    ------
    InputError
        The file is damaged, or belongs to another training, or to one of another network.
    """
    content = load_checkpoint(out / CHECKPOINT, identity)
    if content is None:
        return {}
    if content.get("start", start) != start:  # one that an earlier version wrote does not tell
        raise InputError(
            f"{out} holds a training that started from other weights of the name '{identity['start_from']}'; choose "
            "another --out, or remove the folder"
        )
    try:
        training.restore(content["training"])
    except (KeyError, ValueError, RuntimeError) as error:  # such as that of a network whose parts have changed since
        raise InputError(
            f"{out / CHECKPOINT} does not fit this network: remove it to start this training again, or choose another "
            "--out"
        ) from error
    return content


def _is_lengthened(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a training is another one for its more steps alone."""
    same = {"steps": None}
    more = "steps" in old and "steps" in new and int(new["steps"]) > int(old["steps"])
    return more and not _first_difference({**old, **same}, json.loads(json.dumps({**new, **same})), "")


def _first_difference(old: Any, new: Any, name: str) -> str:
    """Return in words the first thing in which two trees of plain data differ, or an empty text."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = _first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
            if found:
                return found
        return ""
    return "" if old == new else f"its '{name}' is {_short(old)}, not {_short(new)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
