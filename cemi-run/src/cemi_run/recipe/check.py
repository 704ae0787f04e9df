"""Checks a whole recipe before anything runs, and reports every error at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from cemi_core.errors import UsageError
from cemi_core.plugins.manager import Plugins, Registered
from cemi_core.plugins.types import (
    AnalyzerPlugin,
    DenoiserPlugin,
    Plugin,
    RelationPlugin,
    ReportPlugin,
    SourcePlugin,
    StitcherPlugin,
)
from cemi_run.recipe.load import load_tree
from cemi_run.recipe.schema import STAGE_OF_KEY, USED_BY_DEFAULT, GridSpec, Recipe, RelateSpec
from cemi_run.recipe.yaml_tree import KeyPath, Mark, Tree, to_yaml

_NAME = re.compile(r"[\w-]+")
_OR_NAME = ("path-or-name",)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class RecipeError(UsageError):
    """Everything that is wrong with a recipe, one line each."""

    def __init__(self, problems: Sequence[tuple[Mark, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{mark}: {message}" for mark, message in problems))


Described = TypeVar("Described", bound=Plugin[Any], covariant=True)


@dataclass(frozen=True)
class Choice(Generic[Described]):
    """A plugin that a recipe picks, with its checked settings, what it works on, and on which channel of it."""

    plugin: Registered[Described]
    settings: BaseModel
    on: str = ""
    channel: str = ""

    @property
    def name(self) -> str:
        """Name of the plugin."""
        return self.plugin.name

    def resolved(self) -> dict[str, Any]:
        """Return plain data that identifies what will be done: plugin, version and every setting."""
        return {
            "use": self.name,
            "package": self.plugin.package,
            "version": self.plugin.version,
            "with": self.settings.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe whose plugins exist and whose settings hold.

    ``data`` is the recipe as written, with what it extends and the overrides; its paths are absolute.
    ``pixel_size_share`` is the standard uncertainty of the pixel size, as a share of it, where it is stated.
    """

    path: Path
    data: Mapping[str, Any]
    source: Choice[SourcePlugin]
    denoisers: tuple[Choice[DenoiserPlugin], ...]
    stitcher: Choice[StitcherPlugin]
    analyzers: tuple[Choice[AnalyzerPlugin], ...]
    relation: Choice[RelationPlugin] | None
    grid: GridSpec | Literal["frames"] | None
    relate: RelateSpec | None
    title: str
    report: Choice[ReportPlugin] | None = None
    pixel_size_share: float | None = None

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML that can be run again."""
        return to_yaml(dict(self.data))


def check_recipe(path: Path, registry: Plugins, overrides: Sequence[str] = ()) -> CheckedRecipe:
    """Load a recipe and check all of it.

    Raises
    ------
    RecipeError
        With every problem found: unknown keys and plugins, wrong types and units, unset variables.
    """
    tree = load_tree(path, overrides)
    problems: list[tuple[Mark, str]] = []
    data = dict(tree.data)
    if isinstance(data.get("relate"), dict):
        data["relate"] = resolve_paths(tree, ("relate",), data["relate"], RelateSpec, problems)
    recipe = validated(Recipe, data, (), tree, problems)
    choices: dict[KeyPath, Choice[Any]] = {}
    for key, stage in STAGE_OF_KEY.items():
        entry = data.get(key)
        entries = list(enumerate(entry)) if isinstance(entry, list) else [(None, entry)]
        for index, raw in entries:
            where: KeyPath = (key,) if index is None else (key, index)
            choice, resolved = _check_choice(stage, raw, where, tree, registry, problems)
            if choice is not None:
                choices[where] = choice
            if resolved is not None:
                _set(data, where, resolved)
    _check_grid(recipe, tree, problems)
    stitcher = choices.get(("stitch",))
    if recipe is not None and stitcher is None and "stitch" not in data:
        stitcher = _default_choice("stitch", recipe.stitch.use, registry)
    alone = stitcher is not None and stitcher.plugin.description.abilities_of(stitcher.settings).stands_alone
    if recipe is not None and stitcher is not None:
        check_separate(recipe, stitcher, choices.get(("relate",)), tree, problems)
    if problems or recipe is None or stitcher is None:
        raise RecipeError(sorted(problems, key=lambda p: (p[0].file, p[0].line, p[0].column)))
    return CheckedRecipe(
        path=path,
        data=data,
        source=choices[("source",)],
        denoisers=tuple(choices["denoise", i] for i in range(len(recipe.denoise))),
        stitcher=stitcher,
        analyzers=tuple(choices["analyze", i] for i in range(len(recipe.analyze))),
        relation=choices.get(("relate",)),
        grid="frames" if alone else recipe.grid,
        relate=recipe.relate,
        title=recipe.report.title,
        report=choices.get(("report",)) or _installed_report(registry),
        pixel_size_share=recipe.uncertainty.pixel_size if recipe.uncertainty is not None else None,
    )


def choose(stage: str, name: str, settings: Mapping[str, Any], registry: Plugins, where: str) -> Choice[Any]:
    """Return a plugin with settings that come from the command line rather than from a recipe.

    Raises
    ------
    RecipeError
        The plugin is unknown or a setting is wrong; ``where`` names the place in the message.
    """
    tree = Tree({"use": name, "with": dict(settings)}, {(): Mark(where)})
    problems: list[tuple[Mark, str]] = []
    choice, _ = _check_choice(stage, tree.data, (), tree, registry, problems)
    if choice is None:
        raise RecipeError(problems)
    return choice


def path_fields(model: type[BaseModel]) -> set[str]:
    """Return the names of the settings that hold input paths."""
    properties = model.model_json_schema(by_alias=True).get("properties", {})
    return {name for name, schema in properties.items() if _has_path_format(schema)}


def names_of_files(settings: BaseModel) -> list[str]:
    """Return the bare words that stand where a path may: what a plugin knows, or finds in the folder of weights."""
    properties = type(settings).model_json_schema(by_alias=True).get("properties", {})
    values = [getattr(settings, name) for name, schema in properties.items() if _has_path_format(schema, _OR_NAME)]
    return [value for value in values if isinstance(value, str) and _NAME.fullmatch(value)]


def _has_path_format(schema: Any, formats: tuple[str, ...] = ("path", *_OR_NAME)) -> bool:
    if isinstance(schema, dict):
        return schema.get("format") in formats or any(_has_path_format(v, formats) for v in schema.values())
    return isinstance(schema, list) and any(_has_path_format(v, formats) for v in schema)


def _check_choice(
    stage: str,
    raw: Any,
    where: KeyPath,
    tree: Tree,
    registry: Plugins,
    problems: list[tuple[Mark, str]],
) -> tuple[Choice[Any] | None, dict[str, Any] | None]:
    name = raw.get("use", USED_BY_DEFAULT.get(stage)) if isinstance(raw, dict) else None
    given = (raw.get("with") or {}) if isinstance(raw, dict) else None
    if not isinstance(name, str) or not isinstance(given, dict):
        return None, None  # the shape of the recipe is wrong here, which Recipe has reported
    if stage == "report" and "use" not in raw and name not in registry.of_stage(stage):
        return None, None  # the package that writes it is not installed, and nobody asked for it
    try:
        plugin = registry.of_stage(stage).get(name)
        model = plugin.description.load_settings()
    except UsageError as error:
        problems.append((tree.mark((*where, "use")), str(error)))
        return None, None
    except Exception as error:  # a broken plugin must not stop the check of the rest
        message = f"the settings of '{name}' from {plugin.package} cannot be loaded: {type(error).__name__}: {error}"
        problems.append((tree.mark((*where, "use")), message))
        return None, None
    inside = (*where, "with")
    resolved = resolve_paths(tree, inside, given, model, problems)
    settings = validated(model, resolved, inside, tree, problems)
    if settings is None:
        return None, None
    channel = str(raw.get("match_channel" if stage == "stitch" else "channel") or "")
    choice = Choice(plugin, settings, on=str(raw.get("on", "")), channel=channel)
    return choice, {**raw, "use": name, "with": resolved}


def _installed_report(registry: Plugins) -> Choice[ReportPlugin] | None:
    """Return the report that a recipe gets unasked, or None where the package that writes it is not installed."""
    name = USED_BY_DEFAULT["report"]
    return _default_choice("report", name, registry) if name in registry.reports else None


def _default_choice(stage: str, name: str, registry: Plugins) -> Choice[Any]:
    plugin = registry.of_stage(stage).get(name)
    return Choice(plugin, plugin.description.load_settings()())


def validated(
    model: type[BaseModel], data: Any, where: KeyPath, tree: Tree, problems: list[tuple[Mark, str]]
) -> Any | None:
    """Return the settings that ``data`` gives, or None after adding what is wrong to ``problems``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            location: KeyPath = tuple(part for part in detail["loc"] if not _is_union_tag(part))
            problems.append((tree.mark((*where, *location)), _message(detail, location, model)))
        return None


