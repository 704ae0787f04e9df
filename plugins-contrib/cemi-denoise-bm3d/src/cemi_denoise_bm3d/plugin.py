"""Registers the denoiser ``bm3d``; imports neither BM3D nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import DenoiserPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_denoisers() -> Iterable[DenoiserPlugin]:
    """Yield the denoiser of this package."""
    yield DenoiserPlugin(
        "bm3d",
        "BM3D: groups of similar squares are filtered together; non-commercial licence, slow.",
        factory="cemi_denoise_bm3d.denoiser:make",
        settings="cemi_denoise_bm3d.denoiser:Bm3dSettings",
        abilities="cemi_denoise.denoisers.abilities:JUDGES_AND_PREPARES",
    )
