"""Settings of a command that come from a YAML file of their own, read with the same care as a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from cemi_core.errors import UsageError
from cemi_run.recipe.check import RecipeError, model_in, resolve_paths, validated
from cemi_run.recipe.load import load_extended, with_value
from cemi_run.recipe.yaml_tree import KeyPath, Mark, Tree, parse_scalar

Model = TypeVar("Model", bound=BaseModel)


def read_settings_file(path: Path, model: type[Model], overrides: Sequence[str] = ()) -> Model:
    """Return the settings in a YAML file: ``extends`` is followed, paths are relative to the file that names them.

    Parameters
    ----------
    path : Path
    model : type
        The settings model; models inside it are maps in the file.
    overrides : sequence of str
        ``"data.sem.share=0.5"``; a relative path in one is relative to the working directory.

    Raises
    ------
    InputError
        The file is missing, empty or cannot be read.
    RecipeError
        With every problem found, each with its place.
    """
    tree = load_extended(path)
    if not isinstance(tree.data, dict):
        raise UsageError(f"{tree.mark(())}: this should be a map of keys; it has {', '.join(model.model_fields)}")
    for override in overrides:
        tree = _overridden(tree, override)
    problems: list[tuple[Mark, str]] = []
    data = _with_paths(tree, (), tree.data, model, problems)
    settings = validated(model, data, (), tree, problems)
    if settings is None or problems:
        raise RecipeError(sorted(problems, key=lambda p: (p[0].file, p[0].line, p[0].column)))
    return settings  # type: ignore[no-any-return]


def _overridden(tree: Tree, override: str) -> Tree:
    dotted, equals, text = override.partition("=")
    parts = [part.strip() for part in dotted.split(".")]
    if not equals or not all(parts):
        raise UsageError(f"--set {override}: write it as key=value, such as --set steps=1000")
    path: KeyPath = tuple(parts)
    mark = Mark(f"--set {override}")
    marks = {place: old for place, old in tree.marks.items() if place[: len(path)] != path}
    for depth in range(1, len(path)):
        marks.setdefault(path[:depth], mark)
    return Tree(with_value(tree.data, path, parse_scalar(text)), {**marks, path: mark})


def _with_paths(tree: Tree, where: KeyPath, data: Any, model: type[BaseModel], problems: list[tuple[Mark, str]]) -> Any:
    if not isinstance(data, dict):
        return data
    resolved = resolve_paths(tree, where, data, model, problems)
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if name in resolved and inner is not None:
            resolved[name] = _with_paths(tree, (*where, name), resolved[name], inner, problems)
    return resolved
