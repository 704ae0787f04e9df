"""CEMI analysis: phase fractions, lamella spacing, lamella fraction, and their relation to properties."""

from cemi_core.plugins.lazy import lazy_names
from cemi_core.renamed import Moves, Names, keep_old_modules

__version__ = "0.2.0"

_MOVES: Moves = (
    (
        "cemi_analyze",
        "cemi_analyze.lamellae",
        "lamella_fraction>fraction lamella_width>width paper_width regularity spacing",
    ),
    ("cemi_analyze", "cemi_analyze.objects", "regions"),
    ("cemi_analyze", "cemi_analyze.phases", "phase_fraction>fraction phase_levels>levels sr_phase>gradient"),
    ("cemi_analyze", "cemi_analyze.picture", "orientation"),
    ("cemi_analyze", "cemi_analyze.relation", "correlation relate>pearson relate_groups>groups"),
    ("cemi_analyze", "cemi_analyze.uncertainty", "blocks statistics>intervals"),
)
_METHODS = "cemi_analyze.phases.methods"
_CELL, _TEXTURE = "cemi_analyze.picture.cell", "cemi_analyze.picture.texture"
_NAMES: Names = {
    "cemi_analyze.picture": {
        "SMALLEST_PX": (_CELL, "SMALLEST_PX"),
        "Cell": (_CELL, "Cell"),
        "as_picture": (_CELL, "as_picture"),
        "cell_of": (_CELL, "cell_of"),
        "levelled": (_TEXTURE, "levelled"),
        "smoothed_against_noise": (_TEXTURE, "smoothed_against_noise"),
        "texture_length_px": (_TEXTURE, "texture_length_px"),
    },
    "cemi_analyze.phases.fraction": {
        "levelled_by_texture": (_TEXTURE, "levelled_by_texture"),
        **{name: (_METHODS, name) for name in ("otsu_of_histogram", "otsu_threshold", "paper_dark_phase")},
        "is_structureless": ("cemi_analyze.phases.thresholds", "is_structureless"),
    },
}
keep_old_modules(_MOVES, _NAMES)

_HOMES = {
    "BccFraction": "phases.fraction",
    "GroupsRelation": "relation.groups",
    "LamellaFraction": "lamellae.fraction",
    "LamellaWidth": "lamellae.width",
    "PearsonRelation": "relation.pearson",
    "PhaseFraction": "phases.fraction",
    "PredictionRelation": "relation.prediction",
    "SrPhase": "phases.gradient",
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