def _is_union_tag(part: str | int) -> bool:
    # pydantic names the branch of a union it tried, such as "list[...]", "function-before[...]" or "constrained-float"
    if not isinstance(part, str):
        return False
    return "[" in part or part.startswith("constrained-") or part in ("str", "int", "float", "bool")


def _message(detail: Any, location: KeyPath, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in location) or "recipe"
    kind, value = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        close = get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"unknown key '{key}'; {hint}known: {', '.join(sorted(known)) or 'none'}"
    if kind == "missing":
        return f"'{key}' is missing"
    text = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return f"'{key}': {_cut(text)}" if location else _cut(text)
    if kind in ("model_type", "dict_type"):
        text = "a map of keys"
    elif kind == "list_type":
        text = "a list (write [] for an empty one)"
    return f"'{key}' should be {text}, not {'empty' if value is None else _cut(repr(value))}"


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _keys_at(model: type[BaseModel], location: KeyPath) -> list[str]:
    fields = model.model_fields
    for part in location:
        inner = fields.get(str(part))
        inner = inner or next((f for f in fields.values() if f.alias == part), None)
        if isinstance(part, int) or inner is None:
            continue
        nested = model_in(inner.annotation)
        if nested is None:
            return []
        fields = nested.model_fields
    return [field.alias or name for name, field in fields.items()]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the settings model that a field holds, alone or beside None; None if it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = model_in(argument)
        if found is not None:
            return found
    return None


