"""Test kits that need a run: of exporters, and of a stitcher in a whole recipe."""

from cemi_run.testing.exporter_kit import ExporterTests
from cemi_run.testing.recipe_kits import StitcherRecipeTests

__all__ = ["ExporterTests", "StitcherRecipeTests"]
