"""Settings of the denoiser, as they stand in a recipe."""

from __future__ import annotations

from pydantic import Field

from cemi_core.model.settings import InputPath, Settings
from cemi_denoise.denoisers.picture_model import REACH_DESCRIPTION, Reach


class SpandrelSettings(Settings):
    """Settings of the denoiser ``spandrel``."""

    model: InputPath = Field(
        description="Model file, .safetensors or PyTorch's with nothing but tensors, of a network that keeps the size."
    )
    reach_px: Reach = Field("auto", description=REACH_DESCRIPTION)
