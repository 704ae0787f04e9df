"""The hooks of CEMI. Each yields descriptions; none of them does the work."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from cemi_core.plugins.types import (
    AnalyzerPlugin,
    CommandPlugin,
    DenoiserPlugin,
    EncoderPlugin,
    ExporterPlugin,
    MetricPlugin,
    RelationPlugin,
    ReportPlugin,
    SourcePlugin,
    SpecimenPlugin,
    StitcherPlugin,
    TrainingPlugin,
)

hookspec = pluggy.HookspecMarker("cemi")
#: Marks a function of a registration module as an implementation of one of the hooks below.
hookimpl = pluggy.HookimplMarker("cemi")


@hookspec
def cemi_sources() -> Iterable[SourcePlugin]:  # type: ignore[empty-body]
    """Yield sources of frames.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_sources():
    ...     yield SourcePlugin("blank", "Black frames.", factory="my_package.blank:make")
    """


@hookspec
def cemi_denoisers() -> Iterable[DenoiserPlugin]:  # type: ignore[empty-body]
    """Yield denoisers.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_denoisers():
    ...     yield DenoiserPlugin("nothing", "Leaves the noise in.", factory="my_package.nothing:make")
    """


@hookspec
def cemi_stitchers() -> Iterable[StitcherPlugin]:  # type: ignore[empty-body]
    """Yield stitchers.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_stitchers():
    ...     yield StitcherPlugin("row", "Puts frames side by side.", factory="my_package.row:make")
    """


@hookspec
def cemi_analyzers() -> Iterable[AnalyzerPlugin]:  # type: ignore[empty-body]
    """Yield analyzers.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_analyzers():
    ...     yield AnalyzerPlugin("mean-grey", "Mean grey level.", factory="my_package.grey:make")
    """


@hookspec
def cemi_relations() -> Iterable[RelationPlugin]:  # type: ignore[empty-body]
    """Yield methods that relate profiles to a measured property.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_relations():
    ...     yield RelationPlugin("spearman", "Rank correlation.", factory="my_package.rank:make")
    """


@hookspec
def cemi_metrics() -> Iterable[MetricPlugin]:  # type: ignore[empty-body]
    """Yield metrics that compare a picture with a better one of the same field (``cemi denoise --against``).

    Examples
    --------
    >>> @hookimpl
    ... def cemi_metrics():
    ...     yield MetricPlugin("mean-error", "Mean error.", factory="my_package.error:make", label="error")
    """


@hookspec
def cemi_exporters() -> Iterable[ExporterPlugin]:  # type: ignore[empty-body]
    """Yield export formats for mosaics.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_exporters():
    ...     yield ExporterPlugin("raw", "Plain bytes.", factory="my_package.raw:make", suffix=".raw")
    """


@hookspec
def cemi_reports() -> Iterable[ReportPlugin]:  # type: ignore[empty-body]
    """Yield ways to tell people what a finished run has found.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_reports():
    ...     yield ReportPlugin("text", "One page of plain text.", factory="my_package.text:make")
    """


@hookspec
def cemi_trainings() -> Iterable[TrainingPlugin]:  # type: ignore[empty-body]
    """Yield trainings of networks: each becomes a command ``cemi train NAME``.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_trainings():
    ...     yield TrainingPlugin("grains", "Train on annotated grains.", factory="my_package.train:make")
    """


@hookspec
def cemi_specimens() -> Iterable[SpecimenPlugin]:  # type: ignore[empty-body]
    """Yield made specimens with their exact truth.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_specimens():
    ...     yield SpecimenPlugin("chessboard", "Squares of two phases.", factory="my_package.chess:make")
    """


@hookspec
def cemi_commands() -> Iterable[CommandPlugin]:  # type: ignore[empty-body]
    """Yield subcommands of ``cemi``; a name of two words shares its first with those of other packages.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_commands():
    ...     yield CommandPlugin("hello", "Say hello.", command="my_package.cli:hello")
    """


@hookspec
def cemi_encoders() -> Iterable[EncoderPlugin]:  # type: ignore[empty-body]
    """Yield backbones that networks are built on, with where their weights come from.

    Examples
    --------
    >>> @hookimpl
    ... def cemi_encoders():
    ...     yield EncoderPlugin("tiny", "Three convolutions.", factory="my_package.tiny:make")
    """
