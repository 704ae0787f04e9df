"""Denoisers that learn from the frames of a run: who asks for it, and what was learnt, kept in the run folder.

It is kept field by field, so that nothing is unpickled.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cemi_core.errors import InputError
from cemi_core.plugins.types import DenoiserPlugin, load_object
from cemi_run.engine.folder import RunFolder
from cemi_run.recipe.check import Choice
from cemi_run.store.hdf5_table import new_hdf5_file, opened_hdf5_file

_PLAIN = (bool, int, float, str, type(None))


def setting_that_learns(choice: Choice[DenoiserPlugin]) -> tuple[str, Any] | None:
    """Return the setting (key, value) without which a denoiser would not learn from a run's frames.

    None if it does not learn, or does so whatever is set: then it knows what to do without them.
    """
    described = choice.plugin.description
    if not described.abilities_of(choice.settings).learns:
        return None
    given = choice.settings.model_dump(exclude_unset=True)
    for key, value in given.items():
        without = {name: part for name, part in given.items() if name != key}
        if not described.abilities_of(type(choice.settings)(**without)).learns:
            return key, value
    return None


def adapted_path(folder: RunFolder, step: str) -> Path:
    """Return where the denoiser of a step is kept that has learnt from the run's frames."""
    return folder.inner / f"adapted-{step}.h5"


def keep_adapted(path: Path, key: str, asked: Any, adapted: Any) -> bool:
    """Write a denoiser that has learnt; return False if it cannot be written, because it is not a plain dataclass.

    Parameters
    ----------
    path : Path
    key : str
        Of the step.
    asked, adapted : Denoiser
        Before and after. What both have alike (threads, device) is not written: the one that asks later has it.
    """
    kind = type(adapted)
    if not is_dataclass(adapted) or "." in kind.__qualname__ or _package(kind) != _package(type(asked)):
        return False
    values = {f.name: getattr(adapted, f.name) for f in fields(adapted) if f.init}
    before = {f.name: getattr(asked, f.name) for f in fields(asked)} if is_dataclass(asked) else {}
    learnt = {name: value for name, value in values.items() if not _alike(before.get(name, NotImplemented), value)}
    plain = {name: value for name, value in learnt.items() if not isinstance(value, bytes)}
    if not all(map(_is_plain, plain.values())):
        return False
    with new_hdf5_file(path) as file:
        file.attrs.update({"key": key, "class": f"{kind.__module__}:{kind.__qualname__}"})
        file["plain"] = json.dumps(plain)
        for name in learnt.keys() - plain.keys():
            file[f"bytes/{name}"] = np.frombuffer(learnt[name], np.uint8)
    return True


def kept_adapted(path: Path, key: str, asked: Any) -> Any | None:
    """Return the denoiser that `keep_adapted` wrote for the step of this key, or None if there is none."""
    if not path.exists():
        return None
    try:
        with opened_hdf5_file(path) as file:
            if file.attrs["key"] != key:
                return None
            if str(file.attrs["class"]).partition(".")[0] != _package(type(asked)):
                return None  # a file does not choose what is imported
            kind: Any = load_object(file.attrs["class"])
            learnt = {name: _as_tuple(value) for name, value in json.loads(file["plain"][()]).items()}
            learnt |= {name: entry[:].tobytes() for name, entry in file.get("bytes", {}).items()}
    except InputError:  # damaged: it learns once more
        return None
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return None
    wanted = [f.name for f in fields(kind) if f.init]
    make_again: Any = kind
    return make_again(**{name: learnt[name] if name in learnt else getattr(asked, name) for name in wanted})


def _package(kind: Any) -> str:
    return str(kind.__module__).partition(".")[0]


def _alike(before: Any, after: Any) -> bool:
    return type(before) is type(after) and (before == after) is True


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
