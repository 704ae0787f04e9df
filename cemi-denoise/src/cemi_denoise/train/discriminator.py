"""The adversary of SEMGAN: the U-Net discriminator of Real-ESRGAN."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


class UNetDiscriminator(nn.Module):
    """A U-Net that says of every pixel whether it looks real, with spectral normalisation.

    Source: Real-ESRGAN (arXiv:2107.10833), section 3.3; 4.4 M parameters at 64 features.

    Parameters
    ----------
    features : int
        Channels at full resolution.
    """

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(4)]
        self.first = nn.Conv2d(1, features, 3, padding=1)
        self.downward = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))
            for before, after in pairwise(widths)
        )
        self.upward = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 3, padding=1, bias=False))
            for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.extra = nn.ModuleList(
            spectral_norm(nn.Conv2d(features, features, 3, padding=1, bias=False)) for _ in range(2)
        )
        self.last = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (n, 1, h, w) for pictures (n, 1, h, w) whose sizes are multiples of 8."""
        seen = [functional.leaky_relu(self.first(image), 0.2)]
        for level in self.downward:
            seen.append(functional.leaky_relu(level(seen[-1]), 0.2))
        x = seen.pop()
        for level in self.upward:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = functional.leaky_relu(level(x), 0.2) + seen.pop()
        for convolution in self.extra:
            x = functional.leaky_relu(convolution(x), 0.2)
        return self.last(x)
