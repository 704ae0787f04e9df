"""Batches to train on: patches of clean pictures, each with noise put on it anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.errors import InputError
from cemi_core.model.frame import to_unit_range
from cemi_denoise.degrade import Degradation


@dataclass(frozen=True)
class Batch:
    """What one step of training sees.

    Attributes
    ----------
    noisy, target : tensor, shape (n, 1, h, w)
        In [0, 1]; the target is clean, or another noisy view of the same place (Noise2Noise).
    noise : tensor, shape (n,)
        Standard deviation of the noise that the network is told; 0 where it is told nothing.
    """

    noisy: Tensor
    target: Tensor
    noise: Tensor


#: A batch for a step: the same step always gives the same batch, so that training can be resumed anywhere.
Batches = Callable[[int], Batch]


@dataclass(frozen=True)
class DegradedPatches:
    """Random patches of clean pictures, mirrored and turned, with noise.

    Attributes
    ----------
    images : sequence of ndarray, each (h, w)
        Clean pictures; uint8, uint16, or float in [0, 1].
    degradations : sequence of (float, Degradation)
        Each with its share of the batches.
    patch_px : int
        Edge of a patch.
    batch : int
        Patches of a batch.
    seed : int
    contrast : tuple of float
        Range of the factor by which grey levels are spread around a patch's mean.
    inverted : float
        Share of patches whose grey levels are inverted.
    told_error : float
        Standard deviation of the logarithm of the noise that the network is told over the true one: the noise of a
        picture is known to some 10 % only.
    told_nothing : float
        Share of patches for which the network is told no noise.
    """

    images: Sequence[NDArray[np.generic]]
    degradations: Sequence[tuple[float, Degradation]]
    patch_px: int = 128
    batch: int = 8
    seed: int = 0
    contrast: tuple[float, float] = (0.6, 1.4)
    inverted: float = 0.15
    told_error: float = 0.1
    told_nothing: float = 0.15

    def __post_init__(self) -> None:
        """Refuse pictures that no patch fits into."""
        if not self.images:
            raise InputError("there is no picture to train on")
        small = [image.shape for image in self.images if min(image.shape) < self.patch_px]
        if small:
            raise InputError(
                f"a picture of {small[0]} px is smaller than a patch of {self.patch_px} px; lower 'patch_px'"
            )

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step."""
        rng = np.random.default_rng((self.seed, step))
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        clean = torch.from_numpy(np.stack([self._patch(rng) for _ in range(self.batch)])[:, None])
        shares = np.array([share for share, _ in self.degradations], float)
        degrade = self.degradations[int(rng.choice(len(shares), p=shares / shares.sum()))][1]
        degraded = degrade(clean, generator)
        told = degraded.noise * torch.exp(self.told_error * torch.randn(self.batch, generator=generator))
        told = told * (torch.rand(self.batch, generator=generator) >= self.told_nothing)
        return Batch(degraded.image, clean, told)

    def _patch(self, rng: np.random.Generator) -> NDArray[np.float32]:
        image = self.images[int(rng.integers(len(self.images)))]
        y, x = (int(rng.integers(edge - self.patch_px + 1)) for edge in image.shape)
        part = image[y : y + self.patch_px, x : x + self.patch_px]
        patch = to_unit_range(part) if part.dtype.kind == "u" else part.astype(np.float32)
        if rng.random() < 0.5:
            patch = patch.T
        patch = patch[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
        if rng.random() < self.inverted:
            patch = 1 - patch
        mean = patch.mean()
        return np.clip(mean + np.float32(rng.uniform(*self.contrast)) * (patch - mean), 0, 1, dtype=np.float32)
