"""Noise put on clean pictures for training: as a microscope makes it, and as Real-ESRGAN degrades photographs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Degraded:
    """Pictures with noise.

    Attributes
    ----------
    image : tensor, shape (n, 1, h, w)
        In [0, 1].
    noise : tensor, shape (n,)
        Standard deviation of the noise of each, before clipping, in the same units.
    """

    image: Tensor
    noise: Tensor


#: What training draws from: clean pictures (n, 1, h, w) in [0, 1] and a generator in, noisy ones out.
Degradation = Callable[[Tensor, torch.Generator], Degraded]

Range = tuple[float, float]


class _Draw:
    """Random numbers, one for each picture of a batch, shape (n, 1, 1, 1)."""

    def __init__(self, like: Tensor, generator: torch.Generator) -> None:
        self._like, self._generator = like, generator

    def uniform(self, bounds: Range) -> Tensor:
        low, high = bounds
        return low + (high - low) * self._rand((self._like.shape[0], 1, 1, 1))

    def log_uniform(self, bounds: Range) -> Tensor:
        return torch.exp(self.uniform((math.log(bounds[0]), math.log(bounds[1]))))

    def chance(self, probability: float) -> Tensor:
        return (self._rand((self._like.shape[0], 1, 1, 1)) < probability).to(self._like)

    def one_of(self, count: int) -> int:
        """Return one index below ``count`` for the whole batch."""
        return int(torch.randint(count, (), generator=self._generator))

    def number(self, bounds: Range) -> float:
        """Return one number for the whole batch."""
        return bounds[0] + (bounds[1] - bounds[0]) * float(torch.rand((), generator=self._generator))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self._like)

    def poisson(self, rate: Tensor) -> Tensor:
        return torch.poisson(rate.clamp_min(0).cpu(), generator=self._generator).to(self._like)

    def _rand(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self._generator).to(self._like)


@dataclass(frozen=True)
class SemDegradation:
    """What a scanning microscope does to a picture when it scans fast.

    Electrons are counted (Poisson), the amplifier adds noise (Gaussian), the detector's bandwidth and the maker's
    filter smear that noise along the scan line, sometimes with a negative lobe; lines start a little early or late,
    and their brightness wavers; the result is clipped and has 8 bits. Measured in real pictures: a correlation of the
    noise of +0.41, -0.09, -0.07 at lags of 1, 2, 3 px along the line and none across, in others none at all, so that
    the whole range is drawn from. Each picture of a batch gets its own values.

    Parameters
    ----------
    electrons : tuple of float
        Range (logarithmic) of the electrons per pixel at full white.
    amplifier : tuple of float
        Range (logarithmic) of the standard deviation of the amplifier's noise, full white = 1.
    correlated : float
        Share of the pictures whose noise is correlated along the line.
    neighbour_weight, next_weight : tuple of float
        Ranges of the weights of the pixels beside, and beside those, in the smear; a neighbour's weight a makes a
        correlation near 2 a / (1 + 2 a^2).
    smeared : float
        Share of the pictures whose noise is correlated in both directions, as after resampling.
    jitter_px : float
        Largest standard deviation of where a line starts; half of the pictures have none.
    line_brightness : float
        Largest standard deviation of the brightness of lines; half of the pictures have none.
    quantised : float
        Share of the pictures with 256 grey levels.
    """

    electrons: Range = (8.0, 2000.0)
    amplifier: Range = (0.003, 0.08)
    correlated: float = 0.5
    neighbour_weight: Range = (0.0, 0.35)
    next_weight: Range = (-0.12, 0.1)
    smeared: float = 0.15
    jitter_px: float = 0.4
    line_brightness: float = 0.01
    quantised: float = 0.7

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Degraded:
        """Return ``clean`` (n, 1, h, w) in [0, 1] with noise.

        Parameters
        ----------
        clean : tensor
        generator : torch.Generator
            On the CPU; the same state gives the same noise.
        """
        draw = _Draw(clean, generator)
        electrons = draw.log_uniform(self.electrons)
        counted = draw.poisson(clean * electrons) / electrons
        noise = counted - clean + draw.log_uniform(self.amplifier) * draw.normal(tuple(clean.shape))
        noise = self._smear(noise, draw)
        brightness = self.line_brightness * draw.uniform((0, 1)) * draw.chance(0.5)
        noise = noise + brightness * draw.normal((*clean.shape[:-1], 1))
        level = noise.square().mean((1, 2, 3)).sqrt()
        image = self._jitter(clean, draw) + noise
        image = image.clamp(0, 1)
        image = torch.where(draw.chance(self.quantised) > 0, (image * 255).round() / 255, image)
        return Degraded(image, level)

    def _smear(self, noise: Tensor, draw: _Draw) -> Tensor:
        """Correlate the noise, keeping its variance."""
        correlated = draw.chance(self.correlated)
        beside = draw.uniform(self.neighbour_weight) * correlated
        next_one = draw.uniform(self.next_weight) * correlated
        one = torch.ones_like(beside)
        kernel = torch.cat((next_one, beside, one, beside, next_one), 3)
        noise = _filter_each(noise, kernel / kernel.square().sum(3, keepdim=True).sqrt())
        both = draw.uniform((0, 0.4)) * draw.chance(self.smeared)
        kernel = torch.cat((both, one, both), 3)
        kernel = kernel / kernel.square().sum(3, keepdim=True).sqrt()
        return _filter_each(_filter_each(noise, kernel), kernel.transpose(2, 3))

    def _jitter(self, clean: Tensor, draw: _Draw) -> Tensor:
        """Shift each line by a random part of a pixel."""
        amount = self.jitter_px * draw.uniform((0, 1)) * draw.chance(0.5)
        if not bool(amount.any()):
            return clean
        count, _, height, width = clean.shape
        shift = amount * draw.normal((count, 1, height, 1))
        # linear interpolation would blur, and the amount of blur would tell which line was shifted: cubic does so less
        ys = torch.linspace(-1, 1, height).to(clean)[None, :, None].expand(count, height, width)
        xs = (torch.arange(width).to(clean) + shift[:, 0]) * (2 / max(width - 1, 1)) - 1
        grid = torch.stack((xs, ys), -1)
        moved = functional.grid_sample(clean, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
        return torch.where(amount > 0, moved, clean)


def _filter_each(image: Tensor, kernel: Tensor) -> Tensor:
    """Filter each picture (n, 1, h, w) with its own kernel (n, 1, kh, kw); mirrored at the edges."""
    top, left = kernel.shape[2] // 2, kernel.shape[3] // 2
    padded = functional.pad(image.transpose(0, 1), (left, left, top, top), mode="reflect")
    return functional.conv2d(padded, kernel, groups=image.shape[0]).transpose(0, 1)


@dataclass(frozen=True)
class SyntheticDegradation:
    """HD pictures degraded twice, each time blurred, resized and given noise, each step by chance.

    x = (y * k) downscaled by r, plus n, as Lang et al. (Microstructures 2025, 5, 2025004) train without LD images:
    Gaussian noise of sigma 1-30 or Poisson noise of scale 0.05-3 in the first pass, 1-25 and 0.05-2.5 in the second,
    half and half. Their ranges of blur and size are not given; those here follow Real-ESRGAN (arXiv:2107.10833),
    narrowed because the size stays and grey levels are measured afterwards. A batch shares its sizes and kinds.

    Parameters
    ----------
    gaussian : tuple of tuple of float
        Range of sigma in each pass, where white is 255.
    poisson : tuple of tuple of float
        Range of the scale in each pass: 1 counts 255 electrons at full white, 3 a ninth of that.
    blur_px : tuple of tuple of float
        Range of the standard deviation of the blur in each pass.
    sizes : tuple of tuple of float
        Range of the factor of the size in each pass.
    skip : float
        Chance that a step is left out.
    """

    gaussian: tuple[Range, Range] = ((1.0, 30.0), (1.0, 25.0))
    poisson: tuple[Range, Range] = ((0.05, 3.0), (0.05, 2.5))
    blur_px: tuple[Range, Range] = ((0.2, 1.5), (0.2, 0.8))
    sizes: tuple[Range, Range] = ((0.5, 1.2), (0.7, 1.2))
    skip: float = 0.3

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Degraded:
        """Return ``clean`` (n, 1, h, w) in [0, 1] degraded to the same size.

        Parameters
        ----------
        clean : tensor
        generator : torch.Generator
            On the CPU; the same state gives the same noise.
        """
        draw = _Draw(clean, generator)
        image, noiseless = clean, clean
        for index in range(2):
            if draw.number((0, 1)) >= self.skip:
                kernel = _blur_kernel(draw, self.blur_px[index])
                image, noiseless = (
                    _filter_each(_filter_each(x, kernel), kernel.transpose(2, 3)) for x in (image, noiseless)
                )
            if draw.number((0, 1)) >= self.skip:
                factor = draw.number(self.sizes[index])
                mode = ("area", "bilinear", "bicubic")[draw.one_of(3)]
                image, noiseless = (_resized(x, factor, mode) for x in (image, noiseless))
            if draw.number((0, 1)) >= self.skip:
                image = image + self._noise(image.clamp(0, 1), index, draw)
        size = clean.shape[-2:]
        if image.shape != clean.shape:
            image, noiseless = (
                functional.interpolate(x, size, mode="bicubic", align_corners=False) for x in (image, noiseless)
            )
        return Degraded(image.clamp(0, 1), (image - noiseless).square().mean((1, 2, 3)).sqrt())

    def _noise(self, image: Tensor, index: int, draw: _Draw) -> Tensor:
        gaussian = draw.uniform(self.gaussian[index]) / 255 * draw.normal(tuple(image.shape))
        scale = draw.uniform(self.poisson[index])
        counted = (draw.poisson(image * 255) - image * 255) / 255 * scale
        return torch.where(draw.chance(0.5) > 0, gaussian, counted)


def _blur_kernel(draw: _Draw, sigma_px: Range, radius: int = 5) -> Tensor:
    distance = torch.arange(-radius, radius + 1, dtype=torch.float32)
    weight = torch.exp(-(distance**2) / (2 * draw.uniform(sigma_px) ** 2))
    return weight / weight.sum(3, keepdim=True)


def _resized(image: Tensor, factor: float, mode: str) -> Tensor:
    size = [max(8, round(edge * factor)) for edge in image.shape[-2:]]
    return functional.interpolate(image, size, mode=mode, **({} if mode == "area" else {"align_corners": False}))
