"""Settings of the stitcher, as they stand in a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cemi_core.model.settings import Settings


class OpencvSettings(Settings):
    """Settings of the stitcher ``opencv``, those of OpenCV's pipeline for scans."""

    features: Literal["sift", "orb"] = Field(
        "sift", description="Local features: sift, or orb (OpenCV's default, faster; few survive noise)."
    )
    match_confidence: float = Field(
        0.3, gt=0, lt=1, description="Ratio test of features: 1 minus the largest ratio of the two nearest distances."
    )
    pair_confidence: float = Field(
        0.4,
        gt=0,
        description="Smallest confidence of a pair of frames: inliers / (8 + 0.3 x matches). OpenCV asks for 1, "
        "meant for photographs of which half overlaps.",
    )
