"""Random patches of annotated images, as a function of the step's number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.errors import InputError
from cemi_learn.data.labelled import IGNORED, LabelledImage, LabelledSet


@dataclass(frozen=True)
class LabelledPatches:
    """Random patches, mirrored and turned; an image is taken from the more often the larger it is.

    Attributes
    ----------
    data : LabelledSet
    patch_px : int
        Edge of a patch. A smaller image is mirrored at its edges, and nothing is said of what is added.
    batch : int
        Patches of a batch.
    seed : int
    turned : bool
        Whether patches are turned by quarters too; not where the direction of the scan matters.
    contrast : tuple of float
        Range of the factor by which grey levels are spread around a patch's mean.
    """

    data: LabelledSet
    patch_px: int = 128
    batch: int = 8
    seed: int = 0
    turned: bool = True
    contrast: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse an empty set, and images of different numbers of channels."""
        if not self.data.images:
            raise InputError("there is no annotated image to train on")
        channels = {1 if image.pixels.ndim == 2 else len(image.pixels) for image in self.data.images}
        if len(channels) > 1:
            raise InputError(f"images of {' and '.join(map(str, sorted(channels)))} channels are mixed; give one kind")

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images (n, c, h, w), float32 in [0, 1], and classes (n, h, w), int64, of the batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        sizes = np.array([image.mask.size for image in self.data.images], float)
        chosen = rng.choice(len(sizes), self.batch, p=sizes / sizes.sum())
        patches = [self._patch(self.data.images[int(index)], rng) for index in chosen]
        images, masks = (np.stack(parts) for parts in zip(*patches, strict=True))
        return torch.from_numpy(images), torch.from_numpy(masks.astype(np.int64))

    def _patch(self, image: LabelledImage, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        edge = self.patch_px
        y, x = (int(rng.integers(max(size - edge, 0) + 1)) for size in image.shape)
        where = slice(y, y + edge), slice(x, x + edge)
        pixels, mask = image.pixels[(..., *where)], image.mask[where]
        part = LabelledImage(image.name, pixels, mask, image.specimen).channels
        below, right = edge - mask.shape[0], edge - mask.shape[1]
        if below or right:
            part = np.pad(part, ((0, 0), (0, below), (0, right)), mode="symmetric")
            mask = np.pad(mask, ((0, below), (0, right)), constant_values=IGNORED)
        if self.turned and rng.random() < 0.5:
            part, mask = part.transpose(0, 2, 1), mask.T
        down, across = (int(rng.choice((-1, 1))) for _ in range(2))
        part, mask = part[:, ::down, ::across], mask[::down, ::across]
        mean = part.mean((1, 2), keepdims=True)
        spread = mean + np.float32(rng.uniform(*self.contrast)) * (part - mean)
        return np.clip(spread, 0, 1, dtype=np.float32), np.ascontiguousarray(mask)
