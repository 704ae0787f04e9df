"""Descriptions that hooks return: a name, a sentence, settings, and how to make the thing.

``settings`` and ``factory`` may be strings of the form ``"package.module:Name"``, so that describing a plugin imports
nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, Union, cast

from cemi_core.errors import PluginError

if TYPE_CHECKING:  # the contracts that the classes below name as text, since NumPy is not imported here
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from cemi_core.model.abilities import (
        AnalyzerAbilities,
        DenoiserAbilities,
        RelationAbilities,
        SourceAbilities,
        StitcherAbilities,
    )
    from cemi_core.model.encoder import Encoder  # noqa: F401
    from cemi_core.model.finished_run import Reporter  # noqa: F401
    from cemi_core.model.frame import FrameSource, StreamSource  # noqa: F401
    from cemi_core.model.specimen import Specimen  # noqa: F401
    from cemi_core.model.stages import Analyzer, Denoiser, RelationMethod, Stitcher  # noqa: F401
    from cemi_core.model.training import TrainingJob  # noqa: F401

    Exporter = Callable[..., object]
    Metric = Callable[[NDArray[np.float32], NDArray[np.float32]], float]

#: The contract that plugins are written for; a registration module states it as its own ``PLUGIN_API``.
PLUGIN_API = 2

Product = TypeVar("Product", covariant=True)
Can = TypeVar("Can")
#: What a plugin with these settings can do: the answer itself, a function of the settings, or where to find one.
Declared = Union[Can, Callable[[Any], Can], str]


def load_object(reference: Any) -> Any:
    """Return the object that ``"package.module:Name"`` names; anything but a string is returned as it is."""
    if not isinstance(reference, str):
        return reference
    module_name, _, attribute = reference.partition(":")
    return getattr(import_module(module_name), attribute)


def _settings_model(settings: str | type | None) -> type[BaseModel]:
    if settings is None:
        from cemi_core.model.settings import Settings

        return Settings
    model: type[BaseModel] = load_object(settings)
    return model


def owner_of(made: Any) -> str:
    """Return words for an object that a plugin made, for a message: its class and the package that it came from."""
    return f"{type(made).__name__} of {type(made).__module__.partition('.')[0]}"


def methods_of(contract: type) -> str:
    """Return the names of what a protocol asks for, for a message."""
    return " and ".join(sorted(name for name in vars(contract) if not name.startswith("_")))


@dataclass(frozen=True)
class Plugin(Generic[Product]):
    """What every stage plugin says about itself.

    Attributes
    ----------
    name : str
        The word in the recipe: lower case, dashes, such as ``"lamella-width"``.
    summary : str
        One sentence for ``cemi plugins``.
    factory : str or callable
        ``factory(settings, runtime)`` makes the object; or where to find it. It is cheap: it opens no file, reads no
        weights and imports no torch. What the work needs is tried in `cemi_core.model.stages.Prepares`.
    settings : str or type or None
        A pydantic model derived from `cemi_core.model.settings.Settings`, or where to find it; None for no settings.
    abilities : object, callable or str, optional
        What it can do beyond its contract: the abilities of its stage (`cemi_core.model.abilities`), a function of the
        checked settings that returns them, or where to find either. Stages without abilities ignore it.
    """

    stage: ClassVar[str] = ""

    name: str
    summary: str
    factory: str | Callable[..., Product]
    settings: str | type | None = None
    abilities: Declared[object] | None = None

    def load_settings(self) -> type[BaseModel]:
        """Return the settings model."""
        return _settings_model(self.settings)

    def load_factory(self) -> Callable[..., Product]:
        """Return the factory."""
        factory: Callable[..., Product] = load_object(self.factory)
        return factory


def declared(abilities: Declared[object] | None, kind: type[Can], settings: object, name: str) -> Can:
    """Return what a description says that its plugin can do with these settings.

    Raises
    ------
    PluginError
        What it says is not of the kind that its stage has.
    """
    if abilities is None:
        return kind()
    found = load_object(abilities)
    if not isinstance(found, kind):
        found = cast("Callable[[object], Can]", found)(settings)
    if not isinstance(found, kind):
        raise PluginError(f"'{name}' declares its abilities as {type(found).__name__}, not as {kind.__name__}")
    return found


class SourcePlugin(Plugin["FrameSource | StreamSource"]):
    """Frames from somewhere: ``factory(settings, runtime) -> FrameSource`` or ``StreamSource``."""

    stage: ClassVar[str] = "source"

    def abilities_of(self, settings: object) -> SourceAbilities:
        """Return what it can do with these settings."""
        from cemi_core.model.abilities import SourceAbilities

        return declared(self.abilities, SourceAbilities, settings, self.name)


class DenoiserPlugin(Plugin["Denoiser"]):
    """``factory(settings, runtime) -> Denoiser``; ``abilities``: `DenoiserAbilities`, or a function of the settings."""

    stage: ClassVar[str] = "denoise"

    def abilities_of(self, settings: object) -> DenoiserAbilities:
        """Return what it can do with these settings."""
        from cemi_core.model.abilities import DenoiserAbilities

        return declared(self.abilities, DenoiserAbilities, settings, self.name)


class StitcherPlugin(Plugin["Stitcher"]):
    """``factory(settings, runtime) -> Stitcher``; ``abilities``: `StitcherAbilities`, or a function of the settings."""

    stage: ClassVar[str] = "stitch"

    def abilities_of(self, settings: object) -> StitcherAbilities:
        """Return what it can do with these settings."""
        from cemi_core.model.abilities import StitcherAbilities

        return declared(self.abilities, StitcherAbilities, settings, self.name)


class AnalyzerPlugin(Plugin["Analyzer"]):
    """``factory(settings, runtime) -> Analyzer``; ``abilities``: `AnalyzerAbilities`, or a function of the settings."""

    stage: ClassVar[str] = "analyze"

    def abilities_of(self, settings: object) -> AnalyzerAbilities:
        """Return what it can do with these settings."""
        from cemi_core.model.abilities import AnalyzerAbilities

        return declared(self.abilities, AnalyzerAbilities, settings, self.name)


class RelationPlugin(Plugin["RelationMethod"]):
    """``factory(settings, runtime) -> RelationMethod``; ``abilities``: `RelationAbilities`, or a function."""

    stage: ClassVar[str] = "relate"

    def abilities_of(self, settings: object) -> RelationAbilities:
        """Return what it can do with these settings."""
        from cemi_core.model.abilities import RelationAbilities

        return declared(self.abilities, RelationAbilities, settings, self.name)


@dataclass(frozen=True)
class ExporterPlugin(Plugin["Exporter"]):
    """``factory(settings, runtime)`` returns what writes a file for other programs.

    Attributes
    ----------
    suffix : str
        Ending of the output file.
    takes : {"mosaic", "objects", "layer"}
        What it writes, and how it is called: ``export(mosaic, path, progress)``, ``export(objects, path, mosaic,
        progress)``, or ``export(layer, spec, path, mosaic, progress)`` with the layer and its `LayerSpec`.
    channels : {"one", "several", "colour"}
        What a file of the format holds: one mosaic, any number of channels, or one mosaic or red, green and blue. Where
        it is more than one, the exporter is an `cemi_core.model.stages.ExportsChannels` too.
    """

    stage: ClassVar[str] = "export"
    suffix: str = ""
    takes: Literal["mosaic", "objects", "layer"] = "mosaic"
    channels: Literal["one", "several", "colour"] = "one"


@dataclass(frozen=True)
class MetricPlugin(Plugin["Metric"]):
    """How near an image comes to a better one of the same field.

    ``factory(settings, runtime)`` returns ``metric(image, reference) -> float`` on float images (h, w) in [0, 1];
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


