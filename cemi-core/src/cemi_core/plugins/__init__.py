"""The plugin frame: descriptions, hook specifications and the manager. Import-light: neither NumPy nor pydantic."""

from cemi_core.plugins.hookspecs import hookimpl
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

__all__ = [
    "AnalyzerPlugin",
    "CommandPlugin",
    "DenoiserPlugin",
    "EncoderPlugin",
    "ExporterPlugin",
    "MetricPlugin",
    "RelationPlugin",
    "ReportPlugin",
    "SourcePlugin",
    "SpecimenPlugin",
    "StitcherPlugin",
    "TrainingPlugin",
    "hookimpl",
]