def _check_grid(recipe: Recipe | None, tree: Tree, problems: list[tuple[Mark, str]]) -> None:
    if recipe is None or not isinstance(recipe.grid, GridSpec):
        return
    grid = recipe.grid
    if grid.cell is None and (grid.rows is None or grid.columns is None):
        problems.append((tree.mark(("grid",)), "'grid' needs rows and columns, or a cell such as '50 um'"))
    if grid.cell is not None and (grid.rows is not None or grid.columns is not None):
        problems.append((tree.mark(("grid",)), "'grid' takes either rows and columns or a cell, not both"))


def check_separate(
    recipe: Recipe,
    stitcher: Choice[StitcherPlugin],
    relation: Choice[RelationPlugin] | None,
    tree: Tree,
    problems: list[tuple[Mark, str]],
) -> None:
    """Check that grid and relation suit images that are stitched, or images that stand alone."""
    alone = stitcher.plugin.description.abilities_of(stitcher.settings).stands_alone
    grid, relate = recipe.grid, recipe.relate
    if alone and isinstance(grid, GridSpec):
        why = f"'{stitcher.name}' joins no images, so that a grid over them would cut across several"
        problems.append((tree.mark(("grid",)), f"{why}; write 'grid: frames', or leave 'grid' out"))
    if not alone and grid == "frames":
        why = f"'grid: frames' makes one cell of each image, and '{stitcher.name}' joins the images into one"
        problems.append((tree.mark(("grid",)), f"{why}; write 'stitch: {{use: separate}}', or another grid"))
    if relate is None:
        return
    if alone and relate.condition is None:
        why = "'property' lies along x of one specimen, and these images stand alone"
        problems.append((tree.mark(("relate",)), f"{why}; give 'condition: NAME' instead"))
    if not alone and relate.condition is not None:
        why = f"'condition' compares images that stand alone, and '{stitcher.name}' joins them into one"
        problems.append((tree.mark(("relate", "condition")), f"{why}; write 'stitch: {{use: separate}}'"))
    abilities = relation.plugin.description.abilities_of(relation.settings) if relation is not None else None
    if relation is not None and abilities is not None and relate.y is not None and not abilities.needs_maps:
        why = f"'{relation.name}' compares profiles along x, for which 'y' says nothing"
        problems.append((tree.mark(("relate", "y")), f"{why}; leave it out, or write 'use: pearson'"))
    if not alone and relation is not None and abilities is not None and abilities.needs_images:
        why = f"'{relation.name}' compares images that stand alone"
        problems.append((tree.mark(("relate", "use")), f"{why}; write 'stitch: {{use: separate}}', or 'use: pearson'"))


