"""Batches to train on: patches of clean pictures, each with noise put on it anew, or of registered pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cemi_core.errors import InputError
from cemi_core.model.frame import to_unit_range
from cemi_denoise.noise.degrade import Degradation
from cemi_denoise.noise.local import local_noise_map

#: Standard deviation of grain, from and to, and the largest blur of it.
_GRAIN = (0.01, 0.08)
_GRAIN_BLUR_PX = 0.8


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
class MixedBatches:
    """Batches of several kinds of data, each with its share of the steps.

    Attributes
    ----------
    parts : sequence of (float, Batches)
        Each with its share.
    seed : int
    """

    parts: Sequence[tuple[float, Batches]]
    seed: int = 0

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step, from one of the parts."""
        shares = np.array([share for share, _ in self.parts], float)
        # a third number, so that the choice has nothing to do with what the parts draw for the same step
        index = np.random.default_rng((self.seed, step, 1)).choice(len(shares), p=shares / shares.sum())
        return self.parts[int(index)][1](step)


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
    told_measured : float
        Share of patches for which it is told what `local_noise_map` measures, as where it is used later: that is more
        often too high than too low, because fine structure passes for noise.
    grain : float
        Share of patches whose clean picture gets fine grain, of which the network is told nothing: real pictures have
        fine structure, and slow scans noise of their own. So it learns to take away what it is told, and no more.
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
    told_measured: float = 0.0
    grain: float = 0.0

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
        patches = [self._patch(rng) for _ in range(self.batch)]
        grainy = rng.random(self.batch) < self.grain if self.grain else np.zeros(self.batch, bool)
        for index in np.flatnonzero(grainy):
            patches[index] = np.clip(patches[index] + _grain(self.patch_px, rng), 0, 1)
        clean = torch.from_numpy(np.stack(patches)[:, None])
        shares = np.array([share for share, _ in self.degradations], float)
        degrade = self.degradations[int(rng.choice(len(shares), p=shares / shares.sum()))][1]
        degraded = degrade(clean, generator)
        told = degraded.noise * torch.exp(self.told_error * torch.randn(self.batch, generator=generator))
        informed = torch.rand(self.batch, generator=generator) >= self.told_nothing
        informed |= torch.from_numpy(grainy)
        for index in np.flatnonzero((rng.random(self.batch) < self.told_measured) & ~grainy):
            level = float(local_noise_map(degraded.image[index, 0].numpy()).mean())
            told[index] = level if np.isfinite(level) else 0.0
        return Batch(degraded.image, clean, told * informed)

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


def _grain(edge_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return fine grain (edge, edge) of a random strength and size, mean 0."""
    grain = gaussian_filter(rng.standard_normal((edge_px, edge_px)), rng.uniform(0, _GRAIN_BLUR_PX))
    strength = np.exp(rng.uniform(*np.log(_GRAIN)))
    return np.asarray(grain * (strength / grain.std()), np.float32)


@dataclass(frozen=True)
class SeenTwice:
    """Two registered views of one field.

    Attributes
    ----------
    noisy, target : ndarray of float32, shape (h, w)
        In [0, 1], finite.
    noise : float
        Standard deviation of the noise of ``noisy``.
    """

    noisy: NDArray[np.float32]
    target: NDArray[np.float32]
    noise: float


@dataclass(frozen=True)
class PairedPatches:
    """Random patches of real pairs, mirrored; never turned, because noise hangs together along the scan line.

    Attributes
    ----------
    pairs : sequence of SeenTwice
        Larger ones are taken from more often.
    patch_px, batch, seed, told_error, told_nothing
        As in `DegradedPatches`.
    contrast : tuple of float
        Range of the factor by which grey levels, and with them the noise, are spread around a patch's mean.
    """

    pairs: Sequence[SeenTwice]
    patch_px: int = 128
    batch: int = 8
    seed: int = 0
    contrast: tuple[float, float] = (0.6, 1.4)
    told_error: float = 0.1
    told_nothing: float = 0.15

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step."""
        rng = np.random.default_rng((self.seed, step))
        sizes = np.array([pair.noisy.size for pair in self.pairs], float)
        chosen = rng.choice(len(sizes), self.batch, p=sizes / sizes.sum())
        noisy, target, noise = zip(*(self._patch(self.pairs[int(index)], rng) for index in chosen), strict=True)
        told = np.array(noise) * np.exp(self.told_error * rng.standard_normal(self.batch))
        told *= rng.random(self.batch) >= self.told_nothing
        seen, wanted = (torch.from_numpy(np.stack(patches)[:, None]) for patches in (noisy, target))
        return Batch(seen, wanted, torch.from_numpy(told.astype(np.float32)))

    def _patch(
        self, pair: SeenTwice, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        y, x = (int(rng.integers(edge - self.patch_px + 1)) for edge in pair.noisy.shape)
        place = slice(y, y + self.patch_px), slice(x, x + self.patch_px)
        step_y, step_x = (int(rng.choice((-1, 1))) for _ in range(2))
        noisy, target = (view[place][::step_y, ::step_x] for view in (pair.noisy, pair.target))
        factor, mean = np.float32(rng.uniform(*self.contrast)), target.mean()
        noisy, target = (np.clip(mean + factor * (view - mean), 0, 1, dtype=np.float32) for view in (noisy, target))
        return noisy, target, float(factor) * pair.noise
