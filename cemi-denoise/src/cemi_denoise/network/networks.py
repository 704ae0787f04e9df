"""The networks: RRDBNet of ESRGAN at scale 1, a plain U-Net, and the U-Net discriminator of Real-ESRGAN."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from cemi_core.errors import InputError

# ESRGAN begins with a tenth of the usual weights, for its 23 blocks; few blocks learn faster from more
_FEW_BLOCKS = 12


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it (ESRGAN, arXiv:1809.00219, fig. 4)."""

    def __init__(self, features: int, growth: int, initial: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(features + index * growth, growth if index < 4 else features, 3, padding=1) for index in range(5)
        )
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight)
            convolution.weight.data *= initial
            nn.init.zeros_(convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        # where the convolutions are in bfloat16, the sum that runs through all blocks stays in float32
        seen = x.to(self.convolutions[0].weight.dtype)
        for convolution in self.convolutions[:-1]:
            seen = torch.cat((seen, functional.leaky_relu(convolution(seen), 0.2)), 1)
        return x + 0.2 * self.convolutions[-1](seen)


class _ResidualInResidual(nn.Module):
    def __init__(self, features: int, growth: int, initial: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_DenseBlock(features, growth, initial) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.blocks(x)


class DenoisingNetwork(nn.Module):
    """What both generators share: the noise channel, padding to a multiple, and what becomes of the input.

    A subclass gives `body`, which sees 1 or 2 channels of a size that is a multiple of ``multiple``, and returns two: a
    correction c and a smoothing s. The result is y + s (m - y) + c, m the mean of 5 x 5 px of the picture y. To take
    noise away by a correction alone, all of it would have to pass through the few channels of the trunk; so the
    picture's own fine detail, with its noise, is faded out by s, and what c adds is detail only.

    Parameters
    ----------
    multiple : int
        Sizes are padded (mirrored) to a multiple of it inside.
    noise_channel : bool
        Whether the standard deviation of the noise is a second input.
    """

    def __init__(self, multiple: int, noise_channel: bool) -> None:
        super().__init__()
        self.multiple = multiple
        self.noise_channel = noise_channel

    @property
    def input_channels(self) -> int:
        """1, or 2 with the noise channel."""
        return 1 + self.noise_channel

    def body(self, x: Tensor) -> Tensor:
        """Return correction and smoothing (n, 2, h, w) for (n, 1 or 2, h, w)."""
        raise NotImplementedError

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the picture without noise.

        Parameters
        ----------
        image : tensor, shape (n, 1, h, w)
            In [0, 1]; any height and width.
        noise : tensor, shape (n,) or (n, 1, h, w), optional
            Standard deviation of the noise in the same units; 0 or None where it is unknown.

        Returns
        -------
        tensor, shape (n, 1, h, w)
        """
        height, width = image.shape[-2:]
        x = image
        if self.noise_channel:
            level = image.new_zeros(image.shape[0]) if noise is None else noise.to(image)
            if level.ndim == 1:
                level = level[:, None, None, None].expand(-1, 1, height, width)
            x = self.told(image, level)
        bottom, right = -height % self.multiple, -width % self.multiple
        if bottom or right:
            mode = "reflect" if bottom < height and right < width else "replicate"
            x = functional.pad(x, (0, right, 0, bottom), mode=mode)
        return self.mended(image, self.body(x)[..., :height, :width])

    @staticmethod
    def told(image: Tensor, level: Tensor) -> Tensor:
        """Return the picture and the level of its noise, (n, 1, h, w) both, as `body` wants them."""
        # five times, so that usual noise is of the order of the grey levels
        return torch.cat((image, 5 * level), 1)

    @staticmethod
    def mended(image: Tensor, answer: Tensor) -> Tensor:
        """Return the picture (n, 1, h, w) after the correction and the smoothing that `body` answered."""
        correction, smoothing = answer.to(image.dtype).split(1, 1)
        mean = functional.avg_pool2d(image, 5, 1, 2, count_include_pad=False)
        return image + smoothing * (mean - image) + correction


class RRDBNet(DenoisingNetwork):
    """The generator of ESRGAN at scale 1: residual-in-residual dense blocks at a reduced resolution.

    The picture is folded into channels (`pixel_unshuffle`, as BasicSR does for scale 1), so that the trunk works at a
    quarter of the resolution; the result is brought back by nearest-neighbour interpolation and convolutions.

    Source: Wang et al., ESRGAN (arXiv:1809.00219); Wang et al., Real-ESRGAN (arXiv:2107.10833); Lang et al.,
    Microstructures 2025, 5, 2025004, who use 23 blocks of 64 features.

    Parameters
    ----------
    features : int
        Channels of the trunk.
    growth : int
        Channels that each convolution of a dense block adds.
    blocks : int
        Residual-in-residual dense blocks.
    unshuffle : {1, 2, 4}
        How many pixels a side are folded into channels.
    tail : int
        Channels of the convolutions at full resolution.
    noise_channel : bool
        Whether the standard deviation of the noise is a second input.

    Attributes
    ----------
    strip_rows : int or None
        Rows, at the reduced resolution, that are brought back to full resolution at a time, where most memory is
        needed; None for all at once. The answer is the same.
    """

    _MARGIN_ROWS = 5

    def __init__(
        self,
        features: int = 32,
        growth: int = 16,
        blocks: int = 6,
        unshuffle: int = 4,
        tail: int = 16,
        noise_channel: bool = True,
    ) -> None:
        super().__init__(unshuffle, noise_channel)
        if unshuffle not in (1, 2, 4):
            raise ValueError(f"unshuffle is 1, 2 or 4, not {unshuffle}")
        self.unshuffle = unshuffle
        self.strip_rows: int | None = None
        self.first = nn.Conv2d(self.input_channels * unshuffle**2, features, 3, padding=1)
        initial = 0.4 if blocks <= _FEW_BLOCKS else 0.1
        self.trunk = nn.Sequential(*(_ResidualInResidual(features, growth, initial) for _ in range(blocks)))
        self.after_trunk = nn.Conv2d(features, features, 3, padding=1)
        widths = [features, *([tail] * {1: 0, 2: 1, 4: 2}[unshuffle])]
        self.upward = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.reconstruct = nn.Conv2d(widths[-1], tail, 3, padding=1)
        self.last = nn.Conv2d(tail, 2, 3, padding=1)
        # a network that has learnt nothing leaves the picture as it is
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def body(self, x: Tensor) -> Tensor:
        """Return correction and smoothing (n, 2, h, w) for (n, 1 or 2, h, w)."""
        x = self.first(functional.pixel_unshuffle(x, self.unshuffle))
        x = x + self.after_trunk(self.trunk(x))
        if self.strip_rows is None:
            return self._upward(x)
        strips = range(0, x.shape[2], self.strip_rows)
        return torch.cat([self._upward_strip(x, row, row + self.strip_rows) for row in strips], 2)

    def _upward_strip(self, x: Tensor, top: int, bottom: int) -> Tensor:
        above = min(top, self._MARGIN_ROWS)
        strip = self._upward(x[:, :, top - above : bottom + self._MARGIN_ROWS])
        return strip[:, :, above * self.unshuffle :][:, :, : (bottom - top) * self.unshuffle]

    def _upward(self, x: Tensor) -> Tensor:
        for convolution in self.upward:
            x = functional.leaky_relu(convolution(functional.interpolate(x, scale_factor=2.0, mode="nearest")), 0.2)
        return self.last(functional.leaky_relu(self.reconstruct(x), 0.2))


class _TwoConvolutions(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(after, after, 3, padding=1),
            nn.LeakyReLU(0.2),
        )


class UNet(DenoisingNetwork):
    """A plain U-Net to compare with (Ronneberger et al., arXiv:1505.04597).

    Parameters
    ----------
    features : int
        Channels at full resolution; doubled at each level.
    levels : int
        How often the picture is halved.
    noise_channel : bool
        Whether the standard deviation of the noise is a second input.
    """

    def __init__(self, features: int = 16, levels: int = 3, noise_channel: bool = True) -> None:
        super().__init__(2**levels, noise_channel)
        widths = [features * 2**level for level in range(levels + 1)]
        self.first = _TwoConvolutions(self.input_channels, features)
        self.downward = nn.ModuleList(_TwoConvolutions(before, after) for before, after in pairwise(widths))
        self.upward = nn.ModuleList(
            _TwoConvolutions(before + after, after) for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(features, 2, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def body(self, x: Tensor) -> Tensor:
        """Return correction and smoothing (n, 2, h, w) for (n, 1 or 2, h, w)."""
        seen = [self.first(x)]
        for level in self.downward:
            seen.append(level(functional.avg_pool2d(seen[-1], 2)))
        x = seen.pop()
        for level in self.upward:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = level(torch.cat((x, seen.pop()), 1))
        return self.last(x)


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


_GENERATORS: dict[str, type[DenoisingNetwork]] = {"RRDBNet": RRDBNet, "UNet": UNet}


def build_network(architecture: Mapping[str, Any]) -> DenoisingNetwork:
    """Return the network that ``architecture`` describes: its class in ``name``, the rest its arguments.

    Raises
    ------
    InputError
        There is no such network, or it does not take these arguments.
    """
    arguments = {key: value for key, value in architecture.items() if key != "name"}
    name = str(architecture.get("name"))
    if name not in _GENERATORS:
        raise InputError(f"unknown network {name!r}; there are: {', '.join(_GENERATORS)}")
    try:
        return _GENERATORS[name](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the network {name} cannot be made with {arguments}: {error}") from error


def parameter_count(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def receptive_field_px(network: DenoisingNetwork, share: float = 0.99, size_px: int = 257, seed: int = 0) -> int:
    """Return how far from a pixel its result still depends on the input, measured.

    The gradient of the pixel in the middle with respect to a noisy picture is summed, in magnitude, over squares
    around it; the answer is half the edge of the smallest square that holds ``share`` of it.

    Parameters
    ----------
    network : DenoisingNetwork
    share : float
        In (0, 1).
    size_px : int
        Edge of the picture it is measured on.
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    image = (0.5 + 0.1 * torch.randn((1, 1, size_px, size_px), generator=generator)).requires_grad_()
    middle = size_px // 2
    # four neighbours: a folded picture treats the pixels of a block differently
    network(image, torch.tensor([0.1]))[0, 0, middle : middle + 4, middle : middle + 4].abs().sum().backward()
    if image.grad is None:
        raise RuntimeError("the network passes no gradient to its input")
    weight = image.grad[0, 0].abs()
    rows = (torch.arange(size_px) - middle).abs()
    distance = torch.maximum(rows[:, None], rows[None, :])
    per_ring = torch.zeros(int(distance.max()) + 1).index_add_(0, distance.flatten(), weight.flatten())
    inside = torch.cumsum(per_ring, 0) / per_ring.sum()
    return int(torch.searchsorted(inside, torch.tensor(share)))
