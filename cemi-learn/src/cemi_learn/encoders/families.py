"""Encoders by the names that segmentation_models_pytorch, timm and torchvision give them; nothing is downloaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from cemi_core.errors import MissingDependencyError, UsageError
from cemi_core.model.encoder import WeightsOrigin
from cemi_core.model.settings import InputPath, Settings
from cemi_core.model.stages import Runtime
from cemi_learn.encoders.backbone import STRIDES, Backbone, Stages
from cemi_learn.encoders.weights import fill, origin_of_file

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FamilySettings(Settings):
    """Settings of a family of encoders."""

    which: str = Field(description="Its name in the family, such as 'resnet34'; in a recipe after the colon.")
    weights: InputPath | None = Field(
        None, description="Its weights: .safetensors, or a .pth of torch (smp, torchvision); by default they are drawn."
    )
    licence: str = Field("", description="Licence of these weights, for the card.")
    mean: tuple[float, float, float] = Field(_MEAN, description="Mean colour that the weights learnt with.")
    std: tuple[float, float, float] = Field(_STD, description="Spread of the colours that the weights learnt with.")


@dataclass(frozen=True)
class FamilyEncoder:
    """An encoder of another library.

    Attributes
    ----------
    family : {"smp", "timm", "torchvision"}
    which : str
        Its name there.
    weights : str or None
        File with its weights; None to draw them.
    licence : str
        Of these.
    mean, std : tuple of float
    """

    family: str
    which: str
    weights: str | None = None
    licence: str = ""
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD

    @property
    def name(self) -> str:
        """Family and name."""
        return f"{self.family}:{self.which}"

    @property
    def strides(self) -> tuple[int, ...]:
        """2, 4, 8, 16 and 32."""
        return STRIDES

    @property
    def channels(self) -> tuple[int, ...]:
        """Features of each stage; 0 where there is no such stage.

        Raises
        ------
        MissingDependencyError
            The library is not installed.
        UsageError
            It has no such encoder.
        """
        return _channels_of(self.family, self.which)

    @property
    def input_channels(self) -> int:
        """Three."""
        return 3

    @property
    def origin(self) -> WeightsOrigin:
        """Where the weights come from."""
        return WeightsOrigin() if self.weights is None else origin_of_file(Path(self.weights), self.licence)

    def network(self, in_channels: int = 1, pretrained: bool = True) -> nn.Module:
        """Return the backbone; see `cemi_core.model.encoder.Encoder`."""
        file = Path(self.weights) if pretrained and self.weights is not None else None
        body, channels = _BODIES[self.family](self.which, file)
        return Backbone(body, channels, in_channels, self.mean, self.std)


def _module(family: str, name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"encoders of '{family}' need the package {package}: pip install {package}"
        ) from error


def _unknown(family: str, which: str, known: Sequence[str]) -> UsageError:
    from difflib import get_close_matches

    close = get_close_matches(which, known, n=3, cutoff=0.4) or list(known)[:3]
    return UsageError(f"'{family}' has no encoder '{which}'; there are {', '.join(close)} and others")


class _WithoutImage(nn.Module):
    """An encoder of segmentation_models_pytorch, without the image that it gives back first."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.encoder(x)[1:])


def _smp(which: str, file: Path | None) -> tuple[nn.Module, tuple[int, ...]]:
    encoders: Any = _module("smp", "segmentation_models_pytorch.encoders", "segmentation-models-pytorch")
    known = encoders.get_encoder_names()
    if which not in known and not which.startswith("tu-"):
        raise _unknown("smp", which, known)
    encoder = encoders.get_encoder(which, in_channels=3, depth=len(STRIDES), weights=None)
    if file is not None:
        fill(encoder, file, f"smp:{which}")
    return _WithoutImage(encoder), tuple(encoder.out_channels[1:])


