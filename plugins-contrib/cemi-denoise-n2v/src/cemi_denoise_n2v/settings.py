"""Settings of the denoiser, as they stand in a recipe, and what it can do with them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.settings import InputPath, Settings


class N2vSettings(Settings):
    """Settings of the denoiser ``n2v``."""

    steps: int = Field(1000, ge=1, le=100_000, description="Steps of training, each on 4 patches of 64 x 64 px.")
    minutes: float = Field(5.0, gt=0, description="Time after which training stops, whatever the steps, min.")
    mask_px: int | Literal["auto"] = Field(
        "auto",
        description="How far noise is correlated along the scan line, px: so many pixels on both sides are hidden with "
        "the one that is guessed; 'auto' measures it.",
    )
    learn_from: InputPath | None = Field(
        None, description="Pictures to learn from, a file or a pattern; by default the frames, or each picture itself."
    )


def abilities(settings: N2vSettings) -> DenoiserAbilities:
    """Return what the denoiser can do: it learns, and it judges where its files say at once what it will be."""
    return DenoiserAbilities(learns=True, judges=settings.learn_from is not None, prepares=True)
