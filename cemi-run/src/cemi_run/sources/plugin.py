"""Registers the built-in sources."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import SourcePlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_sources() -> Iterable[SourcePlugin]:
    """Yield the sources that come with cemi-run."""
    yield SourcePlugin(
        "images",
        "A folder, a pattern or a list of TIFF, PNG or JPEG stills.",
        factory="cemi_run.sources.images:make",
        settings="cemi_run.sources.images:ImagesSettings",
    )
    yield SourcePlugin(
        "video",
        "Screen recordings of a moving stage, one file per pass; keeps whole scans only.",
        factory="cemi_run.sources.video.source:make",
        settings="cemi_run.sources.video.source:VideoSettings",
    )
    yield SourcePlugin(
        "array",
        "A stack of frames in a NumPy file.",
        factory="cemi_run.sources.array:make",
        settings="cemi_run.sources.array:ArraySettings",
    )
    yield SourcePlugin(
        "run",
        "The frames of a finished run, raw, in the order in which it kept them.",
        factory="cemi_run.jobs.run_source:make",
        settings="cemi_run.jobs.run_source:RunSettings",
    )
