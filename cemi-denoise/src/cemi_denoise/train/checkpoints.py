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
from cemi_core.store.atomic import atomic_path

_VERSION = 1


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
        raise InputError(
            f"{path.parent} holds another training: {difference}; choose another --out, or put the recipe back"
        )
    return dict(content)


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
