"""Whether a folder holds this very training, and what is said if it holds another one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError
from cemi_learn.bench.checkpoint import CHECKPOINT, read_checkpoint
from cemi_learn.bench.learner import Learner
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.task import Task


def identity_of(task: Task[Any], plan: Plan, processes: int = 1) -> dict[str, Any]:
    """Return what makes a training this one: all that the weights of its last step depend on."""
    of_plan = asdict(plan)
    for name in ("every", "stop_early", "half", "tensorboard"):
        del of_plan[name]
    mine = {"task": task.name, **task.identity(), **of_plan, "processes": processes}
    return dict(json.loads(json.dumps(mine)))  # as it will be read


def restore(learner: Learner, out: Path, identity: Mapping[str, Any], start: str) -> Mapping[str, Any]:
    """Let a training go on from the checkpoint in a folder, and return what else is in it; empty if there is none.

    Parameters
    ----------
    learner : Learner
    out : Path
        The folder.
    identity : mapping
        What `identity_of` returned.
    start : str
        What `Task.start_digest` returned.

    Raises
    ------
    InputError
        The checkpoint is damaged, or belongs to another training, or to one of another network.
    """
    path = out / CHECKPOINT
    content = read_checkpoint(path)
    if content is None:
        return {}
    _require_same(out, content, identity, start)
    try:
        learner.restore(content["learner"])
    except (KeyError, ValueError, RuntimeError) as error:  # such as that of a network whose parts have changed since
        raise InputError(
            f"{path} does not fit this network: remove it to start this training again, or choose another --out"
        ) from error
    return content


def _require_same(out: Path, content: Mapping[str, Any], identity: Mapping[str, Any], start: str) -> None:
    found = content.get("identity", {})
    difference = _first_difference(found, identity, "")
    if difference and _is_lengthened(found, identity) and content["learner"]["step"] == found["steps"]:
        raise InputError(
            f"{out} holds this training, finished after {found['steps']} steps; to train for longer, "
            f"choose another --out, with start_from: {out / 'weights.safetensors'}"
        )
    if difference:
        raise InputError(f"{out} holds another training: {difference}; choose another --out, or put the recipe back")
    if content["start"] != start:
        raise InputError(
            f"{out} holds a training that started from other weights of the same name; choose another --out, or remove "
            "the folder"
        )


def _is_lengthened(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a training is another one for its more steps alone."""
    same = {"steps": None}
    more = "steps" in old and "steps" in new and int(new["steps"]) > int(old["steps"])
    return more and not _first_difference({**old, **same}, {**new, **same}, "")


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
