"""Finds plugins through entry points, survives broken ones, and looks them up by stage and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from cemi_core.errors import MissingDependencyError, UsageError
from cemi_core.plugins import hookspecs
from cemi_core.plugins.types import CommandPlugin, Plugin

if TYPE_CHECKING:
    from cemi_core.model.stages import Runtime

ENTRY_POINT_GROUP = "cemi"
STAGES = (
    "source",
    "denoise",
    "stitch",
    "analyze",
    "relate",
    "metric",
    "export",
    "report",
    "specimen",
    "train",
    "command",
)
HOOK_OF_STAGE = {
    "source": "cemi_sources",
    "denoise": "cemi_denoisers",
    "stitch": "cemi_stitchers",
    "analyze": "cemi_analyzers",
    "relate": "cemi_relations",
    "metric": "cemi_metrics",
    "export": "cemi_exporters",
    "report": "cemi_reports",
    "specimen": "cemi_specimens",
    "train": "cemi_trainings",
    "command": "cemi_commands",
}
#: The word for one plugin of a stage in a message.
NOUN_OF_STAGE = {
    "source": "source",
    "denoise": "denoiser",
    "stitch": "stitcher",
    "analyze": "analyzer",
    "relate": "relation method",
    "metric": "metric",
    "export": "export format",
    "report": "report",
    "specimen": "specimen",
    "train": "training",
    "command": "command",
}


@dataclass(frozen=True)
class Registered:
    """A description with the package that it came from."""

    description: Any
    package: str
    version: str

    @property
    def name(self) -> str:
        """The word that picks it."""
        return str(self.description.name)

    @property
    def module(self) -> str:
        """The module that makes it."""
        maker = getattr(self.description, "factory", None) or getattr(self.description, "command", "")
        return maker.partition(":")[0] if isinstance(maker, str) else str(getattr(maker, "__module__", ""))

    @property
    def stage(self) -> str:
        """The stage that it belongs to."""
        return str(self.description.stage)


@dataclass(frozen=True)
class Problem:
    """Something about one package that does not work, while the rest does."""

    package: str
    version: str
    entry_point: str
    reason: str


@dataclass
class Registry:
    """Every plugin that could be loaded, and what went wrong with the others."""

    plugins: list[Registered] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def of_stage(self, stage: str) -> list[Registered]:
        """Return the plugins of one stage, sorted by name."""
        return sorted((p for p in self.plugins if p.stage == stage), key=lambda p: p.name)

    def offers(self, stage: str, name: str) -> bool:
        """Return whether there is a plugin ``name`` of ``stage``."""
        return any(plugin.stage == stage and plugin.name == name for plugin in self.plugins)

    def get(self, stage: str, name: str) -> Registered:
        """Return the plugin ``name`` of ``stage``.

        Raises
        ------
        UsageError
            There is none (the message suggests the nearest name), or two packages offer it.
        """
        found = [p for p in self.plugins if p.stage == stage and p.name == name]
        if len(found) == 1:
            return found[0]
        noun = NOUN_OF_STAGE[stage]
        if found:
            owners = " and ".join(f"{p.package} {p.version}" for p in found)
            raise UsageError(f"{noun} '{name}' is offered by {owners}; uninstall one of them")
        names = [p.name for p in self.of_stage(stage)]
        close = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'? " if close else ""
        broken = f"; not loaded: {', '.join(p.package for p in self.problems)}" if self.problems else ""
        raise UsageError(f"unknown {noun} '{name}'; {hint}installed: {', '.join(names) or 'none'}{broken}")

    def conflicts(self) -> Iterator[tuple[str, str, list[Registered]]]:
        """Yield (stage, name, plugins) wherever two packages offer the same word."""
        groups: dict[tuple[str, str], list[Registered]] = {}
        for plugin in self.plugins:
            groups.setdefault((plugin.stage, plugin.name), []).append(plugin)
        for (stage, name), plugins in groups.items():
            if len(plugins) > 1:
                yield stage, name, plugins


def make(registered: Registered, settings: Any, runtime: Any) -> Any:
    """Return the object that a plugin describes, made from checked settings.

    Raises
    ------
    MissingDependencyError
        A package that the plugin needs is not installed.
    """
    try:
        return registered.description.load_factory()(settings, runtime)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{NOUN_OF_STAGE[registered.stage]} '{registered.name}' of {registered.package} needs the package "
            f"'{error.name}', which is not installed; run: pip install {error.name}"
        ) from error


def make_named(stage: str, name: str, runtime: Runtime | None = None, **settings: Any) -> Any:
    """Return the object that an installed plugin makes from these settings, as a recipe would.

    Raises
    ------
    UsageError
        There is no such plugin.
    pydantic.ValidationError
        A setting does not fit.
    """
    from cemi_core.model.stages import Runtime as ThisMachine

    plugin = registry().get(stage, name)
    return make(plugin, plugin.description.load_settings()(**settings), runtime or ThisMachine())


def build_registry(points: Iterable[EntryPoint]) -> Registry:
    """Load each entry point on its own; one that fails becomes a `Problem` and the others go on."""
    manager = pluggy.PluginManager("cemi")
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    owners: dict[str, tuple[str, str]] = {}
    for point in points:
        package, version = (point.dist.name, point.dist.version) if point.dist else (point.value, "?")
        try:
            module = point.load()
            _report_unknown_hooks(manager, module, point.name, package, version, registry)
            name = manager.register(module, name=f"{package}:{point.name}")
        except Exception as error:
            registry.problems.append(Problem(package, version, point.name, f"{type(error).__name__}: {error}"))
            continue
        if name is not None:
            owners[name] = package, version
    for stage, hook_name in HOOK_OF_STAGE.items():
        _collect(manager, stage, hook_name, owners, registry)
    return registry


def _report_unknown_hooks(
    manager: pluggy.PluginManager, module: ModuleType, point: str, package: str, version: str, registry: Registry
) -> None:
    for attribute in dir(module):
        if manager.parse_hookimpl_opts(module, attribute) is None or attribute in HOOK_OF_STAGE.values():
            continue
        close = get_close_matches(attribute, HOOK_OF_STAGE.values(), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        registry.problems.append(Problem(package, version, point, f"there is no hook '{attribute}'{hint}"))


def _collect(
    manager: pluggy.PluginManager, stage: str, hook_name: str, owners: dict[str, tuple[str, str]], registry: Registry
) -> None:
    # One implementation at a time: pluggy's own call would stop all of them at the first that raises.
    for implementation in getattr(manager.hook, hook_name).get_hookimpls():
        package, version = owners[implementation.plugin_name]
        try:
            for description in implementation.function():
                kind = CommandPlugin if stage == "command" else Plugin
                if not isinstance(description, kind) or description.stage != stage:
                    raise TypeError(f"{hook_name} yielded {description!r}, which is no {NOUN_OF_STAGE[stage]}")
                registry.plugins.append(Registered(description, package, version))
        except Exception as error:
            point = implementation.plugin_name.partition(":")[2]
            registry.problems.append(Problem(package, version, point, f"{type(error).__name__}: {error}"))


@cache
def registry() -> Registry:
    """Return the plugins of this installation, loaded once."""
    return build_registry(entry_points(group=ENTRY_POINT_GROUP))
