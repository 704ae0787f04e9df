"""A network from a model file behind CEMI's contract of a denoiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import InputError
from cemi_core.model.settings import InputPath, Settings
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.picture_model import REACH_DESCRIPTION, ModelFile, PictureModel, Reach, measured_reach_px
from cemi_denoise_spandrel.model_file import open_model

#: Windows of 8 px and strides up to 16 px are padded inside many networks, of which spandrel knows nothing.
_GRID_PX = 16


class SpandrelSettings(Settings):
    """Settings of the denoiser ``spandrel``."""

    model: InputPath = Field(
        description="Model file, .safetensors or PyTorch's with nothing but tensors, of a network that keeps the size."
    )
    reach_px: Reach = Field("auto", description=REACH_DESCRIPTION)


@dataclass(frozen=True)
class SpandrelDenoiser(PictureModel):
    """Runs somebody's restoration network on grey pictures.

    Parameters
    ----------
    file : ModelFile
    """

    file: ModelFile

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a picture (h, w) as the network changes it, in [0, 1]; the mean of its channels if it has three."""
        torch.set_num_threads(self.threads)  # here, since the setting does not travel to other processes
        return run_model(self.file, image)


def run_model(file: ModelFile, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network in a file makes of a picture (h, w) in [0, 1].

    Raises
    ------
    InputError
        The device has too little memory for it.
    """
    model = open_model(file)
    picture = torch.from_numpy(np.clip(image, 0, 1)).to(file.device)[None, None]
    try:
        with torch.inference_mode():
            result = model(picture.expand(-1, model.input_channels, -1, -1))
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"{file.path} needs more memory than '{file.device}' has for a tile of {image.shape[1]} x {image.shape[0]} "
            "px; run it with --device cpu"
        ) from error
    grey: NDArray[np.float32] = result[0].mean(dim=0).float().cpu().numpy()
    return grey


def make(settings: SpandrelSettings, runtime: Runtime) -> SpandrelDenoiser:
    """Make the denoiser from checked settings.

    Raises
    ------
    InputError
        The file is missing or holds no network that fits.
    """
    file = ModelFile.found(settings.model, runtime.device)
    multiple = math.lcm(open_model(file).size_requirements.multiple_of, _GRID_PX)
    reach = settings.reach_px
    torch.set_num_threads(runtime.threads)
    if reach == "auto":
        reach = measured_reach_px(lambda image: run_model(file, image), multiple, Path(file.path).name)
    return SpandrelDenoiser(file, reach_px=reach, multiple_px=multiple, threads=runtime.threads)