def resolve_paths(
    tree: Tree, where: KeyPath, data: dict[str, Any], model: type[BaseModel], problems: list[tuple[Mark, str]]
) -> dict[str, Any]:
    """Return ``data`` with the paths among the settings of ``model`` made absolute, from where each was written."""
    resolved = dict(data)
    fields = model.model_json_schema(by_alias=True).get("properties", {})
    for name in path_fields(model) & set(data):
        value = data[name]
        here = (*where, name)
        if fields[name].get("format") == "path-or-name" and _NAME.fullmatch(str(value)):
            continue
        if isinstance(value, str):
            resolved[name] = _resolve_path(value, tree.mark(here), problems)
        elif isinstance(value, list):
            resolved[name] = [
                _resolve_path(v, tree.mark((*here, i)), problems) if isinstance(v, str) else v
                for i, v in enumerate(value)
            ]
        elif isinstance(value, dict):  # names, and the files of each
            resolved[name] = {key: _resolve_all(v, (*here, key), tree, problems) for key, v in value.items()}
    return resolved


def _resolve_all(value: Any, here: KeyPath, tree: Tree, problems: list[tuple[Mark, str]]) -> Any:
    if isinstance(value, list):
        return [_resolve_all(v, (*here, i), tree, problems) for i, v in enumerate(value)]
    return _resolve_path(value, tree.mark(here), problems) if isinstance(value, str) else value


def _resolve_path(text: str, mark: Mark, problems: list[tuple[Mark, str]]) -> str:
    if not text.strip():
        problems.append((mark, "a path is empty"))
        return text
    for variable in _VARIABLE.findall(text):
        if not os.environ.get(variable):
            problems.append((mark, f"the environment variable {variable} is not set; it stands in the path '{text}'"))
            return text
    expanded = Path(os.path.expanduser(_VARIABLE.sub(lambda match: os.environ[match[1]], text)))  # noqa: PTH111 - leaves the home of nobody as it is
    folder = Path(mark.file).parent if mark.line else Path()
    return str(Path(os.path.abspath(folder / expanded)))  # noqa: PTH100 - resolve() would follow links


def _set(data: Any, where: KeyPath, value: Any) -> None:
    if len(where) == 1:
        data[where[0]] = value
    else:
        data[where[0]] = [value if i == where[1] else old for i, old in enumerate(data[where[0]])]
