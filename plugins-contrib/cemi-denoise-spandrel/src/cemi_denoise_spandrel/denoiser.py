"""A network from a model file behind CEMI's contract of a denoiser; spandrel and PyTorch are imported at first use."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.stages import Runtime
from cemi_denoise.denoisers.picture_model import ModelFile, PictureModel
from cemi_denoise_spandrel.settings import SpandrelSettings

log = logging.getLogger("cemi")

#: Windows of 8 px and strides up to 16 px are padded inside many networks, of which spandrel knows nothing.
_GRID_PX = 16
_SMALLEST_PX = 64


@dataclass(frozen=True)
class SpandrelDenoiser(PictureModel):
    """Runs somebody's restoration network on grey pictures; the file is read at first use, once in each process.

    Parameters
    ----------
    model : str
        The model file.
    device : str
        A torch device.
    """

    model: str
    device: str = field(default="cpu", kw_only=True, repr=False)

    @property
    def file(self) -> ModelFile:
        """The file, as it is now."""
        return ModelFile.found(self.model, self.device)

    @property
    def multiple(self) -> int:
        """What the network says of the sizes that it takes, and the grid of those that do not say it."""
        from cemi_denoise_spandrel.model_file import open_model

        return math.lcm(open_model(self.file).size_requirements.multiple_of, _GRID_PX)

    def prepare(self) -> None:
        """Read the file and try the network on its device, so that a mistake is told before the work starts.

        Raises
        ------
        InputError
            The file is missing or holds no network that fits.
        UsageError
            The device is not there.
        """
        edge = -(-_SMALLEST_PX // self.multiple) * self.multiple
        self.run(np.full((edge, edge), 0.5, np.float32))
        log.debug("%s looks %d px far", self.model, self.reach)

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a picture (h, w) as the network changes it, in [0, 1]; the mean of its channels if it has three."""
        import torch

        torch.set_num_threads(self.threads)  # here, since the setting does not travel to other processes
        return run_model(self.file, image)


def run_model(file: ModelFile, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network in a file makes of a picture (h, w) in [0, 1].

    Raises
    ------
    InputError
        The device has too little memory for it.
    """
    import torch

    from cemi_denoise_spandrel.model_file import open_model

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
    """Make the denoiser from checked settings."""
    return SpandrelDenoiser(**settings.model_dump(), device=runtime.device, threads=runtime.threads)
