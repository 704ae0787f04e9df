"""Batches made ahead by threads, while a device computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

BatchT = TypeVar("BatchT")


class MadeAhead(Generic[BatchT]):
    """The same batches in the same order, made before they are asked for.

    Parameters
    ----------
    batches : callable
        The batch of a step.
    threads : int
        How many are made at a time; twice as many are waiting at most.
    """

    def __init__(self, batches: Callable[[int], BatchT], threads: int) -> None:
        self._batches, self._ahead = batches, 2 * threads
        # each thread makes a whole batch, so that it needs no further threads for the parts of it
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        self._coming: dict[int, Future[BatchT]] = {}

    def __call__(self, step: int) -> BatchT:
        """Return the batch of this step; the next ones are begun."""
        for number in range(step, step + self._ahead):
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._batches, number)
        return self._coming.pop(step).result()

    def close(self) -> None:
        """Forget the batches that nobody will ask for."""
        self._pool.shutdown(cancel_futures=True)
