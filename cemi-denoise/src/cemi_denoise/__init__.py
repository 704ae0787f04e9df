"""CEMI denoising: trained networks and classical filters behind the Denoiser protocol."""

from cemi_core.plugins.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "GaussianDenoiser": "denoisers.gaussian",
    "MedianDenoiser": "denoisers.median",
    "NlmDenoiser": "denoisers.nonlocal_means",
    "SemganDenoiser": "denoisers.neural",
    "SemnetDenoiser": "denoisers.neural",
    "TvDenoiser": "denoisers.total_variation",
    "WienerDenoiser": "denoisers.wiener",
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
