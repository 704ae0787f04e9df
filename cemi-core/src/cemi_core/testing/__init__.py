"""Test kits, one class per stage, that a plugin author subclasses; the built-in plugins pass the same ones."""

from typing import Any

from cemi_core.renamed import old_name
from cemi_core.testing.kits import (
    AnalyzerTests,
    DenoiserTests,
    Kit,
    RelationTests,
    SourceTests,
    StitcherTests,
    make_plugin,
)
from cemi_core.testing.samples import Tiles, cut_tiles, striped_image, textured_image
from cemi_core.testing.specimen_kits import SpecimenTests

__all__ = [
    "AnalyzerTests",
    "DenoiserTests",
    "Kit",
    "RelationTests",
    "SourceTests",
    "SpecimenTests",
    "StitcherTests",
    "Tiles",
    "cut_tiles",
    "make_plugin",
    "striped_image",
    "textured_image",
]


def __getattr__(name: str) -> Any:
    return old_name(__name__, name)
