"""The batch of a step: patches of labelled images, each seen in another way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cemi_analyze.train.views import Views
from cemi_learn.data.patches import LabelledPatches


@dataclass(frozen=True)
class ViewedPatches:
    """Patches, and what a microscope makes of them.

    Attributes
    ----------
    patches : LabelledPatches
    views : Views or None
        None shows them as they are.
    """

    patches: LabelledPatches
    views: Views | None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images (n, c, h, w) and classes (n, h, w) of a step."""
        images, classes = self.patches(step)
        if self.views is None:
            return images, classes
        rng = np.random.default_rng((self.patches.seed, step, 1))
        shown = [self.views(image[0].numpy(), of.numpy(), rng) for image, of in zip(images, classes, strict=True)]
        return (
            torch.from_numpy(np.stack([image for image, _ in shown])[:, None]),
            torch.from_numpy(np.stack([of for _, of in shown])),
        )
