"""CEMI stitching: pair matching, global solve, exposure and blending."""

from cemi_core.plugins.lazy import lazy_names
from cemi_core.renamed import Moves, keep_old_modules

__version__ = "0.1.0"

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
        "descent>pyramid_search doubt>bridge_check look>evaluation looks_together>batched_evaluation matchers "
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
keep_old_modules(_MOVES)

_HOMES = {
    "KorniaStitcher": "stitcher",
    "OverlapStitcher": "stitcher",
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
