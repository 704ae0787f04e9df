"""The networks that take noise away: RRDBNet of ESRGAN at scale 1, and a plain U-Net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cemi_core.errors import InputError

# ESRGAN begins with a tenth of the usual weights, for its 23 blocks; few blocks learn faster from more
_FEW_BLOCKS = 12

# what the filters of `_Kernels` begin as: lines of so many directions, and spots of these standard deviations
_DIRECTIONS = 8
_SPOTS_PX = (0.5, 0.8, 1.2, 2.0)


def _clear(values: Tensor | None) -> None:
    """Fill constants with 0, where a layer has any."""
    if values is not None:
        nn.init.zeros_(values)


def _dtype_of(layer: nn.Module) -> torch.dtype:
    """Return the number type that a layer computes in."""
    return next(layer.parameters()).dtype


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it (ESRGAN, arXiv:1809.00219, fig. 4)."""

    def __init__(self, features: int, growth: int, initial: float) -> None:
        super().__init__()
        convolutions = [
            nn.Conv2d(features + index * growth, growth if index < 4 else features, 3, padding=1) for index in range(5)
        ]
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight)
            convolution.weight.data *= initial
            _clear(convolution.bias)
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, x: Tensor) -> Tensor:
        # where the convolutions are in bfloat16, the sum that runs through all blocks stays in float32
        seen = x.to(_dtype_of(self.convolutions[0]))
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
    """What the generators share: the noise channel, padding to a multiple, and what becomes of the input.

    A subclass gives `body`, which sees a padded picture y and returns it mended: y + s (m - y) + c, m the mean of
    5 x 5 px, s and c what the network answers for every pixel. To take noise away by a correction c alone, all of it
    would have to pass through the few channels of the trunk; so the picture's own fine detail, with its noise, is faded
    out by s, and what c adds is detail only.

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
        """Return the mended picture (n, 1, h, w) for (n, 1 or 2, h, w), h and w multiples of ``multiple``."""
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
        return self.body(x)[..., :height, :width]

    @staticmethod
    def told(image: Tensor, level: Tensor) -> Tensor:
        """Return the picture and the level of its noise, (n, 1, h, w) both, as `body` wants them."""
        # five times, so that usual noise is of the order of the grey levels
        return torch.cat((image, 5 * level), 1)


def _mended(image: Tensor, answer: Tensor) -> Tensor:
    """Return the picture (n, 1, h, w) after the correction and the smoothing (n, 2, h, w) that a network answered."""
    correction, smoothing = answer.to(image.dtype).split(1, 1)
    mean = functional.avg_pool2d(image, 5, 1, 2, count_include_pad=False)
    return image + smoothing * (mean - image) + correction


class _Detail(nn.Module):
    """What the picture itself shows at one resolution, joined to what the trunk tells of the surroundings.

    Adds nothing before it has learnt.
    """

    def __init__(self, inputs: int, told: int, width: int, fold: int, depth: int) -> None:
        super().__init__()
        self.fold = fold
        self.look = nn.Conv2d(inputs * fold**2, width, 3, padding=1)
        self.join = nn.Conv2d(told + width, width, 3, padding=1)
        self.deepen = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.give = nn.Conv2d(width, told, 3, padding=1)
        for convolution in (*self.deepen, self.give):
            nn.init.zeros_(convolution.weight)
            nn.init.zeros_(convolution.bias)

    def forward(self, told: Tensor, x: Tensor) -> Tensor:
        x, known = (tensor.to(self.look.weight.dtype) for tensor in (x, told))
        seen = functional.leaky_relu(self.look(functional.pixel_unshuffle(x, self.fold) if self.fold > 1 else x), 0.2)
        seen = functional.leaky_relu(self.join(torch.cat((known, seen), 1)), 0.2)
        for convolution in self.deepen:
            seen = seen + functional.leaky_relu(convolution(seen), 0.2)
        return told + self.give(seen)


class _Kernels(nn.Module):
    """A bank of filters, each faded in where it is good: what smooths along a lamella spares its edges.

    The filters begin as lines of eight directions and as round spots, and are learnt; all weights begin at 0.

    Source: basis prediction (Xia et al., arXiv:1912.04421), after kernel prediction (Mildenhall et al.,
    arXiv:1712.02327).
    """

    EDGE_PX = 9

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.bank = nn.Conv2d(1, count, self.EDGE_PX, bias=False)
        self.weigh = nn.Conv2d(channels, count, 3, padding=1)
        nn.init.zeros_(self.weigh.weight)
        _clear(self.weigh.bias)
        along = torch.arange(self.EDGE_PX) - self.EDGE_PX // 2
        y, x = torch.meshgrid(along, along, indexing="ij")
        for index in range(count):
            angle = math.pi * index / _DIRECTIONS
            turned = x * math.cos(angle) + y * math.sin(angle), x * math.sin(angle) - y * math.cos(angle)
            spot = _SPOTS_PX[index % len(_SPOTS_PX)]
            lengths = (2.0, 0.5) if index < _DIRECTIONS else (spot, spot)
            bell = (turned[0] / lengths[0]) ** 2 + (turned[1] / lengths[1]) ** 2
            kernel = torch.exp(-0.5 * bell)
            self.bank.weight.data[index, 0] = kernel / kernel.sum()

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Return what the filters change of the picture (n, 1, h, w)."""
        edge = self.EDGE_PX // 2
        with torch.autocast(image.device.type, enabled=False):  # it would round the picture to 8 bits
            filtered = self.bank(functional.pad(image, (edge,) * 4, mode="replicate"))
        weights = self.weigh(features)
        return (weights * filtered).sum(1, keepdim=True) - weights.sum(1, keepdim=True) * image


