"""CEMI stitching: pair matching, global solve, exposure and blending."""

from cemi_core.plugins.lazy import lazy_names
from cemi_core.renamed import Moves, Names, keep_old_modules

__version__ = "0.2.0"

_MOVES: Moves = (
    ("cemi_stitch", "cemi_stitch", "spread>tasks"),
    (
        "cemi_stitch",
        "cemi_stitch.frames",
        "fixed_pattern prepare>filters prepared_frames>cache thumbnails",
    ),
    ("cemi_stitch", "cemi_core.model", "straighten>corrections"),
    ("cemi_stitch", "cemi_stitch.graph", "gate>acceptance loops>loop_closure pairs>candidate_pairs"),
    (
        "cemi_stitch",
        "cemi_stitch.correlation",
        "features local_shifts>block_shifts phase>phase_correlation surface>peaks zncc zncc_on_cpu>zncc_opencv",
    ),
    (
        "cemi_stitch",
        "cemi_stitch.matching",
        "descent>pyramid_search doubt>bridge_check look>evaluation looks_together>batched_evaluation matchers>matcher "
        "one_way>normal_shifts pair_matching>match_pairs refine>pair_shift",
    ),
    (
        "cemi_stitch",
        "cemi_stitch.solve",
        "covariance islands>unlinked_groups layouts>layout peaks>disambiguation "
        "stage_model>stage_prior stage_motion>stage_statistics",
    ),
    (
        "cemi_stitch",
        "cemi_stitch.coarse",
        "thumbnail_search unordered>unordered_search votes>group_voting",
    ),
    ("cemi_stitch", "cemi_stitch.distortion", "geometry>scan_geometry turned>frame_affine upright>rectification"),
    ("cemi_stitch", "cemi_stitch.illumination", "exposure>gain_offset flat_field"),
    ("cemi_stitch", "cemi_stitch.blending", "average blend>feather multiband resample"),
    ("cemi_stitch", "cemi_stitch.quality", "overlaps>overlap_agreement weak_places>weak_overlaps"),
)
_PEAK, _SIGNIFICANCE = "cemi_core.numeric.peak", "cemi_core.numeric.significance"
_NAMES: Names = {
    "cemi_core.model.corrections": {
        "UprightFrames": ("cemi_core.model.corrections", "CorrectedFrames"),
        "as_laid_out": ("cemi_core.model.corrections", "corrected_frames"),
    },
    "cemi_stitch.tasks": {
        "Progress": ("cemi_core.model.progress", "Progress"),
        "no_progress": ("cemi_core.model.progress", "silent"),
    },
    "cemi_stitch.frames.thumbnails": {"survey_frames": ("cemi_stitch.frames.survey", "survey_frames")},
    "cemi_stitch.graph.acceptance": {
        "significance": (_SIGNIFICANCE, "significance"),
        "quality_at": (_SIGNIFICANCE, "correlation_at"),
    },
    "cemi_stitch.correlation.peaks": {"subpixel_peak": (_PEAK, "quadratic_peak")},
    "cemi_stitch.matching.bridge_check": {"looked_at_again": ("cemi_stitch.matching.bridge_check", "checked_bridges")},
    "cemi_stitch.matching.match_pairs": {"gated": ("cemi_stitch.matching.match_pairs", "accepted")},
    "cemi_stitch.matching.normal_shifts": {
        "OneWayShift": ("cemi_stitch.graph.edges", "NormalShift"),
        "one_way_shifts": ("cemi_stitch.matching.normal_shifts", "measured_normal_shifts"),
    },
    "cemi_stitch.blending.feather": {
        "nearest": ("cemi_stitch.blending.nearest", "nearest"),
        "take_over": ("cemi_stitch.blending.nearest", "take_over"),
    },
}
keep_old_modules(_MOVES, _NAMES)

_HOMES = {
    "KorniaStitcher": "stitcher",
    "OverlapStitcher": "stitcher",
    "SeparateStitcher": "separate",
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
