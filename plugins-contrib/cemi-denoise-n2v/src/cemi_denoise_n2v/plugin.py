"""Registers the denoiser ``n2v``; imports neither PyTorch nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import DenoiserPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_denoisers() -> Iterable[DenoiserPlugin]:
    """Yield the denoiser of this package."""
    yield DenoiserPlugin(
        "n2v",
        "Noise2Void: a small network learns from your noisy frames alone, with masks along the scan line.",
        factory="cemi_denoise_n2v.denoiser:make",
        settings="cemi_denoise_n2v.settings:N2vSettings",
        abilities="cemi_denoise_n2v.settings:abilities",
    )
