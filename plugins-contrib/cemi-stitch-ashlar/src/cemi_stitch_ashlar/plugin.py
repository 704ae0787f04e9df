"""Registers the stitcher ``ashlar``; imports neither ASHLAR nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import StitcherPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_stitchers() -> Iterable[StitcherPlugin]:
    """Yield the stitcher of this package."""
    yield StitcherPlugin(
        "ashlar",
        "Places overlapping frames with ASHLAR: phase correlation, permutation threshold, spanning tree, stage model.",
        factory="cemi_stitch_ashlar.stitcher:make_ashlar",
        settings="cemi_stitch_ashlar.settings:AshlarSettings",
        abilities="cemi_stitch.settings:PREPARES",
    )
