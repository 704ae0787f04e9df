"""A network at work in this process: loaded once, on a device, in a number type, and with cells that fit its memory."""

from __future__ import annotations

import copy
import ctypes
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cemi_core.errors import InputError, UsageError
from cemi_core.model.mosaic import Box
from cemi_denoise.network.networks import DenoisingNetwork, RRDBNet
from cemi_denoise.network.tiled_inference import BLEND_PX, Cell, plan_cells
from cemi_denoise.network.weights import find_weights, load_weights, network_from_bytes

log = logging.getLogger("cemi")

#: What rounding to 256 grey levels changes, root mean square.
_ROUNDING = 12**-0.5 / 255
_SMALLEST_CELL_PX = 128
_STRIP_ROWS = 32
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_LONGEST_CONTEXT_PX = 192
_PIXELS_AT_ONCE_ON_GPU = 16 * 1024**2


@dataclass(frozen=True)
class _Placed:
    """A network where it works, and how much of a picture it gets at a time."""

    network: DenoisingNetwork
    device: str
    dtype: torch.dtype
    cell_px: int


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
        self._lock = threading.Lock()
        self._original = network
        self.context_px = measured_context_px(network) if context_px is None else context_px
        require_device(device)
        self._placed = self._place(device, dtype, cell_px)

    @property
    def dtype(self) -> torch.dtype:
        """The number type that the network computes in."""
        return self._placed.dtype

    @property
    def device(self) -> str:
        """Where it works now; it moves to the CPU when the device has no memory left."""
        return self._placed.device

    @property
    def cell_px(self) -> int:
        """Edge of the cells now, px; halved when the device has no memory left."""
        return self._placed.cell_px

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
        multiple = self._original.multiple
        before = origin[0] % multiple, origin[1] % multiple
        if any(before):
            margins = ((before[0], 0), (before[1], 0))
            image, noise = np.pad(image, margins, mode="symmetric"), np.pad(noise, margins, mode="edge")
        shifted = Box(work.y + before[0], work.x + before[1], work.height, work.width)
        while True:
            placed = self._placed
            try:
                return self._blend(placed, image, noise, shifted)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(placed, error)

    def _blend(
        self, placed: _Placed, image: NDArray[np.float32], noise: NDArray[np.float32], work: Box
    ) -> NDArray[np.float32]:
        result = np.zeros((work.height, work.width), np.float32)
        cells = plan_cells(work, image.shape, placed.cell_px, self.context_px, self._original.multiple)
        for batch in _batches(cells, placed):
            pictures, levels = (
                torch.from_numpy(np.stack([array[cell.seen.slices] for cell in batch])[:, None]).to(placed.device)
                for array in (image, noise)
            )
            answers = _answers(placed.network, pictures, levels).cpu().numpy()
            for cell, answer in zip(batch, answers, strict=True):
                where = Box(cell.given.y - work.y, cell.given.x - work.x, cell.given.height, cell.given.width)
                result[where.slices] += cell.weight * answer[cell.inside]
        return result

    def _shrink(self, failed: _Placed, error: Exception) -> None:
        """Go on with smaller cells, at last on the CPU; another thread may have done it already."""
        with self._lock:
            if self._placed is not failed:
                return
            if failed.cell_px > _SMALLEST_CELL_PX:
                smaller = max(_SMALLEST_CELL_PX, failed.cell_px // 2)
                log.warning("%s is out of memory; going on with pieces of %d px", failed.device, smaller)
                self._placed = replace(failed, cell_px=smaller)
            elif torch.device(failed.device).type != "cpu":
                log.warning(
                    "%s is out of memory even for pieces of %d px; going on on the CPU", failed.device, failed.cell_px
                )
                dtype = str(failed.dtype).removeprefix("torch.")
                self._placed = self._place("cpu", dtype, 4 * _SMALLEST_CELL_PX)
            else:
                raise InputError(
                    f"there is no memory to denoise even pieces of {failed.cell_px} px; "
                    "use fewer --workers or a smaller network"
                ) from error

    def _place(self, device: str, dtype: str, cell_px: int) -> _Placed:
        network = copy.deepcopy(self._original).to(device, memory_format=torch.channels_last)
        if isinstance(network, RRDBNet) and torch.device(device).type == "cpu":
            network.strip_rows = _STRIP_ROWS
            keep_freed_memory()
        chosen = choose_dtype(network, device, dtype)
        return _Placed(network if chosen == torch.float32 else in_bfloat16(network), device, chosen, cell_px)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let this process keep large pieces of memory that it frees, for the next layer asks for the same again.

    The C library hands them back to the system, which has to clear them each time: a third of the time of a network.
    Without glibc nothing happens.
    """
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            set_option(option, 1 << 30)
        set_option(_M_ARENA_MAX, 1)


def _batches(cells: Iterator[Cell], placed: _Placed) -> Iterator[Sequence[Cell]]:
    """Group cells of one size: one at a time on a CPU, whose cache holds no more."""
    at_once = 1
    if torch.device(placed.device).type != "cpu":
        at_once = max(1, _PIXELS_AT_ONCE_ON_GPU // (placed.cell_px + 2 * BLEND_PX) ** 2)
    by_size = sorted(cells, key=lambda cell: (cell.seen.height, cell.seen.width))
    for _, same in groupby(by_size, key=lambda cell: (cell.seen.height, cell.seen.width)):
        while batch := list(islice(same, at_once)):
            yield batch


def _answers(network: DenoisingNetwork, pictures: Tensor, levels: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(pictures.contiguous(memory_format=torch.channels_last), levels)[:, 0].float()


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
    picture, noise = (tensor.to(device) for tensor in _test_picture(128, 128))
    difference = _answers(network, picture, noise) - _answers(in_bfloat16(network), picture, noise)
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
    multiple = network.multiple
    cut = 64
    own = next(network.parameters(), torch.zeros(()))
    picture, noise = (tensor.to(own.device) for tensor in _test_picture(cut + _LONGEST_CONTEXT_PX, 192))
    difference = _answers(network, picture, noise)[:, cut:] - _answers(network, picture[:, :, cut:], noise)
    too_far = torch.nonzero(difference[0].abs().amax(1) > tolerance)
    farthest = int(too_far[-1]) + 1 if len(too_far) else 0
    return min(_LONGEST_CONTEXT_PX, -(-farthest // multiple) * multiple)


def _test_picture(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return blobs of two grey levels under strong noise, (1, 1, h, w), and the level of the noise, (1,)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((1, 1, height // 8 + 1, width // 8 + 1), generator=generator)
    blobs = nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear")[..., :height, :width]
    clean = 0.5 + 0.2 * torch.tanh(4 * blobs)
    noise = 0.15
    return (clean + noise * torch.randn(clean.shape, generator=generator)).clamp(0, 1), torch.tensor([noise])


def require_device(device: str) -> None:
    """Raise a `UsageError` of one sentence if torch has no such device here."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used here ({reason}); use --device cpu") from None


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of torch or NumPy says that there is no memory left, on the device or on the CPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


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
    context_px = told if type(told) is int and 0 <= told <= _LONGEST_CONTEXT_PX else None
    return NetworkRunner(loaded.network, device, dtype, cell_px, context_px)


@lru_cache(maxsize=2)
def _runner_of_bytes(weights: bytes, device: str, dtype: str, cell_px: int) -> NetworkRunner:
    return NetworkRunner(network_from_bytes(weights), device, dtype, cell_px)
