"""Denoising with a trained network: SEMNET (least error) and SEMGAN (looks like a slow scan)."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import InputError
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_core.model.settings import InputPathOrName, Settings
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.numeric.tiles import TILE_PX, denoise_image, peak_of
from cemi_denoise.denoisers.picture_filter import PictureDenoiser, check_pictures, fill_missing, imaged_pixels
from cemi_denoise.denoisers.placed_filter import origin_of
from cemi_denoise.noise.box_mean import box_mean
from cemi_denoise.noise.local import LOCAL_NOISE_REACH_PX, local_noise_map

if TYPE_CHECKING:
    from cemi_denoise.network.runner import NetworkRunner

log = logging.getLogger("cemi")

_MEAN_RADIUS_PX = 16
#: Pixels around a pixel that `with_grey_level_of` looks at.
_MEAN_REACH_PX = 3 * _MEAN_RADIUS_PX
# Networks see no fainter noise in training; a picture with less is left the more alone, the less it has.
_FAINTEST_NOISE = 0.004
_STRONGEST_NOISE = 0.3
# What is measured scatters by some percent around a known noise; only more than that is structure.
_NOT_WORTH_KEEPING = np.float32(1.15)
# The brightest grey level of a picture that is brightened for the network.
_DARK = 0.25

#: The shipped network that others are compared with.
_LEAST_ERROR = "semnet-small"
_WEIGHTS = "A .safetensors file, or the name of one in the folder --weights, or of one that is shipped."


class NeuralSettings(Settings):
    """Settings of the denoisers ``semnet`` and ``semgan``."""

    weights: InputPathOrName = Field(description=_WEIGHTS)
    strength: float = Field(1.0, ge=0, le=1, description="How much of the correction is applied; 0 changes nothing.")
    noise: Annotated[float, Field(gt=0, le=1)] | Literal["auto", "unknown"] = Field(
        "auto",
        description="Standard deviation of the noise, where 1 is the full grey range: no more than that is taken away, "
        "though fine structure may look like more. 'auto' measures it around every pixel and takes all away, 'unknown' "
        "leaves it to the network.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Numbers to compute in; 'auto' takes bfloat16 where it is faster and as good to half a grey level.",
    )
    tile_px: int = Field(1088, ge=128, le=4096, description="Edge of the pieces that the network gets at a time, px.")
    adapt: Literal["none", "overlaps"] = Field(
        "none",
        description="'overlaps' trains the network further on the frames of the run, which see each place twice; it "
        "needs no slow scan, and is kept only where it helps.",
    )
    adapt_minutes: float = Field(3.0, gt=0, le=1440, description="How long it may train, minutes.")


class SemnetSettings(NeuralSettings):
    """Settings of the denoiser ``semnet``."""

    weights: InputPathOrName = Field("semnet-small", description=_WEIGHTS)


class SemganSettings(NeuralSettings):
    """Settings of the denoiser ``semgan``."""

    weights: InputPathOrName = Field("semgan-small", description=_WEIGHTS)


@dataclass(frozen=True)
class NeuralDenoiser(PictureDenoiser):
    """Denoises with a network whose weights are loaded on first use, once per process.

    The network is told how strong the noise is around each pixel. Its answer gets the slow changes of grey (beyond
    about 30 px) of the picture itself, because grey levels are measured afterwards.

    Parameters
    ----------
    weights : str
        A ``.safetensors`` file, or the name of one in ``weights_dir``, or of one that is shipped.
    strength : float
        From 0, the picture itself, to 1, the network's answer.
    noise : float, "auto" or "unknown"
        Standard deviation of the noise on the [0, 1] scale; "auto" for `cemi_denoise.noise.local.local_noise_map`.
        Where that measures more than a given number, the rest is fine structure, and stays.
    dtype : {"auto", "float32", "bfloat16"}
        See `cemi_denoise.network.runner.choose_dtype`.
    tile_px : int
        Edge of the pieces that the network gets at a time.
    adapt_to : {"none", "overlaps"}
        Whether it has a method `adapt`, which a run hands the overlapping frames.
    adapt_minutes : float
        How long that may take.
    notes : tuple of str
        Sentences for the report: what came of adapting.
    seed : int
        For adapting.
    device : str
        A torch device; the CPU takes over when it has no memory left.
    weights_dir : str, optional
        Folder with weights.
    adapted : bytes, optional
        Weights (safetensors) that adapting has made, which travel with the denoiser.
    """

    weights: str = "semgan-small"
    strength: float = 1.0
    noise: float | Literal["auto", "unknown"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    tile_px: int = 1088
    adapt_to: Literal["none", "overlaps"] = "none"
    adapt_minutes: float = 3.0
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    seed: int = field(default=0, kw_only=True, repr=False)
    device: str = field(default="cpu", kw_only=True, repr=False)
    weights_dir: str | None = field(default=None, kw_only=True, repr=False)
    adapted: bytes | None = field(default=None, kw_only=True, repr=False)

    @property
    def reach(self) -> int:
        """What the network sees, what the grey level is taken from, and what the noise is measured on."""
        noise_px = 0 if self.noise == "unknown" else LOCAL_NOISE_REACH_PX
        return self._runner().context_px + _MEAN_REACH_PX + noise_px

    @property
    def halo(self) -> int:
        """Pixels around a block that its result depends on: its reach, and that of filling what is missing."""
        return self.reach + self._runner().context_px

    def __call__(self, block: NDArray[Any], info: BlockInfo | None = None) -> NDArray[Any]:
        """Return ``block`` without noise; see `PictureDenoiser`.

        Raises
        ------
        InputError
            The block is not a picture, or the weights cannot be used.
        UsageError
            The device is not there.
        """
        if self.strength == 0:
            check_pictures(block)
            return block.copy()
        return super().__call__(block, info)

    def one(self, image: NDArray[np.float32], info: BlockInfo | None) -> NDArray[np.float32]:
        """Return a picture (h, w) without noise; a large one tile by tile, so that memory is bounded."""
        if info is None and max(image.shape) > TILE_PX:
            return denoise_image(self, image)
        bright = _gain(peak_of(image) if info is None else info.peak)
        image = image * bright
        imaged = imaged_pixels(image, info)
        runner = self._runner()
        filled = image if imaged is None else fill_missing(image, imaged, runner.context_px)
        core, origin = _core_of(info, image.shape), origin_of(info)
        noise, share = self._noise(filled, imaged, origin, bright)
        work = core.grown(_MEAN_REACH_PX).clipped(image.shape)
        before = filled[work.slices]
        after = runner.run(filled, noise, work, origin)
        after = with_grey_level_of(before, after, None if imaged is None else imaged[work.slices])
        mixed = before + np.float32(self.strength) * share[work.slices] * (after - before)
        result = image.copy()
        result[core.slices] = mixed[Box(core.y - work.y, core.x - work.x, core.height, core.width).slices]
        return (result if imaged is None else np.where(imaged, result, image)) / bright

    def second_opinion(self) -> NeuralDenoiser | None:
        """Return SEMNET, which was trained for the least error alone, unless this is it."""
        if self.weights == _LEAST_ERROR:
            return None
        return replace(self, weights=_LEAST_ERROR, adapt_to="none", adapted=None)

    def _noise(
        self, image: NDArray[np.float32], imaged: NDArray[np.bool_] | None, origin: tuple[int, int], bright: np.float32
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the network is told of the noise, and how much of its correction is applied."""
        if self.noise == "unknown":
            return np.zeros_like(image), np.ones_like(image)
        measured = local_noise_map(image, imaged, origin)
        known = np.isfinite(measured)
        if self.noise != "auto":
            return self._of_known_noise(bright * np.float32(self.noise), np.where(known, measured, np.float32(0)))
        told = np.where(known, np.clip(measured, _FAINTEST_NOISE, _STRONGEST_NOISE), np.float32(0))
        return told, np.where(known, np.minimum(measured / np.float32(_FAINTEST_NOISE), 1), np.float32(1))

    @staticmethod
    def _of_known_noise(
        level: np.float32, looks_like: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the network is told where ``looks_like`` is measured but ``level`` is known, and the share.

        What looks like noise beyond the known one is fine structure. The network cannot tell the two apart, and takes
        both away; of their sum, Wiener's filter takes away the noise's share of the variance.
        """
        beyond = np.maximum(looks_like / (level * _NOT_WORTH_KEEPING), 1)
        told = np.where(beyond > 1, looks_like, level)
        return np.clip(told, _FAINTEST_NOISE, _STRONGEST_NOISE), 1 / beyond**2

    @property
    def still_learns(self) -> bool:
        """Whether it is yet to be trained further on the frames."""
        return self.adapt_to == "overlaps"

    def prepare(self) -> None:
        """Load the weights and try the device, so that a mistake is told before the work starts.

        Raises
        ------
        InputError
            The weights cannot be used.
        UsageError
            The device is not there.
        """
        self._runner()

    def adapt(self, frames: FrameSource, layout: Layout | None) -> NeuralDenoiser:
        """Return the denoiser trained further on the overlaps of these frames."""
        from cemi_denoise.network.weights import load_weights, weights_to_bytes
        from cemi_denoise.train.adapt import adapt_to_overlaps

        if layout is None:
            raise InputError("overlaps are found by the layout of the frames, which was not given")
        loaded = load_weights(self.weights, self.weights_dir)
        made = adapt_to_overlaps(
            loaded.network, frames, layout, self.adapt_minutes, self.seed, threads=self.threads, device=self.device
        )
        log.info(made.note)
        weights = weights_to_bytes(made.network, loaded.architecture) if made.used else None
        return replace(self, adapt_to="none", notes=(*self.notes, made.note), adapted=weights)

    def _runner(self) -> NetworkRunner:
        import torch

        from cemi_denoise.network.runner import runner_for, runner_for_bytes

        torch.set_num_threads(self.threads)  # here, since the setting does not travel to other processes
        if self.adapted is not None:
            return runner_for_bytes(self.adapted, self.device, self.dtype, self.tile_px)
        return runner_for(self.weights, self.weights_dir, self.device, self.dtype, self.tile_px)


@dataclass(frozen=True)
class SemnetDenoiser(NeuralDenoiser):
    """The network trained for the least error: the best grey levels, a little too smooth."""

    weights: str = "semnet-small"


@dataclass(frozen=True)
class SemganDenoiser(NeuralDenoiser):
    """The network trained to look like a slow scan as well: sharper, and the more to be checked for invention."""

    weights: str = "semgan-small"


def _gain(peak: float | None) -> np.float32:
    """Return the power of two that brings a picture without bright grey levels to more than half of the range.

    Networks see pictures of the whole range in training. A power of two changes no digit of a grey level.
    """
    if peak is None or not 0 < peak <= _DARK:
        return np.float32(1)
    return np.float32(2.0 ** math.floor(-math.log2(peak)))


def with_grey_level_of(
    image: NDArray[np.float32], denoised: NDArray[np.float32], imaged: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return ``denoised`` with the slow changes of grey of ``image``: what a blur of 16.5 px leaves.

    Parameters
    ----------
    image, denoised : ndarray of float32, shape (h, w)
    imaged : ndarray of bool, shape (h, w), optional
        Pixels that count; None for all.
    """
    difference = image - denoised
    if imaged is None:
        return denoised + _slow(difference)
    weight = _slow(imaged.astype(np.float32))
    total = _slow(np.where(imaged, difference, np.float32(0)))
    return denoised + np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-5)


