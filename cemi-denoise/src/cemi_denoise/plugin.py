"""Registers the denoisers; imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import DenoiserPlugin, hookimpl


@hookimpl
def cemi_denoisers() -> Iterable[DenoiserPlugin]:
    """Yield the classical filters."""
    yield DenoiserPlugin(
        "gaussian",
        "Gaussian blur: the fastest, blurs edges.",
        factory="cemi_denoise.gaussian:make",
        settings="cemi_denoise.gaussian:GaussianSettings",
    )
    yield DenoiserPlugin(
        "median",
        "Median of a small square: takes out single bright or dark pixels.",
        factory="cemi_denoise.median:make",
        settings="cemi_denoise.median:MedianSettings",
    )
    yield DenoiserPlugin(
        "wiener",
        "Adaptive Wiener filter: smooths flat places, leaves edges; fast.",
        factory="cemi_denoise.wiener:make",
        settings="cemi_denoise.wiener:WienerSettings",
    )
    yield DenoiserPlugin(
        "tv",
        "Total variation: flat regions with sharp borders.",
        factory="cemi_denoise.total_variation:make",
        settings="cemi_denoise.total_variation:TvSettings",
    )
    yield DenoiserPlugin(
        "nlm",
        "Non-local means: averages places nearby that look alike; keeps fine detail, the slowest.",
        factory="cemi_denoise.nonlocal_means:make",
        settings="cemi_denoise.nonlocal_means:NlmSettings",
    )
