"""Fine-tuning of a network on the user's own overlapping frames, kept only if it is better where it was not trained."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.errors import InputError
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_denoise.network.networks import DenoisingNetwork
from cemi_denoise.register.overlaps import OverlapSet, find_overlaps
from cemi_denoise.train.batches import Batch
from cemi_denoise.train.overlap_patches import OverlapPatches, split_overlaps
from cemi_learn.bench.average import moving_average

_PATCH_PX = 96
_BATCH = 8
_JUDGING_BATCHES = 8
_LOOKS = 4
_AVERAGE = 0.98
#: Standard errors by which the held-out error must have fallen: chance does so once in twenty.
_BEYOND_CHANCE = 1.64


@dataclass(frozen=True)
class Adaptation:
    """What came of fine-tuning.

    Attributes
    ----------
    network : DenoisingNetwork
        The one to use, in evaluation mode on the CPU: adapted, or as it was.
    used : bool
        Whether it is the adapted one.
    steps : int
        Batches that were trained on.
    change, change_error : float
        Relative change of the mean squared difference between denoised view and second view on held-out overlaps (most
        of which is the second view's noise), and its standard error; NaN if nothing was trained.
    note : str
        A sentence for the report.
    """

    network: DenoisingNetwork
    used: bool
    steps: int
    change: float
    change_error: float
    note: str


def adapt_to_overlaps(
    network: DenoisingNetwork,
    frames: FrameSource,
    layout: Layout,
    minutes: float = 3.0,
    seed: int = 0,
    threads: int = 1,
    steps: int | None = None,
    device: str = "cpu",
    learning_rate: float = 1e-4,
) -> Adaptation:
    """Return a network that is at least as good on these frames, trained on their overlaps (Noise2Noise).

    The squared error is minimised, because with a noisy target only the mean is the specimen. A fifth of the overlaps
    is held out; at several times during the training the averaged weights are judged on it, and the best ones are used
    if they are better than those that came in by more than chance. Better means a smaller squared error: how sharp a
    picture looks may suffer. On virtual lamellae 60 steps brought semgan-small 0.5 dB and 16 % less LPIPS, on virtual
    polycrystals 0.8 dB and 6 % more.

    Parameters
    ----------
    network : DenoisingNetwork
        Trained or not; left as it is.
    frames : FrameSource
        Raw frames, in which the same place is seen more than once.
    layout : Layout
        Where they lie.
    minutes : float
        Time for all of it; it ends with the step that is under way.
    seed : int
        With ``steps``, and time enough, the same seed gives the same weights on the same machine.
    threads : int
        Threads to compute with.
    steps : int, optional
        At most so many batches.
    device : str
        A torch device name.
    learning_rate : float
        Of Adam; it falls to a twentieth along a cosine.
    """
    start = time.monotonic()
    kept = copy.deepcopy(network).to("cpu").eval()
    try:
        found = find_overlaps(frames, layout, _PATCH_PX, seed, threads=threads)
    except InputError as error:
        return Adaptation(kept, False, 0, math.nan, math.nan, f"The weights are as they were, not adapted: {error}.")
    with _threads(threads):
        tuning = _Tuning(network, found, seed, device, learning_rate)
        while (progress := tuning.progress(time.monotonic() - start, 60 * minutes, steps)) < 1:
            tuning.step(progress)
        best, change, spread = tuning.result()
    used = change + _BEYOND_CHANCE * spread < 0
    where = f"{tuning.steps} steps on {tuning.trained_on} overlaps, judged on {tuning.judged_on} others"
    difference = (
        f"the mean squared difference to the second view changed by {change:+.2%} (standard error {spread:.2%})"
    )
    if used:
        return Adaptation(best, True, tuning.steps, change, spread, f"Adapted to the frames: {where}; {difference}.")
    note = f"The weights are not adapted, since that did not help: {where}; {difference}."
    return Adaptation(kept, False, tuning.steps, change, spread, note)


class _Tuning:
    """A network in training, its moving average, and the best of the averages so far."""

    def __init__(self, network: DenoisingNetwork, found: OverlapSet, seed: int, device: str, rate: float) -> None:
        train, held = split_overlaps(found)
        self.trained_on, self.judged_on = len(train), len(held)
        self._device, self._rate = torch.device(device), rate
        self._batches = OverlapPatches(train, found.noise, _PATCH_PX, _BATCH, seed)
        judging = OverlapPatches(held, found.noise, _PATCH_PX, _BATCH, seed + 1, told_error=0.0)
        self._judging = [judging(number) for number in range(_JUDGING_BATCHES)]
        self._floor = float(found.noise.sigma(0.5)) ** 2
        self._network = copy.deepcopy(network).to(self._device).train()
        self._averaged = moving_average(self._network, _AVERAGE)
        self._optimizer = torch.optim.Adam(self._network.parameters(), rate)
        self._before = self._losses()
        self._best = (0.0, 0.0, copy.deepcopy(self._average))
        self._looks = 0
        self._diverged = False
        self.steps = 0

    def progress(self, seconds: float, most_seconds: float, most_steps: int | None) -> float:
        """Return the share of the budget that is spent, and judge the weights where it is time to."""
        late = seconds >= most_seconds
        # counted in steps alone if they are given, because the time that a step takes varies
        share = seconds / most_seconds if most_steps is None else self.steps / most_steps
        if self.steps and (late or share * _LOOKS >= self._looks + 1):
            self._looks = int(share * _LOOKS)
            self._look()
        return 1.0 if late or self._diverged else share

    def step(self, progress: float) -> None:
        """Train on one batch."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))
        output, target = self._denoised(self._network, self._batches(self.steps))
        loss = (output - target).square().mean() / max(self._floor, 1e-8)
        if not math.isfinite(float(loss.detach())):
            self._diverged = True
            return
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self.steps += 1
        self._averaged.update_parameters(self._network)

    @property
    def _average(self) -> DenoisingNetwork:
        average = self._averaged.module
        assert isinstance(average, DenoisingNetwork)
        return average

    def result(self) -> tuple[DenoisingNetwork, float, float]:
        """Return the best weights, and the relative change of the held-out error with its standard error."""
        change, error, network = self._best
        return network.to("cpu").eval(), change, error

    def _look(self) -> None:
        after = self._losses()
        if not np.isfinite(after).all():
            self._diverged = True
            return
        mean = float(self._before.mean())
        difference = after - self._before
        change = float(difference.mean()) / mean
        error = float(difference.std(ddof=1)) / math.sqrt(len(difference)) / mean
        if change < self._best[0] or self._best[1] == 0.0:
            self._best = (change, error, copy.deepcopy(self._average))

    def _losses(self) -> NDArray[np.float64]:
        """Return the mean squared difference to the second view of each held-out patch."""
        values: list[Tensor] = []
        with torch.no_grad():
            for batch in self._judging:
                output, target = self._denoised(self._average, batch)
                values.append((output - target).square().mean((1, 2, 3)).cpu())
        return torch.cat(values).double().numpy()

    def _denoised(self, network: DenoisingNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        noisy, target, noise = (part.to(self._device) for part in (batch.noisy, batch.target, batch.noise))
        return network(noisy, noise), target


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, number))
    try:
        yield
    finally:
        torch.set_num_threads(before)
