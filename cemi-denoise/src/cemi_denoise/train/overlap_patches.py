"""Batches from overlaps: one view goes into the network, the other is the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cemi_denoise.noise.model import NoiseModel
from cemi_denoise.register.overlaps import Overlap, OverlapSet
from cemi_denoise.train.batches import Batch


def split_overlaps(found: OverlapSet, held_out: float = 0.2) -> tuple[list[Overlap], list[Overlap]]:
    """Return overlaps to train on and overlaps to judge by: pairs of frames, or two parts of the only one.

    The last ones are held out; `find_overlaps` gives them in random order.
    """
    overlaps = list(found.overlaps)
    if len(overlaps) > 1:
        count = max(1, round(held_out * len(overlaps)))
        return overlaps[:-count], overlaps[-count:]
    (only,) = overlaps
    axis = int(np.argmax(only.noisy.shape))
    place = round((1 - held_out) * only.noisy.shape[axis])
    train, held = (
        Overlap(only.frames, *(np.split(view, [place], axis)[part] for view in (only.noisy, only.target)))
        for part in (0, 1)
    )
    return [train], [held]


@dataclass(frozen=True)
class OverlapPatches:
    """Random patches of overlaps, mirrored; not turned, because the noise of a scan has a direction.

    Attributes
    ----------
    overlaps : sequence of Overlap
    noise : NoiseModel
        Of single frames; each patch is told the noise at its mean grey.
    patch_px : int
        Edge of a patch; less where an overlap is smaller.
    batch : int
        Patches of a batch.
    seed : int
    told_error : float
        Standard deviation of the logarithm of the noise that the network is told over the measured one.
    """

    overlaps: Sequence[Overlap]
    noise: NoiseModel
    patch_px: int = 96
    batch: int = 8
    seed: int = 0
    told_error: float = 0.1

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step, the same each time."""
        rng = np.random.default_rng((self.seed, step))
        areas = np.array([overlap.noisy.size for overlap in self.overlaps], float)
        chosen = [self.overlaps[int(n)] for n in rng.choice(len(areas), self.batch, p=areas / areas.sum())]
        edge = min(self.patch_px, *(min(overlap.noisy.shape) for overlap in chosen))
        noisy, target = [], []
        for overlap in chosen:
            y, x = (int(rng.integers(side - edge + 1)) for side in overlap.noisy.shape)
            turned = np.s_[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
            noisy.append(overlap.noisy[y : y + edge, x : x + edge][turned])
            target.append(overlap.target[y : y + edge, x : x + edge][turned])
        told = [
            float(self.noise.sigma(float(patch.mean()))) * math.exp(self.told_error * rng.standard_normal())
            for patch in noisy
        ]
        seen, wanted = (torch.from_numpy(np.stack(part)[:, None]) for part in (noisy, target))
        return Batch(seen, wanted, torch.tensor(told, dtype=torch.float32))
