"""ASHLAR as a stitcher of CEMI."""

from cemi_core.plugins.lazy import lazy_names

__version__ = "0.2.0"

_HOMES = {"AshlarSettings": "settings", "AshlarStitcher": "stitcher"}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
