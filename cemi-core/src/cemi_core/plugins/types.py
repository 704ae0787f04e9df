"""Descriptions that hooks return: a name, a sentence, settings, and how to make the thing.

``settings`` and ``factory`` may be strings of the form ``"package.module:Name"``, so that describing a plugin imports
nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Literal


def load_object(reference: Any) -> Any:
    """Return the object that ``"package.module:Name"`` names; anything but a string is returned as it is."""
    if not isinstance(reference, str):
        return reference
    module_name, _, attribute = reference.partition(":")
    return getattr(import_module(module_name), attribute)


def _settings_model(settings: str | type | None) -> type:
    if settings is None:
        from cemi_core.model.settings import Settings

        return Settings
    model: type = load_object(settings)
    return model


def owner_of(made: Any) -> str:
    """Return words for an object that a plugin made, for a message: its class and the package that it came from."""
    return f"{type(made).__name__} of {type(made).__module__.partition('.')[0]}"


@dataclass(frozen=True)
class Plugin:
    """What every stage plugin says about itself.

    Attributes
    ----------
    name : str
        The word in the recipe: lower case, dashes, such as ``"lamella-width"``.
    summary : str
        One sentence for ``cemi plugins``.
    settings : str or type or None
        A pydantic model derived from `cemi_core.model.settings.Settings`, or where to find it; None for no settings.
    factory : str or callable
        ``factory(settings, runtime)`` makes the object; or where to find it.
    """

    stage: ClassVar[str] = ""

    name: str
    summary: str
    factory: str | Callable[..., Any]
    settings: str | type | None = None

    def load_settings(self) -> type:
        """Return the settings model."""
        return _settings_model(self.settings)

    def load_factory(self) -> Callable[..., Any]:
        """Return the factory."""
        factory: Callable[..., Any] = load_object(self.factory)
        return factory


@dataclass(frozen=True)
class SourcePlugin(Plugin):
    """Frames from somewhere: ``factory(settings, runtime) -> FrameSource``."""

    stage: ClassVar[str] = "source"


@dataclass(frozen=True)
class DenoiserPlugin(Plugin):
    """``factory(settings, runtime) -> Denoiser``."""

    stage: ClassVar[str] = "denoise"


@dataclass(frozen=True)
class StitcherPlugin(Plugin):
    """``factory(settings, runtime) -> Stitcher``."""

    stage: ClassVar[str] = "stitch"


@dataclass(frozen=True)
class AnalyzerPlugin(Plugin):
    """``factory(settings, runtime) -> Analyzer``."""

    stage: ClassVar[str] = "analyze"


@dataclass(frozen=True)
class RelationPlugin(Plugin):
    """``factory(settings, runtime) -> RelationMethod``."""

    stage: ClassVar[str] = "relate"


@dataclass(frozen=True)
class ExporterPlugin(Plugin):
    """``factory(settings, runtime)`` returns ``export(mosaic, path, progress)``; ``suffix`` names the output file."""

    stage: ClassVar[str] = "export"
    suffix: str = ""


@dataclass(frozen=True)
class MetricPlugin(Plugin):
    """How near a picture comes to a better one of the same field.

    ``factory(settings, runtime)`` returns ``metric(image, reference) -> float`` on float pictures (h, w) in [0, 1];
    settings are those it has by default. A factory whose weights or packages are missing raises `CemiError`, and the
    metric is left out.

    Attributes
    ----------
    label : str
        Head of its column, with the unit: ``"PSNR (dB)"``.
    better : str
        What is better: ``"higher"``, ``"lower"``, or ``"1"`` for a ratio.
    """

    stage: ClassVar[str] = "metric"
    label: str = ""
    better: Literal["higher", "lower", "1"] = "lower"


@dataclass(frozen=True)
class ReportPlugin(Plugin):
    """How a finished run is told to people: ``factory(settings, runtime) -> Reporter``."""

    stage: ClassVar[str] = "report"


@dataclass(frozen=True)
class TrainingPlugin(Plugin):
    """A training, ``cemi train NAME RECIPE``: ``factory(settings, runtime) -> TrainingJob``.

    ``settings`` is the model of the YAML file that the command reads.
    """

    stage: ClassVar[str] = "train"


@dataclass(frozen=True)
class SpecimenPlugin(Plugin):
    """A made specimen with its truth: ``factory(settings, runtime) -> Specimen``; the seed is that of ``runtime``.

    Its settings derive from `cemi_core.model.specimen.SpecimenSettings`.
    """

    stage: ClassVar[str] = "specimen"


@dataclass(frozen=True)
class CommandPlugin:
    """A subcommand of ``cemi``.

    Attributes
    ----------
    name : str
        The word after ``cemi``, or two, such as ``"train denoiser"``: packages share the first and differ in the
        second.
    summary : str
        One sentence for ``cemi --help``.
    command : str or click.Command
        The command, or where to find it.
    settings : str or type or None
        The model of the YAML file that the command reads, if it reads one, or where to find it.
    """

    stage: ClassVar[str] = "command"

    name: str
    summary: str
    command: str | Any
    settings: str | type | None = None

    def load_settings(self) -> type:
        """Return the model of the file that the command reads."""
        return _settings_model(self.settings)
