"""What this package offers; names only, so that listing plugins imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import AnalyzerPlugin, RelationPlugin, TrainingPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_analyzers() -> Iterable[AnalyzerPlugin]:
    """Yield the analyzers of this package."""
    yield AnalyzerPlugin(
        "phase-fraction",
        "Shares of two to four phases that differ in grey level, with intervals that hold sampling and method.",
        factory="cemi_analyze.phases.choice:make",
        settings="cemi_analyze.phases.settings:PhaseFractionSettings",
        abilities="cemi_analyze.phases.choice:abilities",
    )
    yield AnalyzerPlugin(
        "bcc-fraction",
        "Share of the dark (or bright) phase of a eutectic alloy: 'phase-fraction' with a map 'bcc_fraction'.",
        factory="cemi_analyze.phases.choice:make_bcc",
        settings="cemi_analyze.phases.settings:BccFractionSettings",
        abilities="cemi_analyze.phases.choice:abilities",
    )
    yield AnalyzerPlugin(
        "lamella-width",
        "Lamella spacing (one period) and the widths of the two phases.",
        factory="cemi_analyze.lamellae.width:make",
        settings="cemi_analyze.lamellae.width:LamellaWidthSettings",
    )
    yield AnalyzerPlugin(
        "lamella-fraction",
        "Share of the area that is regular lamellae, by a trained network, or by the coherency of their direction.",
        factory="cemi_analyze.lamellae.choice:make",
        settings="cemi_analyze.lamellae.choice:LamellaSettings",
        abilities="cemi_analyze.lamellae.choice:abilities",
    )
    yield AnalyzerPlugin(
        "sr-phase",
        "Share of a phase that runs from none to all over the specimen, by one threshold for the whole mosaic.",
        factory="cemi_analyze.phases.gradient:make",
        settings="cemi_analyze.phases.gradient:SrPhaseSettings",
    )
    yield AnalyzerPlugin(
        "regions",
        "Regions darker or brighter than a grey level, one by one: number, sizes, outlines, share of the area.",
        factory="cemi_analyze.objects.regions:make",
        settings="cemi_analyze.objects.regions:RegionsSettings",
        abilities="cemi_analyze.objects.regions:abilities",
    )
    yield AnalyzerPlugin(
        "two-point",
        "Correlation lengths and mean chords of two phases, along x, y and in all directions; two-point functions.",
        factory="cemi_analyze.texture.two_point:make",
        settings="cemi_analyze.texture.two_point:TwoPointSettings",
    )
    yield AnalyzerPlugin(
        "descriptors",
        "Texture of each cell in numbers: grey-level co-occurrence, local binary patterns, spectrum, anisotropy.",
        factory="cemi_analyze.texture.descriptors:make",
        settings="cemi_analyze.texture.descriptors:DescriptorsSettings",
    )
    yield AnalyzerPlugin(
        "focus",
        "Blur of each cell beyond that of the others; cells out of focus can be left out by all other analyzers.",
        factory="cemi_analyze.texture.focus:make",
        settings="cemi_analyze.texture.focus:FocusSettings",
        abilities="cemi_analyze.texture.focus:ABILITIES",
    )
    yield AnalyzerPlugin(
        "ensemble",
        "How much the choice of the method matters: median and disagreement of several analyzers of one quantity.",
        factory="cemi_analyze.ensemble:make",
        settings="cemi_analyze.ensemble:EnsembleSettings",
        abilities="cemi_analyze.ensemble:ABILITIES",
    )
    yield AnalyzerPlugin(
        "segment",
        "A class for each pixel by a network that you trained: shares, masks, probabilities, regions one by one.",
        factory="cemi_analyze.segment.analyzer:make",
        settings="cemi_analyze.segment.analyzer:SegmentSettings",
        abilities="cemi_analyze.segment.analyzer:abilities",
    )


@hookimpl
def cemi_relations() -> Iterable[RelationPlugin]:
    """Yield the relations of this package."""
    yield RelationPlugin(
        "pearson",
        "Correlation of each quantity, and of several together, with a property; allows for smoothness and scatter.",
        factory="cemi_analyze.relation.pearson:make",
        settings="cemi_analyze.relation.pearson:PearsonSettings",
        abilities="cemi_analyze.relation.pearson:ABILITIES",
    )
    yield RelationPlugin(
        "linear",
        "Predicts a property by straight lines in several quantities, with intervals that hold, or says it cannot.",
        factory="cemi_analyze.relation.prediction:make_linear",
        settings="cemi_analyze.relation.prediction:LinearSettings",
        abilities="cemi_analyze.relation.prediction:ABILITIES",
    )
    yield RelationPlugin(
        "forest",
        "Predicts a property by a random forest of several quantities, with intervals that hold, or says it cannot.",
        factory="cemi_analyze.relation.prediction:make_forest",
        settings="cemi_analyze.relation.prediction:ForestSettings",
        abilities="cemi_analyze.relation.prediction:ABILITIES",
    )
    yield RelationPlugin(
        "groups",
        "Compares classes of images that stand alone: Kruskal-Wallis by permutation, and the mean of each class.",
        factory="cemi_analyze.relation.groups:make",
        settings="cemi_analyze.relation.groups:GroupsSettings",
        abilities="cemi_analyze.relation.groups:ABILITIES",
    )


@hookimpl
def cemi_trainings() -> Iterable[TrainingPlugin]:
    """Yield the training of segmenters."""
    yield TrainingPlugin(
        "segmenter",
        "Train a network that gives every pixel a class, on your labels or on made specimens.",
        factory="cemi_analyze.train.job:make",
        settings="cemi_analyze.train.recipe:SegmenterRecipe",
    )
