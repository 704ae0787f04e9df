"""Encoders: named backbones on which networks for images are built, with where their weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class WeightsOrigin:
    """Where weights come from, for the card of every network that is built on them.

    Attributes
    ----------
    source : str
        What they were published as: a package with its version, or a file's name; empty where they are drawn.
    licence : str
        SPDX identifier, such as ``"Apache-2.0"``; empty where it is not known.
    sha256 : str
        Of the file, as ``sha256sum`` prints it; empty where they are drawn.
    """

    source: str = ""
    licence: str = ""
    sha256: str = ""

    def in_words(self, name: str) -> str:
        """Return the line of a card; empty for weights that are drawn."""
        if not self.source:
            return ""
        return f"{name} from {self.source}, licence {self.licence or 'unknown'}, SHA-256 {self.sha256}"


@runtime_checkable
class Encoder(Protocol):
    """A backbone that turns an image into features, coarser and coarser; picklable, and cheap to make.

    Attributes
    ----------
    name : str
        The word in a recipe: ``"efficientnet-lite0"``, ``"smp:resnet34"``.
    strides : tuple of int
        How many pixels a side each stage folds into one: ``(2, 4, 8, 16, 32)``.
    channels : tuple of int
        Features of each stage; 0 where the backbone has no such stage.
    input_channels : int
        Channels of the images that its weights were trained on.
    mean, std : tuple of float
        What it takes from the channels of an image in [0, 1], and what it divides them by. Its network does so itself.
    origin : WeightsOrigin
    """

    @property
    def name(self) -> str: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def input_channels(self) -> int: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...
    @property
    def origin(self) -> WeightsOrigin: ...

    def network(self, in_channels: int = 1, pretrained: bool = True) -> Any:
        """Return the backbone as a ``torch.nn.Module``.

        It takes images (n, in_channels, h, w) in [0, 1], h and w multiples of the last stride, and answers with a list:
        the images themselves, then the features of each stage.

        Parameters
        ----------
        in_channels : int
            Of the images; grey ones are shown to all channels of the weights.
        pretrained : bool
            Whether its weights are filled in; False where they will be loaded from elsewhere.
        """
        ...
