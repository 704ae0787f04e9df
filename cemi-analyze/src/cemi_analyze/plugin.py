"""What this package offers; names only, so that listing plugins imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import AnalyzerPlugin, RelationPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_analyzers() -> Iterable[AnalyzerPlugin]:
    """Yield the analyzers of this package."""
    yield AnalyzerPlugin(
        "bcc-fraction",
        "Share of the dark (or bright) phase, with an interval from blocks.",
        factory="cemi_analyze.phase_fraction:make",
        settings="cemi_analyze.phase_fraction:BccFractionSettings",
    )
    yield AnalyzerPlugin(
        "lamella-width",
        "Lamella spacing (one period) and the widths of the two phases.",
        factory="cemi_analyze.lamella_width:make",
        settings="cemi_analyze.lamella_width:LamellaWidthSettings",
    )
    yield AnalyzerPlugin(
        "lamella-fraction",
        "Share of the area that is regular lamellae, by the coherency of their orientation.",
        factory="cemi_analyze.lamella_fraction:make",
        settings="cemi_analyze.lamella_fraction:LamellaFractionSettings",
    )
    yield AnalyzerPlugin(
        "sr-phase",
        "Share of a phase that runs from none to all over the specimen, by one threshold for the whole mosaic.",
        factory="cemi_analyze.sr_phase:make",
        settings="cemi_analyze.sr_phase:SrPhaseSettings",
    )
    yield AnalyzerPlugin(
        "regions",
        "Regions darker or brighter than a grey level, one by one: number, sizes, outlines, share of the area.",
        factory="cemi_analyze.regions:make",
        settings="cemi_analyze.regions:RegionsSettings",
        abilities="cemi_analyze.regions:abilities",
    )


@hookimpl
def cemi_relations() -> Iterable[RelationPlugin]:
    """Yield the relations of this package."""
    yield RelationPlugin(
        "pearson",
        "Pearson's r between profiles and a property, with the effective sample size.",
        factory="cemi_analyze.relate:make",
        settings="cemi_analyze.relate:PearsonSettings",
    )
    yield RelationPlugin(
        "groups",
        "Compares classes of images that stand alone: Kruskal-Wallis by permutation, and the mean of each class.",
        factory="cemi_analyze.relate_groups:make",
        settings="cemi_analyze.relate_groups:GroupsSettings",
        abilities="cemi_analyze.relate_groups:ABILITIES",
    )
