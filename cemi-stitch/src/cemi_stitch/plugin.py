"""Registers the stitchers ``kornia`` and ``separate``; imports neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import StitcherPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_stitchers() -> Iterable[StitcherPlugin]:
    """Yield the stitchers of this package."""
    yield StitcherPlugin(
        "kornia",
        "Places overlapping frames by normalised cross-correlation (torch, CPU or GPU) and one robust global solve.",
        factory="cemi_stitch.stitcher:make_kornia",
        settings="cemi_stitch.settings:KorniaSettings",
        abilities="cemi_stitch.settings:abilities",
    )
    yield StitcherPlugin(
        "separate",
        "Joins nothing: each image stands alone, and the mosaic shows them side by side.",
        factory="cemi_stitch.separate:make",
        settings="cemi_stitch.separate:SeparateSettings",
        abilities="cemi_stitch.settings:STANDS_ALONE",
    )
