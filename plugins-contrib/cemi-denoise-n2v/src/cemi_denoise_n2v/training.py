"""Training on noisy pictures alone, within a number of steps and a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from cemi_core.errors import InputError
from cemi_core.model.training import TrainingLimits
from cemi_denoise.noise.model import estimate_noise_model
from cemi_denoise_n2v.masks import hide_pixels
from cemi_denoise_n2v.network import BlindSpotNetwork
from cemi_denoise_n2v.schedule import Schedule
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.run import learn
from cemi_learn.bench.task import MAIN, Networks, Objective, Step, Task

log = logging.getLogger("cemi")

PATCH_PX = 64
_BATCH = 4
_LEARNING_RATE = 2e-3
_LEAST_EDGE_PX = 16
#: A correlation below this is not told from none in a few frames.
_LEAST_CORRELATION = 0.08
_MOST_MISSING = 0.2

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes
    ----------
    weights : bytes
        Of a `BlindSpotNetwork`, as a safetensors file.
    note : str
        A sentence for the report.
    """

    weights: bytes
    note: str


def train(pictures: Sequence[Picture], schedule: Schedule, device: str = "cpu") -> Trained:
    """Return the weights of a `BlindSpotNetwork` that has learnt from noisy pictures.

    The same pictures, seed and steps give the same weights on one machine, unless the time ends first.

    Parameters
    ----------
    pictures : sequence of ndarray of float32, shape (h, w)
        At least 16 px a side, NaN where nothing was imaged.
    schedule : Schedule
    device : str
        A torch device.

    Raises
    ------
    InputError
        No picture can be learnt from.
    """
    usable = usable_pictures(pictures)
    along_px = correlation_length_px(usable) if schedule.along_px is None else schedule.along_px
    task = N2vTask(usable, along_px, schedule.seed)
    plan = Plan(schedule.steps, _LEARNING_RATE, "cosine", average=0.0, seed=schedule.seed)
    started = time.monotonic()
    learner = learn(task, plan, device, TrainingLimits(seconds=60 * schedule.minutes))
    spent, done = time.monotonic() - started, learner.step_number
    log.info("n2v: %d steps on %d image(s) in %.0f s, masks of %d px", done, len(usable), spent, 2 * along_px + 1)
    note = f"n2v learnt from {len(usable)} image(s) in {done} steps and hid {2 * along_px + 1} px at a time."
    if done < schedule.steps:
        ended = f"the time of {schedule.minutes:g} min ended after {done} of {schedule.steps} steps"
        log.warning("n2v: %s", ended)
        note = f"{note[:-1]}; {ended}."
    weights = save({name: value.cpu().contiguous() for name, value in learner.network.state_dict().items()})
    return Trained(weights, note)


@dataclass(frozen=True)
class Guessed:
    """What one step sees.

    Attributes
    ----------
    hidden, patches : tensor, shape (n, 1, h, w)
        Patches with and without hidden pixels.
    wanted : tensor of bool, shape (n, 1, h, w)
        Pixels that are guessed, and that were imaged.
    """

    hidden: Tensor
    patches: Tensor
    wanted: Tensor


@dataclass(frozen=True)
class N2vTask(Task[Guessed]):
    """A network that learns to guess hidden pixels from those around them.

    Attributes
    ----------
    pictures : sequence of ndarray of float32, shape (h, w)
    along_px : int
        How far the noise is correlated along the line, px.
    seed : int
    """

    name: ClassVar[str] = "n2v"

    pictures: Sequence[Picture]
    along_px: int
    seed: int

    def build(self) -> Networks:
        """Return the network with drawn weights."""
        return Networks({MAIN: BlindSpotNetwork()}, {"name": "BlindSpotNetwork"})

    def batch(self, step: int) -> Guessed:
        """Return patches with hidden pixels."""
        generator = torch.Generator().manual_seed(int(np.random.default_rng((self.seed, step)).integers(1 << 62)))
        patches, known = _draw(self.pictures, generator)
        hidden, guessed = hide_pixels(patches, self.along_px, generator)
        return Guessed(hidden, patches, guessed & known)

    def objectives(self, networks: Mapping[str, nn.Module], batch: Guessed, step: Step) -> Iterator[Objective]:
        """Yield the squared error of what is guessed, on the scale of the patches' spread."""
        scale = batch.patches.std().clamp_min(1e-4)
        error = (networks[MAIN](batch.hidden) - batch.patches) / scale
        loss = (error.square() * batch.wanted).sum() / batch.wanted.sum().clamp_min(1)
        yield Objective(loss, {"loss": loss})


def usable_pictures(pictures: Sequence[Picture]) -> list[Picture]:
    """Return the pictures that are large enough and imaged well enough to learn from.

    Raises
    ------
    InputError
        There is none.
    """
    usable = [p for p in pictures if min(p.shape) >= _LEAST_EDGE_PX and np.isfinite(p).mean() > 1 - _MOST_MISSING]
    if not usable:
        raise InputError(f"Noise2Void has no picture of {_LEAST_EDGE_PX} px a side and more to learn from")
    return usable


def correlation_length_px(pictures: Sequence[Picture]) -> int:
    """Return the largest lag, up to 3 px, at which the noise is correlated along the line; 0 if it is white."""
    try:
        correlation = estimate_noise_model(pictures).line_correlation
    except InputError:  # too small or saturated to tell
        return 0
    return max((lag for lag, rho in enumerate(correlation, start=1) if abs(rho) > _LEAST_CORRELATION), default=0)


def _draw(pictures: Sequence[Picture], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return patches, and where they were imaged; turned by half a turn and mirrored, never line into column."""
    edge = min(PATCH_PX, *(min(picture.shape) for picture in pictures))
    patches = []
    for which in torch.randint(len(pictures), (_BATCH,), generator=generator).tolist():
        picture = pictures[which]
        top, left = (int(torch.randint(size - edge + 1, (), generator=generator)) for size in picture.shape)
        patch = torch.from_numpy(picture[top : top + edge, left : left + edge].copy())
        flips = [axis for axis in (0, 1) if torch.rand((), generator=generator) < 0.5]
        patches.append(torch.flip(patch, flips) if flips else patch)
    stack = torch.stack(patches)[:, None]
    known = torch.isfinite(stack)
    mean = torch.nan_to_num(stack).sum() / known.sum().clamp_min(1)
    return torch.where(known, stack, mean), known
