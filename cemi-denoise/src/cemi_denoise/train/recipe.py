"""The recipe of a training: which pictures, which noise, which network, and how long."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cemi_core.model.settings import InputPath, InputPathOrName, Settings
from cemi_learn.bench.settings import LARGEST_SEED, TrainingSettings


def _between(low: float, high: float) -> AfterValidator:
    """Return a check of a range [from, to]: ascending, and within what noise can be made with."""

    def checked(span: tuple[float, float]) -> tuple[float, float]:
        if span[0] > span[1]:
            raise ValueError(f"the smaller value comes first: [{span[1]:g}, {span[0]:g}]")
        for value in span:
            if not low <= value <= high:
                raise ValueError(f"both values must lie between {low:g} and {high:g}, not {value:g}")
        return span

    return AfterValidator(checked)


_Electrons = Annotated[tuple[float, float], _between(0.01, 1e9)]
_Noise = Annotated[tuple[float, float], _between(1e-6, 1.0)]
_Sigma = Annotated[tuple[float, float], _between(0.0, 255.0)]
_Scale = Annotated[tuple[float, float], _between(0.0, 100.0)]
_BlurPx = Annotated[tuple[float, float], _between(0.05, 20.0)]
_Factor = Annotated[tuple[float, float], _between(0.05, 20.0)]
_Share = Annotated[float, Field(ge=0, le=1)]


class KindSettings(Settings):
    """What all kinds of data have in common."""

    share: float = Field(1.0, gt=0, description="Share of the batches, against the other kinds of data.")


class SemSettings(KindSettings):
    """Noise as a scanning microscope makes it, put on clean pictures."""

    noise_of: InputPath | list[InputPath] | None = Field(
        None,
        description="Your own noisy frames: their noise is measured, and trained for within a factor of two, instead "
        "of the wide ranges below.",
    )
    electrons: _Electrons = Field((8.0, 2000.0), description="Electrons per pixel at full white, from and to.")
    amplifier: _Noise = Field(
        (0.003, 0.08), description="Standard deviation of the amplifier's noise, full white = 1, from and to."
    )
    correlated: _Share = Field(0.5, description="Share of the patches whose noise is correlated along the line.")
    smeared: _Share = Field(0.15, description="Share whose noise is correlated in both directions, as after resizing.")
    jitter_px: float = Field(0.4, ge=0, le=5, description="Largest standard deviation of where a line starts, px.")
    line_brightness: float = Field(0.01, ge=0, le=0.5, description="Largest standard deviation of the lines' grey.")
    quantised: _Share = Field(0.7, description="Share of the patches with 256 grey levels.")

    @model_validator(mode="after")
    def _measured_or_given(self) -> Self:
        given = self.model_fields_set & {"electrons", "amplifier", "correlated", "smeared"}
        if self.noise_of is not None and given:
            raise ValueError(f"'noise_of' measures '{min(given)}'; give one of the two")
        return self


class SyntheticSettings(KindSettings):
    """Clean pictures degraded twice, each time blurred, resized and given noise, as Real-ESRGAN does."""

    gaussian: tuple[_Sigma, _Sigma] = Field(
        ((1.0, 30.0), (1.0, 25.0)), description="Sigma of Gaussian noise in the two passes, white = 255."
    )
    poisson: tuple[_Scale, _Scale] = Field(
        ((0.05, 3.0), (0.05, 2.5)), description="Scale of Poisson noise in the two passes."
    )
    blur_px: tuple[_BlurPx, _BlurPx] = Field(
        ((0.2, 1.5), (0.2, 0.8)), description="Standard deviation of the blur in the two passes, px."
    )
    sizes: tuple[_Factor, _Factor] = Field(
        ((0.5, 1.2), (0.7, 1.2)), description="Factor of the size in the two passes."
    )
    skip: _Share = Field(0.3, description="Chance that a step is left out.")


class PairsSettings(KindSettings):
    """Fast (LD) and slow (HD) scans of the same fields, which are registered to each other."""

    ld: InputPath | list[InputPath] = Field(description="The fast scans.")
    hd: InputPath | list[InputPath] = Field(
        description="The slow scans: of the same names (but for words such as LD and HD), or as many in the same order."
    )
    distortion: Literal["shift", "affine", "quadratic", "cubic"] = Field(
        "affine", description="How an HD image may be displaced against its LD one."
    )


class OverlapsSettings(KindSettings):
    """Your own frames, which show a place twice where they overlap: no clean picture is needed (Noise2Noise)."""

    run: InputPath = Field(description="Run folder of 'cemi recipe' with its frames and their layout.")
    most: int = Field(96, ge=1, le=2000, description="Overlaps to take at most; each needs up to 2 MB of memory.")


class ModesSettings(Settings):
    """Kinds of data, each with its share of the batches."""

    images: InputPath | list[InputPath] | None = Field(
        None, description="Clean pictures (slow scans) for 'sem' and 'synthetic'."
    )
    sem: SemSettings | None = Field(None, description="Clean pictures with a microscope's noise; {} for the defaults.")
    synthetic: SyntheticSettings | None = Field(None, description="Clean pictures degraded as photographs are.")
    pairs: PairsSettings | None = Field(None, description="Fast and slow scans of the same fields.")
    overlaps: OverlapsSettings | None = Field(
        None, description="Overlapping frames: four fifths are trained on, and the rest is for 'validation'."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        degraded = [name for name in ("sem", "synthetic") if getattr(self, name) is not None]
        if not degraded and self.pairs is None and self.overlaps is None:
            raise ValueError("name at least one kind of data: sem, synthetic, pairs, overlaps")
        if degraded and self.images is None:
            raise ValueError(f"'{degraded[0]}' puts noise on clean pictures: name them in 'images'")
        if not degraded and self.images is not None:
            raise ValueError("say which noise is put on 'images': sem: {}, or synthetic: {}")
        return self


class DataSettings(ModesSettings):
    """What is trained on, and how patches of it are varied."""

    contrast: _Factor = Field((0.6, 1.4), description="Factor of a patch's contrast, from and to.")
    inverted: _Share = Field(0.15, description="Share of the patches whose grey levels are inverted.")
    told_error: float = Field(
        0.1, ge=0, le=1, description="By how much (as a logarithm) the noise that the network is told is wrong."
    )
    told_nothing: _Share = Field(0.15, description="Share of the patches for which the network is told no noise.")
    told_measured: _Share = Field(
        0.5,
        description="Share of the patches, with 'sem' or 'synthetic', for which the network is told what is measured "
        "on the noisy patch, as where it is used later.",
    )
    grain: _Share = Field(
        0.0,
        description="Share of the patches, with 'sem' or 'synthetic', whose clean picture gets fine grain that is to "
        "stay: the network learns to take away what it is told, and no more.",
    )


class ValidationSettings(ModesSettings):
    """What the network is measured on during the training; it should hold no picture that is trained on."""

    batches: int = Field(2, ge=1, description="How many batches of patches.")
    batch: int = Field(16, ge=1, description="Patches of a batch.")
    seed: int = Field(999, ge=0, le=LARGEST_SEED, description="Seed of the patches and their noise.")
    metrics: list[str] = Field(
        ["psnr", "ssim"],
        min_length=1,
        description="What is measured: psnr, ssim, lpips, phase-fraction, edge-sharpness, ...",
    )


_PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("RRDBNet", "small"): {"features": 32, "growth": 16, "blocks": 6, "tail": 16, "detail": 16, "kernels": 20},
    ("RRDBNet", "large"): {"features": 64, "growth": 32, "blocks": 23, "tail": 64},
    ("UNet", "small"): {"features": 16, "levels": 3},
    ("UNet", "large"): {"features": 32, "levels": 4},
}
_ONLY_IN = dict.fromkeys(("growth", "blocks", "unshuffle", "tail", "detail", "kernels"), "RRDBNet") | {"levels": "UNet"}


class NetworkSettings(Settings):
    """The network."""

    name: Literal["RRDBNet", "UNet"] = Field("RRDBNet", description="ESRGAN's generator at scale 1, or a plain U-Net.")
    size: Literal["small", "large"] = Field(
        "small", description="RRDBNet: 1.1 M or 16.8 M parameters; the settings below change single numbers of it."
    )
    features: int | None = Field(None, ge=1, le=512, description="Channels of the trunk.")
    growth: int | None = Field(None, ge=1, le=256, description="RRDBNet: channels that each convolution adds.")
    blocks: int | None = Field(None, ge=1, le=64, description="RRDBNet: residual-in-residual dense blocks.")
    unshuffle: Literal[1, 2, 4] | None = Field(None, description="RRDBNet: pixels a side folded into channels (4).")
    tail: int | None = Field(None, ge=1, le=512, description="RRDBNet: channels at full resolution.")
    detail: int | None = Field(
        None, ge=0, le=256, description="RRDBNet: channels that see the picture again at full resolution; 0 for none."
    )
    kernels: int | None = Field(None, ge=0, le=256, description="RRDBNet: filters mixed for every pixel; 0 for none.")
    levels: int | None = Field(None, ge=1, le=6, description="UNet: how often the picture is halved.")
    noise_channel: bool = Field(True, description="Whether the network is told how strong the noise is.")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for key in self.model_fields_set:
            if _ONLY_IN.get(key, self.name) != self.name and getattr(self, key) is not None:
                raise ValueError(f"'{key}' belongs to {_ONLY_IN[key]}, and the network is {self.name}")
        return self

    def architecture(self) -> dict[str, Any]:
        """Return what `build_network` makes the network from."""
        given = {key: value for key in (*_ONLY_IN, "features") if (value := getattr(self, key)) is not None}
        return {
            "name": self.name,
            **_PRESETS[self.name, self.size],
            **given,
            "noise_channel": self.noise_channel,
        }


class LossSettings(Settings):
    """Weights of the losses of SEMGAN; SEMNET has the error of the grey levels alone."""

    grey_error: Literal["auto", "absolute", "squared"] = Field(
        "auto", description="auto: squared with 'overlaps', whose targets are noisy (their mean counts); else absolute."
    )
    l1: float = Field(1.0, ge=0, description="Error of the grey levels.")
    perceptual: float = Field(1.0, ge=0, description="Difference as VGG19 sees it.")
    adversarial: float = Field(0.1, ge=0, description="What a discriminator says.")


class TrainingRecipe(TrainingSettings):
    """How a denoiser is trained."""

    training: Literal[1] = Field(description="Version of the format.")
    stage: Literal["semnet", "semgan"] = Field(
        "semnet", description="semnet: least error of the grey levels. semgan: perceptual and adversarial losses too."
    )
    network: NetworkSettings | None = Field(
        None, description="The network; by default that of 'start_from', else RRDBNet, small."
    )
    start_from: InputPathOrName = Field(
        "",
        description="Weights to start from: a .safetensors file, the name of shipped ones, such as semnet-small, or "
        "realesrgan-x4plus for the trunk of the large network.",
    )
    data: DataSettings = Field(description="What is trained on.")
    validation: ValidationSettings | None = Field(None, description="What is measured during the training.")
    losses: LossSettings = Field(LossSettings(), description="Weights of SEMGAN's losses.")
    discriminator_features: int = Field(64, ge=1, le=256, description="Channels of SEMGAN's discriminator.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        learnt, measured = self.data.overlaps, None if self.validation is None else self.validation.overlaps
        if learnt is not None and measured is not None and learnt.run == measured.run and learnt.most != measured.most:
            raise ValueError(
                "'data.overlaps' and 'validation.overlaps' share one run, so that 'most' must be the same in both: "
                "it decides which overlaps are held out"
            )
        return self

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if self.stage == "semgan" and self.patch_px < 32:
            raise ValueError("'patch_px' must be at least 32 for semgan: VGG19 halves a patch four times")
        return self
