"""A network at work in this process: loaded once, on a device, in a number type, and with cells that fit its memory."""

from __future__ import annotations

import copy
import threading
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cemi_core.model.mosaic import Box
from cemi_denoise.network.networks import DenoisingNetwork, RRDBNet
from cemi_denoise.network.weights import find_weights, load_weights, network_from_bytes
from cemi_learn.tiles.context import LONGEST_CONTEXT_PX
from cemi_learn.tiles.context import measured_context_px as measured
from cemi_learn.tiles.tiled_network import TiledNetwork, asked, to_device

#: What rounding to 256 grey levels changes, root mean square.
_ROUNDING = 12**-0.5 / 255
_STRIP_ROWS = 32


class NetworkRunner:
    """Runs one network over pictures of any size; shared by the threads of a process.

    Parameters
    ----------
    network : DenoisingNetwork
        float32, on the CPU, in evaluation mode.
    device : str
        A torch device.
    dtype : {"auto", "float32", "bfloat16"}
        See `choose_dtype`.
    cell_px : int
        Edge of the cells, px.
    context_px : int, optional
        How far the network looks; measured if not given.

    Raises
    ------
    UsageError
        The device is not there.
    """

    def __init__(
        self, network: DenoisingNetwork, device: str, dtype: str, cell_px: int, context_px: int | None = None
    ) -> None:
        #: The number type that the network computes in.
        self.dtype = torch.float32
        self._wanted = dtype
        self.context_px = measured_context_px(network) if context_px is None else context_px
        self.tiled = TiledNetwork(
            network, device, cell_px, self.context_px, network.multiple, _answer, self._place, "denoise"
        )

    def run(
        self, image: NDArray[np.float32], noise: NDArray[np.float32], work: Box, origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Return ``work`` of ``image`` without noise.

        Parameters
        ----------
        image, noise : ndarray of float32, shape (h, w)
            Grey levels in [0, 1], and the standard deviation of their noise, 0 where it is unknown.
        work : Box
            What is wanted.
        origin : tuple of int
            Where (y, x) the array begins in its picture. The network folds pixels into channels, so that it answers the
            same only where the folding begins at the same pixel.

        Raises
        ------
        InputError
            Not even the CPU has memory for the smallest cells.
        """
        multiple = self.tiled.multiple
        before = origin[0] % multiple, origin[1] % multiple
        if any(before):
            margins = ((before[0], 0), (before[1], 0))
            image, noise = np.pad(image, margins, mode="symmetric"), np.pad(noise, margins, mode="edge")
        shifted = Box(work.y + before[0], work.x + before[1], work.height, work.width)
        return self.tiled.run(np.stack([image, noise]), shifted)[0]

    def _place(self, network: nn.Module, device: str) -> nn.Module:
        placed = to_device(network, device)
        assert isinstance(placed, DenoisingNetwork)
        if isinstance(placed, RRDBNet) and torch.device(device).type == "cpu":
            placed.strip_rows = _STRIP_ROWS
        self.dtype = choose_dtype(placed, device, self._wanted)
        self._wanted = str(self.dtype).removeprefix("torch.")  # on another device the same
        return placed if self.dtype == torch.float32 else in_bfloat16(placed)


def _answer(network: nn.Module, cells: Tensor) -> Tensor:
    """Return the denoised cells (n, 1, h, w) for cells (n, 2, h, w) of pictures and the level of their noise."""
    pictures = cells[:, :1].contiguous(memory_format=torch.channels_last)
    answer: Tensor = network(pictures, cells[:, 1:].contiguous())
    return answer.float()


def in_bfloat16(network: DenoisingNetwork) -> DenoisingNetwork:
    """Return a copy whose dense blocks and way up, nearly all of the work, are in bfloat16; others are as they were.

    bfloat16 has 8 significant bits: rounding the picture itself would cost half a grey level, and rounding what runs
    through all blocks several.
    """
    rounded = copy.deepcopy(network)
    if isinstance(rounded, RRDBNet):
        for part in rounded.most_work:
            part.to(torch.bfloat16)
    return rounded


def choose_dtype(network: DenoisingNetwork, device: str, dtype: str) -> torch.dtype:
    """Return the number type to compute in.

    ``"auto"`` is bfloat16 where the processor computes it faster (AVX512-BF16 or AMX, CUDA from Ampere on) and it
    changes the network's answer to a test picture by less than rounding it to 256 grey levels would.
    """
    if dtype != "auto":
        return torch.bfloat16 if dtype == "bfloat16" else torch.float32
    if not _computes_bfloat16(device):
        return torch.float32
    picture = _test_picture(128, 128).to(device)
    difference = asked(_answer, network, picture) - asked(_answer, in_bfloat16(network), picture)
    return torch.bfloat16 if float(difference.square().mean().sqrt()) < _ROUNDING else torch.float32


def _computes_bfloat16(device: str) -> bool:
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    tests = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return torch.device(device).type == "cpu" and any(test() for test in tests if test is not None)


def measured_context_px(network: DenoisingNetwork, tolerance: float = 0.2 / 255) -> int:
    """Return how far around a pixel a network has to see, so that its answer is good to ``tolerance``.

    A test picture is cut, and the answers for the part are compared with those for the whole; convolutions in a row
    could reach much farther than trained ones do.

    Parameters
    ----------
    network : DenoisingNetwork
    tolerance : float
        On the [0, 1] scale; by default a fifth of a grey level of 255: two tilings may differ by twice that.

    Returns
    -------
    int
        A multiple of the network's own, at most 192.
    """
    own = next(network.parameters(), torch.zeros(()))
    picture = _test_picture(64 + LONGEST_CONTEXT_PX, 192).to(own.device)
    return measured(network, picture, network.multiple, tolerance, _answer)


def _test_picture(height: int, width: int) -> Tensor:
    """Return blobs of two grey levels under strong noise, and the level of the noise, (1, 2, h, w)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((1, 1, height // 8 + 1, width // 8 + 1), generator=generator)
    blobs = nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear")[..., :height, :width]
    clean = 0.5 + 0.2 * torch.tanh(4 * blobs)
    noise = 0.15
    noisy = (clean + noise * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    return torch.cat((noisy, torch.full_like(noisy, noise)), 1)


def runner_for(weights: str, weights_dir: str | None, device: str, dtype: str, cell_px: int) -> NetworkRunner:
    """Return the runner of these weights in this process; a file that changed is loaded again.

    Raises
    ------
    InputError
        The weights are missing, damaged, or not of a network of this package.
    UsageError
        The device is not there.
    """
    path = find_weights(weights, weights_dir).resolve()
    with _LOADING:
        return _runner_of_file(str(path), path.stat().st_mtime_ns, device, dtype, cell_px)


def runner_for_bytes(weights: bytes, device: str, dtype: str, cell_px: int) -> NetworkRunner:
    """Return the runner, in this process, of weights in memory; see `runner_for`."""
    with _LOADING:
        return _runner_of_bytes(weights, device, dtype, cell_px)


_LOADING = threading.Lock()


@lru_cache(maxsize=4)
def _runner_of_file(path: str, changed_ns: int, device: str, dtype: str, cell_px: int) -> NetworkRunner:
    loaded = load_weights(path)
    told = loaded.card.get("context_px")
    # a card can be written by hand: what cannot be true is measured
    context_px = told if type(told) is int and 0 <= told <= LONGEST_CONTEXT_PX else None
    return NetworkRunner(loaded.network, device, dtype, cell_px, context_px)


@lru_cache(maxsize=2)
def _runner_of_bytes(weights: bytes, device: str, dtype: str, cell_px: int) -> NetworkRunner:
    return NetworkRunner(network_from_bytes(weights), device, dtype, cell_px)
