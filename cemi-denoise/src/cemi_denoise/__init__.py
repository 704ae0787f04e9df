"""CEMI denoising: trained networks and classical filters behind the Denoiser protocol."""

from cemi_core.plugins.lazy import lazy_names
from cemi_core.renamed import Moves, keep_old_modules

__version__ = "0.2.0"

_MOVES: Moves = (
    ("cemi_denoise.train", "cemi_learn.bench", "ahead log processes"),
    ("cemi_denoise.network", "cemi_learn.tiles", "tiled_inference>cells"),
)
keep_old_modules(_MOVES)

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