class _Spread(nn.Module):
    """Puts the features of a network that begins at a coarser stride in their places."""

    def __init__(self, network: nn.Module, strides: Sequence[int]) -> None:
        super().__init__()
        self.network, self.strides = network, tuple(strides)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = dict(zip(self.strides, self.network(x), strict=True))
        empty = {s: x.new_zeros(x.shape[0], 0, x.shape[-2] // s, x.shape[-1] // s) for s in STRIDES if s not in found}
        return [{**empty, **found}[stride] for stride in STRIDES]


def _timm(which: str, file: Path | None) -> tuple[nn.Module, tuple[int, ...]]:
    timm: Any = _module("timm", "timm", "timm")
    if not timm.is_model(which.partition(".")[0]):
        raise _unknown("timm", which, timm.list_models())
    loaded: dict[str, Any] = {"pretrained": False}
    if file is not None:
        if file.suffix != ".safetensors":
            raise UsageError(f"weights of timm are read from .safetensors files, and {file.name} is none")
        loaded = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}
    try:
        network = timm.create_model(which, features_only=True, **loaded)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UsageError(f"timm's '{which}' cannot be used as an encoder: {str(error).splitlines()[0]}") from error
    reductions, channels = network.feature_info.reduction(), network.feature_info.channels()
    kept = {stride: width for stride, width in zip(reductions, channels, strict=True) if stride in STRIDES}
    if len(kept) != len(reductions):
        raise UsageError(f"timm's '{which}' cannot be used as an encoder: its stages are {reductions}, not {STRIDES}")
    return _Spread(network, reductions), tuple(kept.get(stride, 0) for stride in STRIDES)


def _torchvision(which: str, file: Path | None) -> tuple[nn.Module, tuple[int, ...]]:
    models: Any = _module("torchvision", "torchvision.models", "torchvision")
    if which not in models.list_models(module=models):
        raise _unknown("torchvision", which, models.list_models(module=models))
    whole = models.get_model(which, weights=None)
    if file is not None:
        fill(whole, file, f"torchvision:{which}")
    stages = Stages(_in_a_row(whole, which))
    return stages, stages.channels


def _in_a_row(whole: Any, which: str) -> list[nn.Module]:
    """Return the modules of a network for classes that come before its pooling, one after the other."""
    if hasattr(whole, "layer4"):  # ResNet and its kin  # no plugin
        stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu)
        return [stem, nn.Sequential(whole.maxpool, whole.layer1), whole.layer2, whole.layer3, whole.layer4]
    if hasattr(whole, "trunk_output"):  # RegNet  # no plugin
        return [whole.stem, *whole.trunk_output.children()]
    if isinstance(getattr(whole, "features", None), nn.Sequential):  # no plugin
        return list(whole.features.children())
    raise UsageError(f"torchvision's '{which}' cannot be used as an encoder: it has no stages")


_BODIES: dict[str, Callable[[str, Path | None], tuple[nn.Module, tuple[int, ...]]]] = {
    "smp": _smp,
    "timm": _timm,
    "torchvision": _torchvision,
}


@lru_cache(maxsize=32)
def _channels_of(family: str, which: str) -> tuple[int, ...]:
    state = torch.get_rng_state()  # to ask must not change what is drawn later
    try:
        return _BODIES[family](which, None)[1]
    finally:
        torch.set_rng_state(state)


def make_smp(settings: FamilySettings, runtime: Runtime) -> FamilyEncoder:
    """Make an encoder of segmentation_models_pytorch."""
    return FamilyEncoder("smp", **settings.model_dump())


def make_timm(settings: FamilySettings, runtime: Runtime) -> FamilyEncoder:
    """Make an encoder of timm."""
    return FamilyEncoder("timm", **settings.model_dump())


def make_torchvision(settings: FamilySettings, runtime: Runtime) -> FamilyEncoder:
    """Make an encoder of torchvision."""
    return FamilyEncoder("torchvision", **settings.model_dump())
