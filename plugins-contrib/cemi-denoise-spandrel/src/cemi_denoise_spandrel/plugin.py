"""Registers the denoiser ``spandrel``; imports neither spandrel nor PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import DenoiserPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_denoisers() -> Iterable[DenoiserPlugin]:
    """Yield the denoiser of this package."""
    yield DenoiserPlugin(
        "spandrel",
        "A network from any model file that spandrel recognises: DnCNN, DRUNet, SCUNet, NAFNet, Restormer and others.",
        factory="cemi_denoise_spandrel.denoiser:make",
        settings="cemi_denoise_spandrel.settings:SpandrelSettings",
        abilities="cemi_denoise.denoisers.abilities:JUDGES_AND_PREPARES",
    )
