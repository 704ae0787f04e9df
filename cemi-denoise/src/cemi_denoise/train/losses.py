"""What the networks are trained to make small: perceptual and adversarial losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cemi_denoise.train.perceptual import Vgg19Features, find_vgg19, read_vgg19

#: Weights of the five taps (convolutions 1_2, 2_2, 3_4, 4_4, 5_4) in Real-ESRGAN (arXiv:2107.10833, section 4.1).
TAP_WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)


class PerceptualLoss(nn.Module):
    """How differently VGG19 sees two pictures: the mean absolute difference of its features, summed over five taps.

    Its parameters are frozen; move it to a device with ``.to``. The features of the target carry no gradient.

    Parameters
    ----------
    features : Vgg19Features
    weights : sequence of float
        Of the five taps.
    """

    def __init__(self, features: Vgg19Features, weights: Sequence[float] = TAP_WEIGHTS) -> None:
        super().__init__()
        self.features = features
        self.weights = tuple(weights)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        output, target : tensor, shape (n, 1 or 3, h, w)
            In [0, 1]; at least 32 px a side.
        """
        with torch.no_grad():
            wanted = self.features(target)
        parts = [
            weight * functional.l1_loss(found, sought)
            for weight, found, sought in zip(self.weights, self.features(output), wanted, strict=True)
        ]
        return torch.stack(parts).sum()


def load_perceptual_loss(weights_dir: str | Path | None = None) -> PerceptualLoss:
    """Return the perceptual loss with the VGG19 that lies in ``weights_dir`` or where torchvision keeps its own.

    Raises
    ------
    InputError
        There is none, or its file is damaged.
    """
    return PerceptualLoss(Vgg19Features(read_vgg19(find_vgg19(weights_dir))))


def gan_loss(logits: Tensor, real: bool) -> Tensor:
    """Return how far the discriminator is from saying ``real`` (or not) of every pixel: binary cross-entropy, mean.

    The discriminator minimises ``gan_loss(of_target, True) + gan_loss(of_output, False)``, the generator
    ``gan_loss(of_output, True)``: the "vanilla" loss of ESRGAN (arXiv:1809.00219) and Real-ESRGAN.

    Parameters
    ----------
    logits : tensor
        What the discriminator says, any shape.
    real : bool
        What it should say.
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
