"""Noise2Void behind CEMI's contract of a denoiser: one that learns, and one that has learnt.

PyTorch is imported when learning or denoising begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES, read_pixels
from cemi_core.model.frame import FrameSource, to_unit_range
from cemi_core.model.layout import Layout
from cemi_core.model.result import Result
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_denoise.denoisers.once import once
from cemi_denoise.denoisers.picture_model import PictureModel
from cemi_denoise_n2v.reach import REACH_PX
from cemi_denoise_n2v.schedule import Schedule
from cemi_denoise_n2v.settings import N2vSettings

if TYPE_CHECKING:
    from cemi_denoise_n2v.network import BlindSpotNetwork

#: Frames that are learnt from at most, spread over all: more are no better in so few steps.
MOST_FRAMES = 24


@dataclass(frozen=True)
class N2vDenoiser(PictureModel):
    """A network that has learnt from noisy pictures.

    Parameters
    ----------
    weights : bytes
        Of a `BlindSpotNetwork`, as a safetensors file.
    device : str
        A torch device.
    notes : tuple of str
        Sentences for the report: what it has learnt from.
    """

    weights: bytes = field(repr=False)
    device: str = "cpu"
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a picture (h, w) as the network changes it."""
        import torch

        torch.set_num_threads(self.threads)  # here, since the setting does not travel to other processes
        with torch.inference_mode():
            picture = torch.from_numpy(image).to(self.device)[None, None]
            result: NDArray[np.float32] = _network(self.weights, self.device)(picture)[0, 0].cpu().numpy()
        return result


@once(maxsize=4)
def _network(weights: bytes, device: str) -> BlindSpotNetwork:
    from safetensors.torch import load

    from cemi_denoise_n2v.network import BlindSpotNetwork

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

    def prepare(self) -> None:
        """Try the device, so that a mistake is told before the work starts.

        Raises
        ------
        UsageError
            The device is not there.
        """
        from cemi_learn.device import require_device

        require_device(self.device)

    def adapt(self, frames: FrameSource, layout: Layout | None) -> N2vDenoiser:
        """Return a denoiser that has learnt from up to 24 of the frames, spread evenly; the layout is not needed."""
        count = len(frames.frames)
        chosen = sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST_FRAMES))}) if count else []
        return self.learn([frames.read(index) for index in chosen])

    def learn(self, pictures: Sequence[NDArray[np.float32]]) -> N2vDenoiser:
        """Return a denoiser that has learnt from pictures (h, w) in [0, 1], NaN where nothing was imaged."""
        import torch

        from cemi_denoise_n2v.training import train

        torch.set_num_threads(self.threads)
        made = train(pictures, self.schedule, self.device)
        return N2vDenoiser(made.weights, self.device, notes=(made.note,), reach_px=REACH_PX, threads=self.threads)

    def __call__(self, block: NDArray[Any], info: BlockInfo | None = None) -> NDArray[Any]:
        """Return ``block`` (n, h, w) or (h, w) without noise, having learnt from it alone.

        Raises
        ------
        InputError
            It is not a picture, or a tile of a larger one: tiles that learn each for themselves would not join.
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


@dataclass(frozen=True)
class N2vFileLearner(N2vLearner):
    """Learns from pictures in files, once in each process, whatever it is given to denoise.

    Parameters
    ----------
    learn_from : str
        A file, a folder or a pattern; up to 24 of the pictures are used, spread evenly.
    """

    learn_from: str = field(default="", kw_only=True)

    def prepare(self) -> None:
        """Try the device and read the pictures, so that a mistake is told before the work starts.

        Raises
        ------
        InputError
            ``learn_from`` names no picture, or none that can be learnt from.
        UsageError
            The device is not there.
        """
        from cemi_denoise_n2v.training import usable_pictures

        super().prepare()
        usable_pictures(_pictures(self.files))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are learnt from.

        Raises
        ------
        InputError
            There is none.
        """
        paths = find_files(self.learn_from, IMAGE_SUFFIXES, "pictures to learn from")
        return tuple(paths[:: -(-len(paths) // MOST_FRAMES)])

    @property
    def learnt(self) -> N2vDenoiser:
        """What it becomes; a file that has changed is learnt from again."""
        return _learnt(self, tuple((path, path.stat().st_mtime_ns) for path in self.files))

    def adapt(self, frames: FrameSource, layout: Layout | None) -> N2vDenoiser:
        """Return the denoiser that has learnt from the files; neither the frames nor the layout are looked at."""
        return self.learnt

    def judge(self, raw: FrameSource, denoised: FrameSource, layout: Layout | None, executor: Executor) -> Result:
        """Return how far its work can be trusted, as the denoiser that it becomes judges it."""
        return self.learnt.judge(raw, denoised, layout, executor)

    def __call__(self, block: NDArray[Any], info: BlockInfo | None = None) -> NDArray[Any]:
        """Return ``block`` (n, h, w) or (h, w) without noise; it may be a tile of a larger picture."""
        return self.learnt(block, info)


@once(maxsize=2)
def _learnt(learner: N2vFileLearner, files: tuple[tuple[Path, int], ...]) -> N2vDenoiser:
    return learner.learn(_pictures([path for path, _ in files]))


def _pictures(paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    return [to_unit_range(read_pixels(path)) for path in paths]


def _size(core: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = core
    return rows.stop - (rows.start or 0), columns.stop - (columns.start or 0)


def make(settings: N2vSettings, runtime: Runtime) -> N2vLearner:
    """Make the denoiser from checked settings; it learns when it is used."""
    along_px = None if settings.mask_px == "auto" else settings.mask_px
    schedule = Schedule(settings.steps, settings.minutes, along_px, runtime.seed)
    if settings.learn_from is None:
        return N2vLearner(schedule, runtime.device, runtime.threads)
    return N2vFileLearner(schedule, runtime.device, runtime.threads, learn_from=settings.learn_from)
