"""Registers the built-in sources."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import SourcePlugin, hookimpl


@hookimpl
def cemi_sources() -> Iterable[SourcePlugin]:
    """Yield the sources that come with cemi-core."""
    yield SourcePlugin(
        "images",
        "A folder, a pattern or a list of TIFF, PNG or JPEG stills.",
        factory="cemi_core.sources.images:make",
        settings="cemi_core.sources.images:ImagesSettings",
    )
    yield SourcePlugin(
        "video",
        "Screen recordings of a moving stage, one file per pass; keeps whole scans only.",
        factory="cemi_core.sources.video:make",
        settings="cemi_core.sources.video:VideoSettings",
    )
    yield SourcePlugin(
        "array",
        "A stack of frames in a NumPy file.",
        factory="cemi_core.sources.array:make",
        settings="cemi_core.sources.array:ArraySettings",
    )
