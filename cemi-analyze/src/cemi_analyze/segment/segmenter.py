"""A stored network at work: calibrated probabilities of each class for a part of an image."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.segment.weights import SegmenterCard, card_in, find_segmenter, require_learn
from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cemi_learn.tiles.tiled_network import TiledNetwork

#: Edge of the pieces that a network gets at a time, px; cells of a grid are usually smaller.
_TILE_PX = 1024
_LOADING = threading.Lock()


@dataclass(frozen=True)
class Segmenter:
    """A network from a file of weights; picklable, and cheap to make: torch is imported when work begins.

    Attributes
    ----------
    weights : str
        A path, a name in ``weights_dir``, or the name of shipped weights.
    device : str
        A torch device.
    threads : int
    weights_dir : str or None
    flips : bool
        Whether the mean over the image and its three mirror images is taken: four times the work.
    precision : {"auto", "float32", "bfloat16"}
        What the convolutions are computed in. ``auto`` takes bfloat16 on a processor with matrix units for it (AMX),
        which is more than twice as fast there and moves about one pixel in a thousand over a border.
    """

    weights: str
    device: str = "cpu"
    threads: int = 1
    weights_dir: str | None = None
    flips: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @property
    def card(self) -> SegmenterCard:
        """What the file says of the network.

        Raises
        ------
        InputError
            There is no such file, or it holds something else.
        """
        return _card(self.weights, self.weights_dir)

    def prepare(self) -> None:
        """Load the weights and try the device.

        Raises
        ------
        InputError
            The weights cannot be used.
        MissingDependencyError
            The packages for networks are not installed.
        UsageError
            The device is not there.
        """
        self._tiled()

    def probabilities(
        self, image: NDArray[np.float32], work: Box | None = None, origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Return the probability of each class in a part of an image.

        Parameters
        ----------
        image : ndarray of float32, shape (h, w) or (c, h, w)
            In [0, 1], finite everywhere.
        work : Box, optional
            What is wanted; by default all. What lies around it is looked at.
        origin : tuple of int
            Where (y, x) the array begins in its image: networks fold pixels by 32, so the answer for a pixel depends on
            where the folding begins.

        Returns
        -------
        ndarray of float32, shape (classes, height, width) of ``work``

        Raises
        ------
        InputError
            The network takes other channels, or answers with no numbers.
        """
        planes = image[None] if image.ndim == 2 else image
        tiled = self._tiled()
        answers = tiled.run(planes, work, origin)
        if not np.isfinite(answers).all():
            raise InputError(f"the network '{self.weights}' answers with pixels that are not numbers")
        return answers

    def logits_network(self) -> nn.Module:
        """Return the network itself, in evaluation mode on its device; it is shared, so leave it as it is."""
        tiled = self._tiled()
        return tiled.placed.network

    def _tiled(self) -> TiledNetwork:
        require_learn()
        import torch

        torch.set_num_threads(self.threads)  # here, since the setting does not travel to other processes
        with _LOADING:
            return _loaded(self.weights, self.weights_dir, self.device, self.flips, is_rounded(self.precision))


@lru_cache(maxsize=16)
def _card(weights: str, weights_dir: str | None) -> SegmenterCard:
    return card_in(find_segmenter(weights, weights_dir))


@lru_cache(maxsize=4)
def _loaded(weights: str, weights_dir: str | None, device: str, flips: bool, rounded: bool) -> TiledNetwork:
    from cemi_analyze.segment.folded import folded
    from cemi_analyze.segment.weights import TASK
    from cemi_learn.encoders.segmentation import rebuilt_segmentation_network
    from cemi_learn.tiles.tiled_network import TiledNetwork
    from cemi_learn.weights.stored_network import read_network, rebuild

    path = find_segmenter(weights, weights_dir)
    stored = read_network(path, TASK, "'cemi train segmenter' writes such files")
    network = rebuild(stored, rebuilt_segmentation_network)
    card, multiple = card_in(path), int(network.multiple)
    channels = int(stored.architecture["in_channels"])
    fast = folded(network, channels)
    answer = _Answer(card.temperature, flips, rounded)
    return TiledNetwork(fast, device, _TILE_PX, card.context_px, multiple, answer, purpose="segment")


@dataclass(frozen=True)
class _Answer:
    """How the network is asked: probabilities at its temperature, over mirror images where that is wanted."""

    temperature: float
    flips: bool
    rounded: bool

    def __call__(self, network: nn.Module, cells: Tensor) -> Tensor:
        import torch

        wanted = first_channels(network)
        if wanted is not None and cells.shape[1] != wanted:
            raise InputError(f"the image has {cells.shape[1]} channels, and the network takes {wanted}")
        total: Any = None
        mirrored = ((), (2,), (3,), (2, 3)) if self.flips else ((),)
        for axes in mirrored:
            with torch.autocast(cells.device.type, torch.bfloat16, enabled=self.rounded):
                answer = network(cells.flip(axes) if axes else cells)
            logits = answer.float() / self.temperature
            logits = logits.flip(axes) if axes else logits
            if logits.shape[1] == 1:
                second = logits.sigmoid()
                found = torch.cat([1 - second, second], 1)
            else:
                found = logits.softmax(1)
            total = found if total is None else total + found
        return torch.as_tensor(total / len(mirrored))


def is_rounded(precision: str) -> bool:
    """Return whether convolutions are computed in bfloat16; ``auto`` does where the processor has units for it."""
    if precision != "auto":
        return precision == "bfloat16"
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def first_channels(network: nn.Module) -> int | None:
    """Return how many channels a network takes, as far as it says."""
    encoder: Any = getattr(network, "encoder", None)  # no plugin
    channels = getattr(encoder, "out_channels", None)  # no plugin
    return int(channels[0]) if channels is not None else None
