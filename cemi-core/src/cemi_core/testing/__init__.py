"""Test kits, one class per stage, that a plugin author subclasses; the built-in plugins pass the same ones."""

from cemi_core.testing.kits import (
    AnalyzerTests,
    DenoiserTests,
    ExporterTests,
    RelationTests,
    SourceTests,
    StitcherTests,
    make_plugin,
)
from cemi_core.testing.recipe_kits import StitcherRecipeTests
from cemi_core.testing.samples import Tiles, cut_tiles, striped_image, textured_image
from cemi_core.testing.specimen_kits import SpecimenTests

__all__ = [
    "AnalyzerTests",
    "DenoiserTests",
    "ExporterTests",
    "RelationTests",
    "SourceTests",
    "SpecimenTests",
    "StitcherRecipeTests",
    "StitcherTests",
    "Tiles",
    "cut_tiles",
    "make_plugin",
    "striped_image",
    "textured_image",
]
