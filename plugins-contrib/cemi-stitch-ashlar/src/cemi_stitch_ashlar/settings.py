"""Settings of the stitcher, as they stand in a recipe."""

from __future__ import annotations

from pydantic import Field

from cemi_core.model.settings import Settings


class AshlarSettings(Settings):
    """Settings of the stitcher ``ashlar``, named and explained as in ASHLAR."""

    filter_sigma: float = Field(
        2.0,
        ge=0,
        le=20,
        description="Width in px of the Gaussian before alignment (ASHLAR's own default is 0, which noise defeats).",
    )
    maximum_shift_px: float | None = Field(
        None,
        gt=0,
        description="Largest correction of a nominal step; by default what the source says, else a tenth of a frame.",
    )
    alpha: float = Field(0.01, gt=0, lt=1, description="Share of tiles that do not overlap but may be accepted.")
