"""Noise2Void behind CEMI's contract of a denoiser: one that learns, and one that has learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load

from cemi_core.errors import InputError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES, read_pixels
from cemi_core.model.frame import FrameSource, to_unit_range
from cemi_core.model.layout import Layout
from cemi_core.model.settings import InputPath, Settings
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_denoise.denoisers.picture_model import PictureModel
from cemi_denoise_n2v.network import REACH_PX, BlindSpotNetwork
from cemi_denoise_n2v.training import Schedule, train

#: Frames that are learnt from at most, spread over all: more are no better in so few steps.
MOST_FRAMES = 24


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


@dataclass(frozen=True)
class N2vDenoiser(PictureModel):
    """A network that has learnt from noisy pictures.

    Parameters
    ----------
    weights : bytes
        Of a `BlindSpotNetwork`, as a safetensors file.
    device : str
        A torch device.
    """

    weights: bytes = field(repr=False)
    device: str = "cpu"

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a picture (h, w) as the network changes it."""
        torch.set_num_threads(self.threads)  # here, since the setting does not travel to other processes
        with torch.inference_mode():
            picture = torch.from_numpy(image).to(self.device)[None, None]
            result: NDArray[np.float32] = _network(self.weights, self.device)(picture)[0, 0].cpu().numpy()
        return result


@lru_cache(maxsize=4)
def _network(weights: bytes, device: str) -> BlindSpotNetwork:
    network = BlindSpotNetwork()
    network.load_state_dict(load(weights))
    return network.to(device).eval()


@dataclass(frozen=True)
class N2vLearner:
    """Learns from the frames of a run (`adapt`), or, called at once, from each picture itself.

    Krull, Buchholz and Jug, CVPR 2019, with masks along the scan line (Broaddus et al., ISBI 2020).

    Parameters
    ----------
    schedule : Schedule
    device : str
        A torch device.
    threads : int
    """

    schedule: Schedule
    device: str = "cpu"
    threads: int = 1

    @property
    def halo(self) -> int:
        """That of what it becomes."""
        return 2 * REACH_PX

    def adapt(self, frames: FrameSource, layout: Layout | None) -> N2vDenoiser:
        """Return a denoiser that has learnt from up to 24 of the frames, spread evenly; the layout is not needed."""
        count = len(frames.frames)
        chosen = sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST_FRAMES))}) if count else []
        return self.learn([frames.read(index) for index in chosen])

    def learn(self, pictures: list[NDArray[np.float32]]) -> N2vDenoiser:
        """Return a denoiser that has learnt from pictures (h, w) in [0, 1], NaN where nothing was imaged."""
        torch.set_num_threads(self.threads)
        weights = train(pictures, self.schedule, self.device)
        return N2vDenoiser(weights, self.device, reach_px=REACH_PX, threads=self.threads)

    def __call__(self, block: NDArray[Any], info: BlockInfo | None = None) -> NDArray[Any]:
        """Return ``block`` (n, h, w) or (h, w) without noise, having learnt from it alone.

        Raises
        ------
        InputError
            It is no picture, or a tile of a larger one: tiles that learn each for themselves would not join.
        """
        if block.ndim not in (2, 3) or 0 in block.shape:
            raise InputError(f"a picture to denoise has shape (h, w) or (n, h, w), not {block.shape}")
        if info is not None and info.core is not None and _size(info.core) != block.shape[-2:]:
            raise InputError(
                "n2v learns from whole pictures, and this one comes in tiles: name pictures to learn from with "
                "learn_from (the large one itself will do)"
            )
        stack = to_unit_range(block) if block.dtype.kind == "u" else block.astype(np.float32)
        pictures = stack if stack.ndim == 3 else stack[None]
        if info is not None and info.valid is not None:
            pictures = np.where(info.valid, pictures, np.float32(np.nan))
        return self.learn(list(pictures))(block, info)


def _size(core: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = core
    return rows.stop - (rows.start or 0), columns.stop - (columns.start or 0)


def make(settings: N2vSettings, runtime: Runtime) -> N2vLearner | N2vDenoiser:
    """Make the denoiser from checked settings; it learns here if it is told from what.

    Raises
    ------
    InputError
        ``learn_from`` names no picture.
    """
    along_px = None if settings.mask_px == "auto" else settings.mask_px
    schedule = Schedule(settings.steps, settings.minutes, along_px, runtime.seed)
    learner = N2vLearner(schedule, runtime.device, runtime.threads)
    if settings.learn_from is None:
        return learner
    paths = find_files(settings.learn_from, IMAGE_SUFFIXES, "pictures to learn from")
    step = -(-len(paths) // MOST_FRAMES)
    return learner.learn([to_unit_range(read_pixels(path)) for path in paths[::step]])
