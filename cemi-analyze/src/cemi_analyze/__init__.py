"""CEMI analysis: phase fractions, lamella spacing, lamella fraction, and their relation to properties."""

from cemi_core.plugins.lazy import lazy_names

__version__ = "0.2.0"

_HOMES = {
    "BccFraction": "phase_fraction",
    "GroupsRelation": "relate_groups",
    "LamellaFraction": "lamella_fraction",
    "LamellaWidth": "lamella_width",
    "PearsonRelation": "relate",
    "SrPhase": "sr_phase",
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
