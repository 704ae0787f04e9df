"""A network at work on images of any size: on a device, in cells that fit its memory, joined without a seam."""

from __future__ import annotations

import copy
import ctypes
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box
from cemi_learn.device import is_out_of_memory, require_device
from cemi_learn.tiles.cells import BLEND_PX, Cell, plan_cells

log = logging.getLogger("cemi")

SMALLEST_CELL_PX = 128
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_PIXELS_AT_ONCE_ON_GPU = 16 * 1024**2

#: Answers with (n, k, h, w) for cells (n, c, h, w), both float32, on the device where the network is.
Answer = Callable[[nn.Module, Tensor], Tensor]
#: Brings a network to a device, in evaluation mode; the original stays as it is.
Place = Callable[[nn.Module, str], nn.Module]


def plain_answer(network: nn.Module, cells: Tensor) -> Tensor:
    """Return what a network of one input answers."""
    answer: Tensor = network(cells)
    return answer.float()


@dataclass(frozen=True)
class Placed:
    """A network where it works, and how much of an image it gets at a time."""

    network: nn.Module
    device: str
    cell_px: int


class TiledNetwork:
    """Runs one network over images of any size; shared by the threads of a process.

    Memory is bounded by the cells and by what is returned: of the image, only a cell at a time is read.

    Parameters
    ----------
    network : nn.Module
        float32, on the CPU, in evaluation mode.
    device : str
        A torch device.
    cell_px : int
        Edge of the cells, px.
    context_px : int
        How far around a pixel the network looks, px (see `measured_context_px`).
    multiple : int
        The network folds pixels: cells begin at multiples of it.
    answer : callable
        How the network is asked.
    place : callable, optional
        How it is brought to a device; by default with images last in memory, as convolutions like it.
    purpose : str
        What it does, for messages: ``"denoise"``.

    Raises
    ------
    UsageError
        The device is not there.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str,
        cell_px: int,
        context_px: int,
        multiple: int = 1,
        answer: Answer = plain_answer,
        place: Place | None = None,
        purpose: str = "work on",
    ) -> None:
        require_device(device)
        self._lock = threading.Lock()
        self.original, self.answer, self.place = network, answer, place or to_device
        self.context_px, self.multiple, self._purpose = context_px, multiple, purpose
        self.placed = Placed(self.place(network, device), device, cell_px)

    @property
    def device(self) -> str:
        """Where it works now; it moves to the CPU when the device has no memory left."""
        return self.placed.device

    @property
    def cell_px(self) -> int:
        """Edge of the cells now, px; halved when the device has no memory left."""
        return self.placed.cell_px

    def run(
        self, image: NDArray[np.float32], work: Box | None = None, origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Return what the network answers for a part of an image.

        Parameters
        ----------
        image : ndarray of float32, shape (c, h, w)
            Any array that is sliced like one of NumPy, such as a memory map.
        work : Box, optional
            What is wanted; by default all.
        origin : tuple of int
            Where (y, x) the array begins in its image. A network that folds pixels answers the same only where the
            folding begins at the same pixel; the lines that are missing before it are mirrored.

        Returns
        -------
        ndarray of float32, shape (k, height, width) of ``work``

        Raises
        ------
        InputError
            Not even the CPU has memory for the smallest cells.
        """
        work = work or Box(0, 0, image.shape[1], image.shape[2])
        before = origin[0] % self.multiple, origin[1] % self.multiple
        if any(before):
            image = np.pad(image, ((0, 0), (before[0], 0), (before[1], 0)), mode="symmetric")
        shifted = Box(work.y + before[0], work.x + before[1], work.height, work.width)
        while True:
            placed = self.placed
            try:
                return self._blend(placed, image, shifted)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(placed, error)

    def _blend(self, placed: Placed, image: NDArray[np.float32], work: Box) -> NDArray[np.float32]:
        result: NDArray[np.float32] | None = None
        cells = plan_cells(work, (image.shape[1], image.shape[2]), placed.cell_px, self.context_px, self.multiple)
        for batch in _batches(cells, placed):
            seen = np.stack([np.asarray(image[(slice(None), *cell.seen.slices)], np.float32) for cell in batch])
            answers = asked(self.answer, placed.network, torch.from_numpy(seen).to(placed.device)).cpu().numpy()
            if result is None:
                result = np.zeros((answers.shape[1], work.height, work.width), np.float32)
            for cell, answer in zip(batch, answers, strict=True):
                where = Box(cell.given.y - work.y, cell.given.x - work.x, cell.given.height, cell.given.width)
                result[(slice(None), *where.slices)] += cell.weight * answer[(slice(None), *cell.inside)]
        assert result is not None
        return result

    def _shrink(self, failed: Placed, error: Exception) -> None:
        """Go on with smaller cells, at last on the CPU; another thread may have done it already."""
        with self._lock:
            if self.placed is not failed:
                return
            if failed.cell_px > SMALLEST_CELL_PX:
                smaller = max(SMALLEST_CELL_PX, failed.cell_px // 2)
                log.warning("%s is out of memory; going on with pieces of %d px", failed.device, smaller)
                self.placed = replace(failed, cell_px=smaller)
            elif torch.device(failed.device).type != "cpu":
                log.warning(
                    "%s is out of memory even for pieces of %d px; going on on the CPU", failed.device, failed.cell_px
                )
                self.placed = Placed(self.place(self.original, "cpu"), "cpu", 4 * SMALLEST_CELL_PX)
            else:
                raise InputError(
                    f"there is no memory to {self._purpose} even pieces of {failed.cell_px} px; "
                    "use fewer --workers or a smaller network"
                ) from error


def asked(answer: Answer, network: nn.Module, cells: Tensor) -> Tensor:
    """Return the answers of a network for cells, which may be of any order in memory."""
    with torch.inference_mode():
        return answer(network, cells.contiguous(memory_format=torch.channels_last))


def to_device(network: nn.Module, device: str) -> nn.Module:
    """Return a copy of a network on a device, images last in memory; on a CPU, freed memory is kept for it."""
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    return copy.deepcopy(network).to(device).to(memory_format=torch.channels_last)


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


def _batches(cells: Iterator[Cell], placed: Placed) -> Iterator[Sequence[Cell]]:
    """Group cells of one size: one at a time on a CPU, whose cache holds no more."""
    at_once = 1
    if torch.device(placed.device).type != "cpu":
        at_once = max(1, _PIXELS_AT_ONCE_ON_GPU // (placed.cell_px + 2 * BLEND_PX) ** 2)
    by_size = sorted(cells, key=lambda cell: (cell.seen.height, cell.seen.width))
    for _, same in groupby(by_size, key=lambda cell: (cell.seen.height, cell.seen.width)):
        while batch := list(islice(same, at_once)):
            yield batch
