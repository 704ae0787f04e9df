"""A backbone as decoders use it: images in, features of each stage out, coarser and coarser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Pixels a side that each stage folds into one.
STRIDES = (2, 4, 8, 16, 32)
_TRIAL_PX = 64


class Backbone(nn.Module):
    """Normalises images as the weights expect them, and answers with the images and the features of each stage.

    It is an encoder of segmentation_models_pytorch too (``out_channels``, ``output_stride``).

    Parameters
    ----------
    body : nn.Module
        Answers with a list of features for images of as many channels as ``mean`` has.
    channels : sequence of int
        Features of each stage.
    in_channels : int
        Of the images. One channel is shown to all of the body's; other numbers are mixed by a layer that learns.
    mean, std : sequence of float
        Of the images that the weights were trained on, on the [0, 1] scale.
    """

    def __init__(
        self, body: nn.Module, channels: Sequence[int], in_channels: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.body = body
        self.out_channels = [in_channels, *channels]
        self.output_stride = STRIDES[-1]
        self.mix: nn.Module = nn.Identity()
        if in_channels not in (1, len(mean)):
            mix = nn.Conv2d(in_channels, len(mean), 1, bias=False)
            nn.init.constant_(mix.weight, 1 / in_channels)
            self.mix = mix
        self._width = len(mean)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the images (n, c, h, w) and the features of each stage; h and w are multiples of 32."""
        colours = self.mix(image).expand(-1, self._width, -1, -1)
        features: list[Tensor] = self.body((colours - self.mean) / self.std)
        return [image, *features]


class Stages(nn.Module):
    """Modules in a row, cut where the image gets smaller.

    Parameters
    ----------
    modules : sequence of nn.Module
        From three channels on; each halves the image or leaves its size.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        parts: dict[int, list[nn.Module]] = {}
        self.channels: tuple[int, ...] = ()
        widths: dict[int, int] = {}
        x = torch.zeros(1, 3, _TRIAL_PX, _TRIAL_PX)
        for module in modules:
            with torch.no_grad():
                x = module.eval()(x)
            stride = max(STRIDES[0], _TRIAL_PX // x.shape[-1])  # what keeps the full size belongs to the first stage
            parts.setdefault(stride, []).append(module)
            widths[stride] = int(x.shape[1])
        self.channels = tuple(widths.get(stride, 0) for stride in STRIDES)
        self.stages = nn.ModuleList(nn.Sequential(*parts.get(stride, [])) for stride in STRIDES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of each stage; of one that is missing, features of no channels."""
        count, _, height, width = x.shape
        features = []
        for stride, channels, stage in zip(STRIDES, self.channels, self.stages, strict=True):
            if channels:
                x = stage(x)
            features.append(x if channels else x.new_zeros(count, 0, height // stride, width // stride))
        return features
