"""Settings of the stitcher, as they stand in a recipe."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cemi_core.model.abilities import StitcherAbilities
from cemi_core.model.settings import Settings

#: Frames so far from a box have a say in it where ``blend`` is multiband, px.
MULTIBAND_MARGIN_PX = 128


class KorniaSettings(Settings):
    """Settings of the stitcher ``kornia``; the defaults suit SEM frames with 4 % of overlap or more."""

    picture_only: ClassVar[frozenset[str]] = frozenset({"blend"})

    matcher: Literal["zncc", "phase", "features"] = Field(
        "zncc",
        description="How two frames are compared: zncc, zero-mean normalised cross-correlation over the whole window; "
        "phase, phase correlation, its peaks verified by zncc; features, local features that agree on a shift, also "
        "verified by zncc, with rotation and scale in the report.",
    )
    features: Literal["sift", "disk", "aliked", "xfeat", "loftr"] = Field(
        "sift",
        description="Local features of the matcher features: sift needs nothing; disk, aliked, xfeat and loftr are "
        "networks whose weights are fetched on first use.",
    )
    min_overlap: float = Field(
        0.03, gt=0, lt=1, description="Smallest overlap that is tried, as a share of the frame's width or height."
    )
    tolerance: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How far a frame may lie from its nominal place relative to its neighbour, as a share of the "
        "frame's size; used where the source does not say it.",
    )
    smoothing_px: float = Field(
        1.5,
        ge=0,
        le=10,
        description="Standard deviation of the Gaussian that frames are smoothed with before matching.",
    )
    false_match_rate: float = Field(
        1e-3, gt=0, lt=1, description="Share of pairs that cannot overlap but may pass the quality threshold."
    )
    turned_frames: Literal["straighten", "report"] = Field(
        "straighten",
        description="Single frames that are turned, stretched or sheared against the others by half a pixel or more: "
        "straighten, matched and blended upright, and said in the notes; report, only said.",
    )
    flat_field: Literal["auto", "none"] = Field(
        "auto",
        description="Shading that all frames share: auto, estimated from overlaps and the mean of at least 12 frames, "
        "and divided out where it is significant; none, left as it is.",
    )
    equalise: bool = Field(True, description="Fit a brightness gain and offset per frame to the overlaps.")
    blend: Literal["feather", "none", "average", "multiband"] = Field(
        "feather",
        description="How frames are joined: feather, weighted by the distance from their edges; none, each pixel from "
        "one frame; average, all frames weighted by their noise, so that noise falls most (the number of looks is "
        "stored beside the picture); multiband, fine detail from one frame, brightness blended widely.",
    )


def abilities(settings: KorniaSettings) -> StitcherAbilities:
    """Return what the stitcher can do: averaging counts the frames of each pixel, multiband blending looks around."""
    return StitcherAbilities(
        judges=True,
        counts_frames=settings.blend == "average",
        blend_margin_px=MULTIBAND_MARGIN_PX if settings.blend == "multiband" else 0,
        prepares=True,
    )
