"""Finds plugins through entry points, survives broken ones, and looks them up by stage and name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import pluggy

from cemi_core.errors import MissingDependencyError, PluginError, UsageError
from cemi_core.plugins import hookspecs
from cemi_core.plugins.types import (
    PLUGIN_API,
    AnalyzerPlugin,
    CommandPlugin,
    DenoiserPlugin,
    EncoderPlugin,
    ExporterPlugin,
    MetricPlugin,
    Plugin,
    RelationPlugin,
    ReportPlugin,
    SourcePlugin,
    SpecimenPlugin,
    StitcherPlugin,
    TrainingPlugin,
)

if TYPE_CHECKING:
    from cemi_core.model.stages import Runtime

ENTRY_POINT_GROUP = "cemi"
#: Characters of a package's metadata in which its name and version stand.
_METADATA_HEAD = 400
KIND_OF_STAGE: dict[str, type[Plugin[Any]] | type[CommandPlugin]] = {
    kind.stage: kind
    for kind in (
        SourcePlugin,
        DenoiserPlugin,
        StitcherPlugin,
        AnalyzerPlugin,
        RelationPlugin,
        MetricPlugin,
        ExporterPlugin,
        ReportPlugin,
        SpecimenPlugin,
        TrainingPlugin,
        CommandPlugin,
        EncoderPlugin,
    )
}
STAGES = tuple(KIND_OF_STAGE)
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
    "encoder": "cemi_encoders",
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
    "encoder": "encoder",
}


Description = TypeVar("Description", bound=Plugin[object] | CommandPlugin, covariant=True)
Made = TypeVar("Made")
Described = TypeVar("Described", bound=Plugin[object] | CommandPlugin)


@dataclass(frozen=True)
class Registered(Generic[Description]):
    """A description with the package that it came from."""

    description: Description
    package: str
    version: str

    @property
    def name(self) -> str:
        """The word that picks it."""
        return self.description.name

    @property
    def module(self) -> str:
        """The module that makes it."""
        described = self.description
        maker: Any = described.command if isinstance(described, CommandPlugin) else described.factory
        return maker.partition(":")[0] if isinstance(maker, str) else str(maker.__module__)

    @property
    def stage(self) -> str:
        """The stage that it belongs to."""
        return self.description.stage


#: A plugin of any stage but a command.
AnyPlugin = Registered[Plugin[object]]


@dataclass(frozen=True)
class Problem:
    """Something about one package that does not work, while the rest does."""

    package: str
    version: str
    entry_point: str
    reason: str


@dataclass(frozen=True)
class Registry(Generic[Description]):
    """The plugins of one stage.

    Attributes
    ----------
    stage : str
    plugins : tuple of Registered
        Sorted by name.
    problems : tuple of Problem
        What is wrong with any package, for messages.
    """

    stage: str
    plugins: tuple[Registered[Description], ...]
    problems: tuple[Problem, ...] = ()

    def __iter__(self) -> Iterator[Registered[Description]]:
        return iter(self.plugins)

    def __contains__(self, name: object) -> bool:
        return any(plugin.name == name for plugin in self.plugins)

    def get(self, name: str) -> Registered[Description]:
        """Return the plugin of this name.

        Raises
        ------
        UsageError
            There is none (the message suggests the nearest name), or two packages offer it.
        """
        found = [plugin for plugin in self.plugins if plugin.name == name]
        if len(found) == 1:
            return found[0]
        noun = NOUN_OF_STAGE[self.stage]
        if found:
            owners = " and ".join(f"{p.package} {p.version}" for p in found)
            raise UsageError(f"{noun} '{name}' is offered by {owners}; uninstall one of them")
        names = [plugin.name for plugin in self.plugins]
        close = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'? " if close else ""
        broken = f"; not loaded: {', '.join(p.package for p in self.problems)}" if self.problems else ""
        raise UsageError(f"unknown {noun} '{name}'; {hint}installed: {', '.join(names) or 'none'}{broken}")


@dataclass
class Plugins:
    """Every plugin that could be loaded, and what went wrong with the others."""

    plugins: list[Registered[Plugin[object] | CommandPlugin]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def _registry(self, kind: type[Described]) -> Registry[Described]:
        found = [p for p in self.plugins if isinstance(p.description, kind)]
        ordered = cast("list[Registered[Described]]", sorted(found, key=lambda p: p.name))
        return Registry(kind.stage, tuple(ordered), tuple(self.problems))

    @property
    def sources(self) -> Registry[SourcePlugin]:
        """The sources of frames."""
        return self._registry(SourcePlugin)

    @property
    def denoisers(self) -> Registry[DenoiserPlugin]:
        """The denoisers."""
        return self._registry(DenoiserPlugin)

    @property
    def stitchers(self) -> Registry[StitcherPlugin]:
        """The stitchers."""
        return self._registry(StitcherPlugin)

    @property
    def analyzers(self) -> Registry[AnalyzerPlugin]:
        """The analyzers."""
        return self._registry(AnalyzerPlugin)

    @property
    def relations(self) -> Registry[RelationPlugin]:
        """The relation methods."""
        return self._registry(RelationPlugin)

    @property
    def metrics(self) -> Registry[MetricPlugin]:
        """The metrics."""
        return self._registry(MetricPlugin)

    @property
    def exporters(self) -> Registry[ExporterPlugin]:
        """The export formats."""
        return self._registry(ExporterPlugin)

    @property
    def reports(self) -> Registry[ReportPlugin]:
        """The reports."""
        return self._registry(ReportPlugin)

    @property
    def specimens(self) -> Registry[SpecimenPlugin]:
        """The made specimens."""
        return self._registry(SpecimenPlugin)

    @property
    def trainings(self) -> Registry[TrainingPlugin]:
        """The trainings."""
        return self._registry(TrainingPlugin)

    @property
    def commands(self) -> Registry[CommandPlugin]:
        """The commands."""
        return self._registry(CommandPlugin)

    @property
    def encoders(self) -> Registry[EncoderPlugin]:
        """The backbones of networks."""
        return self._registry(EncoderPlugin)

    def of_stage(self, stage: str) -> Registry[Plugin[object]]:
        """Return the plugins of a stage that is known by name only.

        Raises
        ------
        UsageError
            There is no such stage.
        """
        kind = KIND_OF_STAGE.get(stage)
        if kind is None or not issubclass(kind, Plugin):
            raise UsageError(f"there is no stage '{stage}' of plugins with settings")
        return self._registry(kind)

    def conflicts(self) -> Iterator[tuple[str, str, list[Registered[Plugin[object] | CommandPlugin]]]]:
        """Yield (stage, name, plugins) wherever two packages offer the same word."""
        groups: dict[tuple[str, str], list[Registered[Plugin[object] | CommandPlugin]]] = {}
        for plugin in self.plugins:
            groups.setdefault((plugin.stage, plugin.name), []).append(plugin)
        for (stage, name), plugins in groups.items():
            if len(plugins) > 1:
                yield stage, name, plugins


def make(registered: Registered[Plugin[Made]], settings: object, runtime: Runtime) -> Made:
    """Return the object that a plugin describes, made from checked settings.

    Raises
    ------
    MissingDependencyError
        A package that the plugin needs is not installed.
    """
    with missing_packages_named(registered):
        return registered.description.load_factory()(settings, runtime)


@contextmanager
def missing_packages_named(registered: Registered[Description]) -> Iterator[None]:
    """Name a package that a plugin needs and that is not installed, while it is made or tried.

    Raises
    ------
    MissingDependencyError
        In place of `ModuleNotFoundError`.
    """
    try:
        yield
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

    plugin = registry().of_stage(stage).get(name)
    return make(plugin, plugin.description.load_settings()(**settings), runtime or ThisMachine())


def build_registry(points: Iterable[EntryPoint]) -> Plugins:
    """Load each entry point on its own; one that fails becomes a `Problem` and the others go on."""
    manager = pluggy.PluginManager("cemi")
    manager.add_hookspecs(hookspecs)
    registry = Plugins()
    owners: dict[str, tuple[str, str]] = {}
    for point in points:
        package, version = _owner(point)
        try:
            module = _loaded_quietly(point)
            _require_api(module)
            _report_unknown_hooks(manager, module, point.name, package, version, registry)
            name = manager.register(module, name=f"{package}:{point.name}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module that exits must not end the program either
            registry.problems.append(Problem(package, version, point.name, _reason(error)))
            continue
        if name is not None:
            owners[name] = package, version
    for stage, hook_name in HOOK_OF_STAGE.items():
        _collect(manager, stage, hook_name, owners, registry)
    return registry


def _owner(point: EntryPoint) -> tuple[str, str]:
    """Return name and version of the package of an entry point.

    Read from the head of its metadata: to parse all of it, README included, costs a millisecond for each package at
    every start of the program.
    """
    if not isinstance(point.dist, Distribution):
        return (point.dist.name, point.dist.version) if point.dist else (point.value, "?")
    head = (point.dist.read_text("METADATA") or "")[:_METADATA_HEAD]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if line.startswith(("Name: ", "Version: ")))
    if len(fields) < 2:
        return point.dist.name, point.dist.version
    return fields["Name"], fields["Version"]


def _loaded_quietly(point: EntryPoint) -> ModuleType:
    """Return the registration module; what it prints goes to stderr, since stdout belongs to answers."""
    with redirect_stdout(sys.stderr):
        module: ModuleType = point.load()
    return module


def _require_api(module: ModuleType) -> None:
    """Refuse a package that was written for a contract which this version does not have.

    Raises
    ------
    PluginError
        With what to change.
    """
    stated = vars(module).get("PLUGIN_API", 1)
    low, high = stated if isinstance(stated, tuple) else (stated, stated)
    if not low <= PLUGIN_API <= high:
        span = f"{low}" if low == high else f"{low} to {high}"
        advice = (
            "declare what it can do with abilities=..., let 'place' and 'judge' take a PlaceContext, and state "
            f"PLUGIN_API = {PLUGIN_API} in its registration module {module.__name__}"
            if high < PLUGIN_API
            else "install a newer CEMI, or an older version of the package"
        )
        raise PluginError(f"it was written for plugin API {span}, and this CEMI has {PLUGIN_API}: {advice}")


def _reason(error: BaseException) -> str:
    if isinstance(error, PluginError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it ends the program when it is imported (exit code {error.code})"
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the package '{error.name}', which is not installed; run: pip install {error.name}"
    return f"{type(error).__name__}: {error}"


def _report_unknown_hooks(
    manager: pluggy.PluginManager, module: ModuleType, point: str, package: str, version: str, registry: Plugins
) -> None:
    for attribute in dir(module):
        if manager.parse_hookimpl_opts(module, attribute) is None or attribute in HOOK_OF_STAGE.values():
            continue
        close = get_close_matches(attribute, HOOK_OF_STAGE.values(), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        registry.problems.append(Problem(package, version, point, f"there is no hook '{attribute}'{hint}"))


def _collect(
    manager: pluggy.PluginManager, stage: str, hook_name: str, owners: dict[str, tuple[str, str]], registry: Plugins
) -> None:
    # One implementation at a time: pluggy's own call would stop all of them at the first that raises.
    for implementation in getattr(manager.hook, hook_name).get_hookimpls():
        package, version = owners[implementation.plugin_name]
        try:
            with redirect_stdout(sys.stderr):
                for description in implementation.function():
                    if not isinstance(description, KIND_OF_STAGE[stage]):
                        raise TypeError(f"{hook_name} yielded {description!r}, which is no {NOUN_OF_STAGE[stage]}")
                    registry.plugins.append(Registered(description, package, version))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            point = implementation.plugin_name.partition(":")[2]
            registry.problems.append(Problem(package, version, point, _reason(error)))


@cache
def registry() -> Plugins:
    """Return the plugins of this installation, loaded once."""
    return build_registry(entry_points(group=ENTRY_POINT_GROUP))