class ReportPlugin(Plugin["Reporter"]):
    """How a finished run is told to people: ``factory(settings, runtime) -> Reporter``."""

    stage: ClassVar[str] = "report"


class TrainingPlugin(Plugin["TrainingJob"]):
    """A training, ``cemi train NAME RECIPE``: ``factory(settings, runtime) -> TrainingJob``.

    ``settings`` is the model of the YAML file that the command reads.
    """

    stage: ClassVar[str] = "train"


class SpecimenPlugin(Plugin["Specimen"]):
    """A made specimen with its truth: ``factory(settings, runtime) -> Specimen``; the seed is that of ``runtime``.

    Its settings derive from `cemi_core.model.specimen.SpecimenSettings`.
    """

    stage: ClassVar[str] = "specimen"


class EncoderPlugin(Plugin["Encoder"]):
    """A backbone for networks: ``factory(settings, runtime) -> Encoder``.

    In a recipe ``NAME`` picks it, or ``NAME:WHICH`` where it stands for a family, such as ``smp:resnet34``: then its
    settings have a field ``which``.
    """

    stage: ClassVar[str] = "encoder"


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
    command: str | object
    settings: str | type | None = None

    def load_settings(self) -> type[BaseModel]:
        """Return the model of the file that the command reads."""
        return _settings_model(self.settings)
