"""From files and ``--set`` options to one tree: ``extends`` is followed, maps merge, lists replace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cemi_core.errors import UsageError
from cemi_run.recipe.schema import (
    STAGE_OF_KEY,
    GridSpec,
    Recipe,
    RelateSpec,
    ReportSpec,
    UseAnalyzer,
    UseDenoiser,
    UseStitcher,
)
from cemi_run.recipe.yaml_tree import KeyPath, Mark, Tree, parse_scalar, read_yaml

_STAGE_KEYS = {key: set(UseDenoiser.model_fields) - {"with_"} | {"with"} for key in STAGE_OF_KEY}
_STAGE_KEYS["stitch"] = set(UseStitcher.model_fields) - {"with_"} | {"with"}
_STAGE_KEYS["analyze"] = set(UseAnalyzer.model_fields) - {"with_"} | {"with"}
_STAGE_KEYS["relate"] = set(RelateSpec.model_fields) - {"with_"} | {"with"}
_PLAIN_KEYS = {"grid": set(GridSpec.model_fields), "report": set(ReportSpec.model_fields)}


def load_tree(path: Path, overrides: Sequence[str] = ()) -> Tree:
    """Return a recipe with what it extends and with the overrides of the command line.

    Parameters
    ----------
    path : Path
        The recipe.
    overrides : sequence of str
        ``"stitch.matcher=zncc"`` or ``"denoise.0.with.sigma_px=2"``.

    Raises
    ------
    InputError, UsageError
        A file cannot be read, is not YAML, extends itself, or an override names no place of a recipe.
    """
    tree = load_extended(path, ())
    if not isinstance(tree.data, dict):
        raise UsageError(f"{tree.mark(())}: a recipe is a map of keys such as 'source:' and 'stitch:'")
    for override in overrides:
        tree = override_tree(tree, override)
    return tree


def load_extended(path: Path, seen: tuple[Path, ...] = ()) -> Tree:
    """Return the tree of a file with what it extends; ``seen`` are the files that led to it."""
    resolved = path.resolve()
    if resolved in seen:
        chain = " -> ".join(p.name for p in (*seen, resolved))
        raise UsageError(f"{path}: 'extends' goes in a circle: {chain}")
    tree = read_yaml(path)
    if not isinstance(tree.data, dict) or "extends" not in tree.data:
        return tree
    base_name = tree.data["extends"]
    if not isinstance(base_name, str):
        raise UsageError(f"{tree.mark(('extends',))}: 'extends' names one recipe file, such as 'base.yaml'")
    base_path = path.parent / base_name
    if not base_path.exists():
        raise UsageError(f"{tree.mark(('extends',))}: 'extends' names {base_path}, which does not exist")
    base = load_extended(base_path, (*seen, resolved))
    if not isinstance(base.data, dict):
        raise UsageError(f"{base.mark(())}: a recipe is a map of keys such as 'source:' and 'stitch:'")
    data = {key: value for key, value in tree.data.items() if key != "extends"}
    return merge(base, Tree(data, tree.marks))


def merge(base: Tree, top: Tree) -> Tree:
    """Return ``base`` overlaid with ``top``: maps merge, everything else is replaced.

    Where ``top`` picks another plugin, the settings of the base's plugin are dropped with it.
    """
    marks: dict[KeyPath, Mark] = {}
    data = _merge(base.data, top.data, (), base, top, marks)
    return Tree(data, marks)


def _merge(low: Any, high: Any, path: KeyPath, base: Tree, top: Tree, marks: dict[KeyPath, Mark]) -> Any:
    if not (isinstance(low, dict) and isinstance(high, dict)):
        _take_marks(top, path, marks)
        return high
    marks[path] = top.mark(path)
    other_plugin = "use" in low and "use" in high and low["use"] != high["use"]
    merged: dict[str, Any] = {}
    for key in [*low, *(k for k in high if k not in low)]:
        here = (*path, key)
        if key not in high:
            if key == "with" and other_plugin:
                continue
            _take_marks(base, here, marks)
            merged[key] = low[key]
        elif key not in low or (key == "with" and other_plugin):
            _take_marks(top, here, marks)
            merged[key] = high[key]
        else:
            merged[key] = _merge(low[key], high[key], here, base, top, marks)
            marks[here] = top.mark(here)
    return merged


def _take_marks(tree: Tree, path: KeyPath, marks: dict[KeyPath, Mark]) -> None:
    for other, mark in tree.marks.items():
        if other[: len(path)] == path:
            marks[other] = mark


def override_tree(tree: Tree, override: str) -> Tree:
    """Return the tree with one ``key.path=value`` of the command line applied.

    ``stitch.matcher`` is short for ``stitch.with.matcher``; an entry of a list is named by its number or its plugin.
    """
    dotted, equals, text = override.partition("=")
    if not equals or not dotted.strip():
        raise UsageError(f"--set {override}: write it as key=value, such as --set stitch.matcher=zncc")
    parts = [part.strip() for part in dotted.split(".")]
    if not all(parts):
        raise UsageError(f"--set {override}: a name is missing between the dots")
    path = _resolve(tree, parts, override)
    nested: Any = parse_scalar(text)
    value = nested
    mark = Mark(f"--set {override}")
    data = with_value(tree.data, path, value)
    marks = {p: m for p, m in tree.marks.items() if p[: len(path)] != path}
    marks[path] = mark
    for depth in range(1, len(path)):
        marks.setdefault(path[:depth], mark)
    return Tree(data, marks)


def _resolve(tree: Tree, parts: list[str], override: str) -> KeyPath:
    head, rest = parts[0], parts[1:]
    keys = list(Recipe.model_fields)
    if head not in keys:
        raise UsageError(f"--set {override}: a recipe has no '{head}'; it has {', '.join(keys)}")
    if head in _PLAIN_KEYS:
        if len(rest) != 1 or rest[0] not in _PLAIN_KEYS[head]:
            allowed = ", ".join(f"{head}.{key}" for key in sorted(_PLAIN_KEYS[head]))
            raise UsageError(f"--set {override}: use one of {allowed}")
        return head, rest[0]
    if not rest:
        return (head,)
    prefix: KeyPath = (head,)
    if head in ("denoise", "analyze"):
        prefix, rest = (head, _entry(tree, head, rest[0], override)), rest[1:]
        if not rest:
            raise UsageError(f"--set {override}: name a setting, such as --set {'.'.join(map(str, prefix))}.KEY=VALUE")
    if rest[0] in _STAGE_KEYS[head]:
        return (*prefix, *rest)
    return (*prefix, "with", *rest)


def _entry(tree: Tree, head: str, word: str, override: str) -> int:
    entries = tree.data.get(head) or []
    names = [entry.get("use") for entry in entries if isinstance(entry, dict)]
    if word.isdecimal() and int(word) < len(entries):
        return int(word)
    if names.count(word) == 1:
        return names.index(word)
    raise UsageError(f"--set {override}: '{head}' has no entry '{word}'; it has {', '.join(map(str, names)) or 'none'}")


def with_value(data: Any, path: KeyPath, value: Any) -> Any:
    """Return plain data with the part at ``path`` replaced; maps on the way are made where there are none."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        return [with_value(old, rest, value) if i == head else old for i, old in enumerate(data)]
    base = data if isinstance(data, dict) else {}
    return {**base, head: with_value(base.get(head), rest, value)}