def _slow(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image blurred three times by a box, nearly a Gaussian of 16.5 px that ends after 48."""
    for _ in range(3):
        image = box_mean(image, (2 * _MEAN_RADIUS_PX + 1,) * 2)
    return image


def _core_of(info: BlockInfo | None, shape: tuple[int, ...]) -> Box:
    """Return the part of a block that is wanted."""
    if info is None or info.core is None:
        return Box(0, 0, shape[0], shape[1])
    (top, bottom, _), (left, right, _) = (part.indices(size) for part, size in zip(info.core, shape, strict=True))
    return Box(top, left, bottom - top, right - left)


def abilities(settings: NeuralSettings) -> DenoiserAbilities:
    """Return what the network can do: it learns from overlapping frames where it is told to."""
    learns = settings.adapt == "overlaps"
    return DenoiserAbilities(learns=learns, needs_layout=learns, judges=True, wants_peak=True, prepares=True)


def make_semnet(settings: SemnetSettings, runtime: Runtime) -> SemnetDenoiser:
    """Make the denoiser ``semnet`` from checked settings."""
    return SemnetDenoiser(**_arguments(settings, runtime))


def make_semgan(settings: SemganSettings, runtime: Runtime) -> SemganDenoiser:
    """Make the denoiser ``semgan`` from checked settings."""
    return SemganDenoiser(**_arguments(settings, runtime))


def _arguments(settings: NeuralSettings, runtime: Runtime) -> dict[str, Any]:
    machine = asdict(runtime)
    return {**settings.model_dump(exclude={"adapt"}), "adapt_to": settings.adapt, **machine}
