"""Registers the stitcher ``opencv``; imports neither OpenCV nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import StitcherPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_stitchers() -> Iterable[StitcherPlugin]:
    """Yield the stitcher of this package."""
    yield StitcherPlugin(
        "opencv",
        "Places overlapping frames with OpenCV's stitching pipeline for scans: features, affine matches, bundle.",
        factory="cemi_stitch_opencv.stitcher:make_opencv",
        settings="cemi_stitch_opencv.settings:OpencvSettings",
        abilities="cemi_stitch.settings:PREPARES",
    )
