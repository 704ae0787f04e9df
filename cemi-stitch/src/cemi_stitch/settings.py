"""Settings of the stitcher, as they stand in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from cemi_core.model.abilities import StitcherAbilities
from cemi_core.model.settings import Settings
from cemi_stitch.methods import BLENDERS, FEATURES, MATCHERS, described

if TYPE_CHECKING:
    MatcherName: TypeAlias = str
    FeaturesName: TypeAlias = str
    BlenderName: TypeAlias = str
else:
    MatcherName, FeaturesName, BlenderName = (Literal[tuple(names)] for names in (MATCHERS, FEATURES, BLENDERS))


class KorniaSettings(Settings):
    """Settings of the stitcher ``kornia``; the defaults suit SEM frames with 4 % of overlap or more."""

    picture_only: ClassVar[frozenset[str]] = frozenset({"blend"})

    matcher: MatcherName = Field(default="zncc", description=f"How two frames are compared: {described(MATCHERS)}.")
    features: FeaturesName = Field(
        default="sift",
        description=f"Local features of the matcher features: {described(FEATURES)}. The weights of networks are "
        "fetched on first use.",
    )
    min_overlap: float = Field(
        default=0.03,
        gt=0,
        lt=1,
        description="Smallest overlap that is tried, as a share of the frame's width or height.",
    )
    tolerance: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="How far a frame may lie from its nominal place relative to its neighbour, as a share of the "
        "frame's size; used where the source does not say it.",
    )
    smoothing_px: float = Field(
        default=1.5,
        ge=0,
        le=10,
        description="Standard deviation of the Gaussian that frames are smoothed with before matching.",
    )
    false_match_rate: float = Field(
        default=1e-3, gt=0, lt=1, description="Share of pairs that cannot overlap but may pass the quality threshold."
    )
    turned_frames: Literal["straighten", "report"] = Field(
        default="straighten",
        description="Single frames that are turned, stretched or sheared against the others by half a pixel or more: "
        "straighten, matched and blended upright, and said in the notes; report, only said.",
    )
    flat_field: Literal["auto", "none"] = Field(
        default="auto",
        description="Shading that all frames share: auto, estimated from overlaps and the mean of at least 12 frames, "
        "and divided out where it is significant; none, left as it is.",
    )
    equalise: bool = Field(default=True, description="Fit a brightness gain and offset per frame to the overlaps.")
    blend: BlenderName = Field(default="feather", description=f"How frames are joined: {described(BLENDERS)}.")


def abilities(settings: KorniaSettings) -> StitcherAbilities:
    """Return what the stitcher can do; its way of blending decides on some of it."""
    blender = BLENDERS[settings.blend]
    return StitcherAbilities(
        judges=True, counts_frames=blender.counts_frames, blend_margin_px=blender.margin_px, prepares=True
    )


#: What the stitcher ``separate`` can do: it joins nothing.
STANDS_ALONE = StitcherAbilities(stands_alone=True)
#: What a third-party stitcher can do that only tries whether its library is there.
PREPARES = StitcherAbilities(prepares=True)