class RRDBNet(DenoisingNetwork):
    """The generator of ESRGAN at scale 1: residual-in-residual dense blocks at a reduced resolution.

    The picture is folded into channels (`pixel_unshuffle`, as BasicSR does for scale 1), so that the trunk works at a
    quarter of the resolution; the result is brought back by nearest-neighbour interpolation and convolutions. A small
    trunk has fewer channels than the pixels folded into it: it cannot carry each of them. So ``detail`` shows the
    picture again to the convolutions at half and at full resolution, and ``kernels`` lets them choose, for every pixel,
    how it is smoothed.

    Source: Wang et al., ESRGAN (arXiv:1809.00219); Wang et al., Real-ESRGAN (arXiv:2107.10833); Lang et al.,
    Microstructures 2025, 5, 2025004, who use 23 blocks of 64 features. ``detail`` and ``kernels`` are not theirs.

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
    detail : int
        Channels at full resolution, twice as many at half, that see the picture again; 0 for none.
    kernels : int
        Filters of 9 x 9 px that are mixed for every pixel; 0 for none.
    noise_channel : bool
        Whether the standard deviation of the noise is a second input.

    Attributes
    ----------
    strip_rows : int or None
        Rows, at the reduced resolution, that are brought back to full resolution at a time, where most memory is
        needed; None for all at once. The answer is the same.
    """

    # a strip's result depends on 21 px above and below it, counted along the convolutions of the way up
    _MARGIN_PX = 24

    def __init__(
        self,
        features: int = 32,
        growth: int = 16,
        blocks: int = 6,
        unshuffle: int = 4,
        tail: int = 16,
        detail: int = 0,
        kernels: int = 0,
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
        folds = {1: (1,), 2: (1,), 4: (2, 1)}[unshuffle] if detail else ()
        self.details = nn.ModuleList(
            _Detail(self.input_channels, widths[-1], detail * fold, fold, depth=3 - fold) for fold in folds
        )
        self.kernels = _Kernels(tail, kernels) if kernels else None
        # a network that has learnt nothing leaves the picture as it is
        nn.init.zeros_(self.last.weight)
        _clear(self.last.bias)

    def body(self, x: Tensor) -> Tensor:
        """Return the mended picture (n, 1, h, w) for (n, 1 or 2, h, w)."""
        trunk = self.first(functional.pixel_unshuffle(x, self.unshuffle))
        trunk = trunk + self.after_trunk(self.trunk(trunk))
        if self.strip_rows is None:
            return self._upward(trunk, x)
        strips = range(0, trunk.shape[2], self.strip_rows)
        return torch.cat([self._upward_strip(trunk, x, row, row + self.strip_rows) for row in strips], 2)

    @property
    def most_work(self) -> tuple[nn.Module, ...]:
        """The parts that may compute in 16 bits: all but what sees the whole sum, or gives the final grey level."""
        return self.trunk, self.upward, self.details, self.reconstruct

    def _upward_strip(self, trunk: Tensor, x: Tensor, top: int, bottom: int) -> Tensor:
        scale, margin = self.unshuffle, self._MARGIN_PX // self.unshuffle
        start, stop = max(0, top - margin), bottom + margin
        strip = self._upward(trunk[:, :, start:stop], x[:, :, scale * start : scale * stop])
        return strip[:, :, scale * (top - start) :][:, :, : scale * (bottom - top)]

    def _upward(self, told: Tensor, x: Tensor) -> Tensor:
        details = iter(self.details)
        if not self.upward:
            told = next(details)(told, x) if self.details else told
        for convolution in self.upward:
            told = functional.interpolate(told.to(_dtype_of(convolution)), scale_factor=2.0, mode="nearest")
            told = functional.leaky_relu(convolution(told), 0.2)
            detail = next(details, None)
            told = told if detail is None else detail(told, x)
        told = functional.leaky_relu(self.reconstruct(told.to(self.reconstruct.weight.dtype)), 0.2)
        image, told = x[:, :1], told.to(self.last.weight.dtype)
        mended = _mended(image, self.last(told))
        return mended if self.kernels is None else mended + self.kernels(told, image).to(image.dtype)


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
        _clear(self.last.bias)

    def body(self, x: Tensor) -> Tensor:
        """Return the mended picture (n, 1, h, w) for (n, 1 or 2, h, w)."""
        image, seen = x[:, :1], [self.first(x)]
        for level in self.downward:
            seen.append(level(functional.avg_pool2d(seen[-1], 2)))
        x = seen.pop()
        for level in self.upward:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = level(torch.cat((x, seen.pop()), 1))
        return _mended(image, self.last(x))


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


def take_over(network: DenoisingNetwork, trained: DenoisingNetwork) -> None:
    """Give a network the weights of another that lacks at most ``detail`` and ``kernels``.

    What is added begins so that the answers are those of ``trained``.

    Raises
    ------
    ValueError
        The networks differ otherwise.
    """
    own, given = network.state_dict(), trained.state_dict()
    added = [name for name in own if name not in given]
    fit = all(name in own and own[name].shape == value.shape for name, value in given.items())
    if not fit or not all(name.startswith(("details.", "kernels.")) for name in added):
        raise ValueError("only 'detail' and 'kernels' can be added to a trained network")
    network.load_state_dict(own | given)


def parameter_count(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
