"""The network: convolutions without constants on what is left of a picture when its brightness is taken out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cemi_denoise_n2v.reach import BLUR_RADIUS_PX, BLUR_SIGMA_PX, DILATIONS


class BlindSpotNetwork(nn.Module):
    """Predicts a picture from a noisy one; every layer is shift-invariant, so that tiles join exactly.

    No layer adds a constant, so that twice the contrast comes out as twice the contrast, a flat picture stays flat, and
    the network works at noise levels that it has not seen (Mohan et al., ICLR 2020). The slow brightness of the picture
    (a Gaussian of 6 px) goes around the network: grey levels are measured later and must not be invented.

    Parameters
    ----------
    features : int
        Channels of each layer.
    """

    taps: Tensor

    def __init__(self, features: int = 24) -> None:
        super().__init__()
        widths = [1, *([features] * len(DILATIONS))]
        layers = [
            nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation, bias=False)
            for before, after, dilation in zip(widths[:-1], widths[1:], DILATIONS, strict=True)
        ]
        self.layers = nn.ModuleList(layers)
        self.last = nn.Conv2d(features, 1, 3, padding=1, bias=False)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
        offsets = torch.arange(-BLUR_RADIUS_PX, BLUR_RADIUS_PX + 1, dtype=torch.float32)
        taps = torch.exp(-0.5 * (offsets / BLUR_SIGMA_PX) ** 2)
        self.register_buffer("taps", taps / taps.sum(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the picture without noise, both (n, 1, h, w)."""
        slow = self._blur(image)
        x = image - slow
        for layer in self.layers:
            x = functional.relu(layer(x))
        x = self.last(x)
        clean: Tensor = slow + x - self._blur(x)
        return clean

    def _blur(self, image: Tensor) -> Tensor:
        """Return the Gaussian mean; at its edges, of what lies inside the picture."""
        column, row = self.taps[None, None, :, None], self.taps[None, None, None, :]
        pad = BLUR_RADIUS_PX
        total = functional.conv2d(functional.conv2d(image, column, padding=(pad, 0)), row, padding=(0, pad))
        ones = torch.ones_like(image[:1])
        inside = functional.conv2d(functional.conv2d(ones, column, padding=(pad, 0)), row, padding=(0, pad))
        return total / inside
