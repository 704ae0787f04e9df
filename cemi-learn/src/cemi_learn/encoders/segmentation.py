"""Networks that give every pixel a class: a decoder of segmentation_models_pytorch on any encoder."""

from __future__ import annotations

import importlib
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.model.encoder import Encoder
from cemi_learn.encoders.backbone import STRIDES
from cemi_learn.encoders.find import find_encoder

#: Decoders by the word in a recipe, with the class in segmentation_models_pytorch.
DECODERS = {
    "unet": "Unet",
    "unet++": "UnetPlusPlus",
    "manet": "MAnet",
    "fpn": "FPN",
    "linknet": "Linknet",
    "upernet": "UPerNet",
    "segformer": "Segformer",
}
#: Decoders that can be told how many channels each of their five stages has.
WITH_CHANNELS = ("unet", "unet++", "manet")
_REGISTERING = threading.Lock()


class SegmentationNetwork(nn.Module):
    """Answers with logits of each class for images of any size.

    Parameters
    ----------
    network : nn.Module
        Takes sizes that are multiples of 32.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.multiple = STRIDES[-1]

    @property
    def encoder(self) -> nn.Module:
        """The backbone."""
        encoder: nn.Module = self.network.encoder  # type: ignore[assignment]
        return encoder

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (n, classes, h, w) for images (n, c, h, w) in [0, 1]."""
        height, width = image.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        if bottom or right:
            mode = "reflect" if bottom < height and right < width else "replicate"
            image = functional.pad(image, (0, right, 0, bottom), mode=mode)
        logits: Tensor = self.network(image)
        return logits[..., :height, :width]


def segmentation_network(
    decoder: str,
    encoder: Encoder,
    classes: int,
    in_channels: int = 1,
    pretrained: bool = True,
    decoder_channels: Sequence[int] | None = None,
) -> SegmentationNetwork:
    """Return a network that gives every pixel a class.

    Parameters
    ----------
    decoder : {"unet", "unet++", "manet", "fpn", "linknet", "upernet", "segformer"}
    encoder : Encoder
    classes : int
        Channels of the answer: 1 for two classes told apart by one logit.
    in_channels : int
        Of the images.
    pretrained : bool
        Whether the encoder's weights are filled in; False where all weights will be loaded from a file.
    decoder_channels : sequence of int, optional
        Channels of the decoder's five stages, from the coarsest to that of the image's own size; fewer make a faster
        and smaller network. For "unet", "unet++" and "manet"; by default 256, 128, 64, 32, 16.

    Raises
    ------
    InputError
        There is no such decoder, or it cannot be told its channels.
    MissingDependencyError
        segmentation_models_pytorch, or the package with the encoder's weights, is not installed.
    """
    if decoder not in DECODERS:
        raise InputError(f"there is no decoder '{decoder}'; there are: {', '.join(DECODERS)}")
    options: dict[str, Any] = {}
    if decoder_channels is not None:
        if decoder not in WITH_CHANNELS or len(decoder_channels) != len(STRIDES):
            raise InputError(
                f"'decoder_channels' are {len(STRIDES)} numbers for one of {', '.join(WITH_CHANNELS)}; "
                f"'{decoder}' got {len(decoder_channels)}"
            )
        options["decoder_channels"] = tuple(decoder_channels)
    try:
        smp: Any = importlib.import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise MissingDependencyError(
            "decoders need the package segmentation-models-pytorch: pip install 'cemi-learn[encoders]'"
        ) from error
    backbone = encoder.network(in_channels, pretrained)
    backbone.set_in_channels = lambda *more, **named: None  # they are right already
    known, word = smp.encoders.encoders, f"cemi-{uuid.uuid4().hex}"
    with _REGISTERING:
        known[word] = {"encoder": lambda **named: backbone, "params": {}, "pretrained_settings": {}}
        try:
            network = getattr(smp, DECODERS[decoder])(
                word, encoder_weights=None, in_channels=in_channels, classes=classes, **options
            )
        finally:
            del known[word]
    del backbone.set_in_channels
    return SegmentationNetwork(network)


def architecture_of(
    decoder: str,
    encoder: Encoder,
    classes: int,
    in_channels: int = 1,
    decoder_channels: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return in plain data what `rebuilt_segmentation_network` makes the same network from."""
    told = {} if decoder_channels is None else {"decoder_channels": list(decoder_channels)}
    return {"name": decoder, "encoder": encoder.name, "classes": classes, "in_channels": in_channels, **told}


def rebuilt_segmentation_network(architecture: Mapping[str, Any]) -> SegmentationNetwork:
    """Return a network as a file of weights names it, before its weights are loaded; no other weights are needed.

    Raises
    ------
    InputError
        There is no such network.
    """
    try:
        name, encoder = str(architecture["name"]), str(architecture["encoder"])
        classes, in_channels = int(architecture["classes"]), int(architecture["in_channels"])
        told = architecture.get("decoder_channels")
        decoder_channels = None if told is None else [int(channels) for channels in told]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{dict(architecture)} is not a network for classes: {error} is missing or wrong") from error
    return segmentation_network(name, find_encoder(encoder), classes, in_channels, False, decoder_channels)
