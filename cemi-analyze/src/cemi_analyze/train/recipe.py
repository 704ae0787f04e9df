"""The recipe of a training: what is labelled, by whom, how it is shown, and which network learns it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cemi_core.model.settings import InputPath, InputPathOrName, Settings
from cemi_learn.bench.settings import TrainingSettings

_Share = Annotated[float, Field(ge=0, le=1)]
_Bounds = tuple[float | str, float | str]


class ImageData(Settings):
    """Images that lie in files."""

    images: InputPath | list[InputPath] = Field(description="Files, folders or patterns.")
    specimen: str | None = Field(
        None, description="Expression with one group that finds the specimen in a file's name, such as '^(S[0-9]+)_'."
    )


class MaskData(ImageData):
    """Images with masks of the same names: 'cemi annotations convert --to mask' makes them of every format."""

    masks: InputPath | list[InputPath] = Field(description="Masks, one for each image, of the same name.")
    values: list[int] | None = Field(
        None, description="Grey level of each class in the masks; by default 0, 1, 2, ... or black and white."
    )
    ignored: int | None = Field(None, ge=0, description="Grey level of pixels of which nothing is said, such as 255.")


class ScribbleData(MaskData):
    """Images on which only a few strokes were drawn: a pixel classifier fills in the rest where it is sure."""

    ignored: int | None = Field(255, ge=0, description="Grey level of pixels of which nothing is said.")
    sure: float = Field(
        0.8, ge=0.5, le=1, description="Probability from which the classifier's answer is taken as a label."
    )


class PseudoData(ImageData):
    """Images of which nothing is said: their pixels are sorted by grey level and texture, darkest class first."""

    method: Literal["kmeans", "superpixels"] = Field(
        "superpixels", description="Sort single pixels (kmeans), or pieces of alike pixels (SLIC)."
    )
    smoothing_px: float = Field(1.0, ge=0, le=10, description="Gaussian before sorting, px.")


class SpecimenData(Settings):
    """Fields of a made specimen with its exact masks."""

    use: str = Field(description="Name of the specimen: what 'cemi specimen --help' lists.")
    settings: dict[str, Any] = Field({}, description="Its settings.")
    ranges: dict[str, _Bounds] = Field(
        {}, description="Settings of which each field gets another value, [from, to]; lengths with units."
    )
    classes: dict[str, str] = Field(
        {},
        description="Which mask of the specimen is which class, such as {lamella: lamellae}; 'all' is every pixel. "
        "What no mask covers is of the first class.",
    )
    fields: int = Field(16, ge=1, le=10_000, description="How many, each another specimen.")
    field_px: int = Field(384, ge=64, le=4096, description="Edge of a field, px.")


class ViewSettings(Settings):
    """How fields are shown: differently each time."""

    blur_px: float = Field(0.0, ge=0, le=8, description="Largest standard deviation of a blur, px.")
    electrons: tuple[float, float] = Field(
        (40.0, 3000.0), description="Electrons per pixel at white, from and to: 60 is a fast scan, 600 a slow one."
    )
    clean: _Share = Field(0.15, description="Share of the views without noise.")
    contrast: tuple[float, float] = Field((0.4, 1.5), description="Factor of the contrast, from and to.")
    inverted: _Share = Field(0.2, description="Share whose grey levels are inverted.")
    scratches: _Share = Field(0.15, description="Share with straight scratches.")
    curtains: _Share = Field(0.12, description="Share with the stripes that ion milling leaves.")
    flat: _Share = Field(
        0.0,
        description="Share with noise, scratches and curtains and next to nothing else, which is of the first class.",
    )
    denoised: _Share = Field(0.2, description="Share of the noisy views that went through a filter.")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("electrons", "contrast"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"'{name}' is from a smaller to a larger number above zero, not [{low:g}, {high:g}]")
        return self


class LabelSettings(Settings):
    """Where labels come from; several kinds add up."""

    masks: list[MaskData] = Field([], description="Images with masks.")
    scribbles: list[ScribbleData] = Field([], description="Images with a few strokes.")
    pseudo: list[PseudoData] = Field([], description="Images without labels.")
    specimens: list[SpecimenData] = Field([], description="Made specimens.")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not (self.masks or self.scribbles or self.pseudo or self.specimens)


class ValidationSettings(LabelSettings):
    """What is measured on; by default a share of the specimens of the data."""

    share: float = Field(0.2, gt=0, lt=1, description="Share of the images of 'data' set aside, if nothing is named.")
    views: int = Field(1, ge=1, le=20, description="Views of each field that are measured, with views switched on.")
    seed: int = Field(999, ge=0, description="Seed of fields and views, another one than that of the training.")


class NetworkSettings(Settings):
    """The network."""

    name: str = Field("unet++", description="Decoder: unet, unet++, manet, fpn, linknet, upernet, segformer.")
    encoder: str = Field("efficientnet-lite0", description="Encoder: efficientnet-lite0, smp:se_resnext50_32x4d, ...")
    encoder_weights: InputPath | None = Field(
        None, description="File of weights for the encoder; by default those that come with it."
    )
    pretrained: bool = Field(True, description="Whether the encoder starts from its weights; else from chance.")
    decoder_channels: list[int] | None = Field(
        None, min_length=5, max_length=5, description="Channels of the decoder, coarse to fine; fewer are faster."
    )
    in_channels: int = Field(1, ge=1, le=16, description="Channels of the images.")


class SegmenterRecipe(TrainingSettings):
    """How a segmenter is trained."""

    training: Literal[1] = Field(description="Version of the format.")
    classes: list[str] = Field(
        min_length=2, max_length=32, description="Names; the first is what no label names, such as 'other'."
    )
    data: LabelSettings = Field(description="What is trained on.")
    validation: ValidationSettings = Field(ValidationSettings(), description="What is measured on.")
    views: ViewSettings | None = Field(
        None, description="Vary blur, noise, brightness and dirt; by default images are mirrored and turned only."
    )
    turned: bool = Field(True, description="Whether patches are turned by quarters.")
    network: NetworkSettings | None = Field(
        None, description="The network; by default that of 'start_from', else U-Net++ on EfficientNet-Lite0."
    )
    start_from: InputPathOrName = Field("", description="Weights to start from: a file, or the name of shipped ones.")
    loss: Literal["dice", "bce", "bce+dice"] = Field(
        "bce+dice", description="dice: overlap. bce: cross entropy. bce+dice: their sum."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.data.is_empty:
            raise ValueError("name at least one kind of labels in 'data': masks, scribbles, pseudo, specimens")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("each class has a name of its own")
        return self
