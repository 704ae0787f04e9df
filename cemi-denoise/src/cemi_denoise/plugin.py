"""Registers the denoisers; imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import DenoiserPlugin, MetricPlugin, TrainingPlugin, hookimpl

PLUGIN_API = 2
_JUDGES = "cemi_denoise.denoisers.abilities:JUDGES"


@hookimpl
def cemi_denoisers() -> Iterable[DenoiserPlugin]:
    """Yield the classical filters."""
    yield DenoiserPlugin(
        "gaussian",
        "Gaussian blur: the fastest, blurs edges.",
        factory="cemi_denoise.denoisers.gaussian:make",
        settings="cemi_denoise.denoisers.gaussian:GaussianSettings",
        abilities=_JUDGES,
    )
    yield DenoiserPlugin(
        "median",
        "Median of a small square: takes out single bright or dark pixels.",
        factory="cemi_denoise.denoisers.median:make",
        settings="cemi_denoise.denoisers.median:MedianSettings",
        abilities=_JUDGES,
    )
    yield DenoiserPlugin(
        "wiener",
        "Adaptive Wiener filter: smooths flat places, leaves edges; fast.",
        factory="cemi_denoise.denoisers.wiener:make",
        settings="cemi_denoise.denoisers.wiener:WienerSettings",
        abilities=_JUDGES,
    )
    yield DenoiserPlugin(
        "tv",
        "Total variation: flat regions with sharp borders.",
        factory="cemi_denoise.denoisers.total_variation:make",
        settings="cemi_denoise.denoisers.total_variation:TvSettings",
        abilities=_JUDGES,
    )
    yield DenoiserPlugin(
        "nlm",
        "Non-local means: averages places nearby that look alike; keeps fine detail, the slowest.",
        factory="cemi_denoise.denoisers.nonlocal_means:make",
        settings="cemi_denoise.denoisers.nonlocal_means:NlmSettings",
        abilities=_JUDGES,
    )
    yield DenoiserPlugin(
        "onnx",
        "A network from an ONNX file; needs the extra 'onnx'.",
        factory="cemi_denoise.denoisers.onnx_file:make",
        settings="cemi_denoise.denoisers.onnx_file:OnnxSettings",
        abilities="cemi_denoise.denoisers.abilities:JUDGES_AND_PREPARES",
    )
    yield DenoiserPlugin(
        "semnet",
        "Network trained for the least error: the best grey levels, a little too smooth; 0.5 s per megapixel.",
        factory="cemi_denoise.denoisers.neural:make_semnet",
        settings="cemi_denoise.denoisers.neural:SemnetSettings",
        abilities="cemi_denoise.denoisers.neural:abilities",
    )
    yield DenoiserPlugin(
        "semgan",
        "Network trained to look like a slow scan: sharper than semnet; check it for invention.",
        factory="cemi_denoise.denoisers.neural:make_semgan",
        settings="cemi_denoise.denoisers.neural:SemganSettings",
        abilities="cemi_denoise.denoisers.neural:abilities",
    )


@hookimpl
def cemi_metrics() -> Iterable[MetricPlugin]:
    """Yield what a denoised picture is measured by."""
    yield MetricPlugin(
        "psnr",
        "Peak signal-to-noise ratio: how far the grey levels lie apart.",
        factory="cemi_denoise.judge.metrics:make_psnr",
        label="PSNR (dB)",
        better="higher",
    )
    yield MetricPlugin(
        "ssim",
        "Structural similarity: how alike brightness, contrast and pattern are within a few pixels.",
        factory="cemi_denoise.judge.metrics:make_ssim",
        label="SSIM",
        better="higher",
    )
    yield MetricPlugin(
        "lpips",
        "How different pictures look to people, as a network learnt it (AlexNet); needs the extra 'perceptual'.",
        factory="cemi_denoise.judge.metrics:make_lpips",
        label="LPIPS",
    )
    yield MetricPlugin(
        "phase-fraction",
        "By how many percentage points the phase fractions by Otsu's threshold differ.",
        factory="cemi_denoise.judge.metrics:make_phase_fraction",
        label="phase fraction off (points)",
    )
    yield MetricPlugin(
        "edge-sharpness",
        "How steep the edges are, as a share of how steep they are in the reference.",
        factory="cemi_denoise.judge.metrics:make_edge_sharpness",
        label="edge sharpness",
        better="1",
    )
    yield MetricPlugin(
        "power-spectrum",
        "How far the power spectra lie apart, over all frequencies.",
        factory="cemi_denoise.judge.metrics:make_power_spectrum",
        label="spectrum off (dB)",
    )


@hookimpl
def cemi_trainings() -> Iterable[TrainingPlugin]:
    """Yield the training of the networks."""
    yield TrainingPlugin(
        "denoiser",
        "Train a denoising network on your own images.",
        factory="cemi_denoise.train.job:make",
        settings="cemi_denoise.train.recipe:TrainingRecipe",
    )
