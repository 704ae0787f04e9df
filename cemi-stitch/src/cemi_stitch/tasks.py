"""Spreads batches of work over an executor, in order and with a bounded number in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

import cv2

from cemi_core.errors import UsageError
from cemi_core.model.executor import SerialExecutor

Result = TypeVar("Result")
#: Batches in the executor at any time, which bounds memory and the loss when a run is killed.
IN_FLIGHT = 16


def spread(
    executor: Executor | None, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]
) -> Iterator[Result]:
    """Yield ``function(*call)`` for every call, in order, run by ``executor`` (None: here, one after the other)."""
    if executor is None:
        for call in calls:
            yield function(*call)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for call in calls:
            waiting.append(executor.submit(function, *call))
            if len(waiting) >= IN_FLIGHT:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def shares_memory(executor: Executor | None) -> bool:
    """Return whether tasks run in this process, so that what one has read is there for the next."""
    return executor is None or isinstance(executor, (SerialExecutor, ThreadPoolExecutor))


def use_threads(threads: int) -> None:
    """Let torch and OpenCV use so many threads in the calling task; beyond that they would fight over the cores."""
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if cv2.getNumThreads() != threads:
        cv2.setNumThreads(threads)


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return ``items`` in pieces of at most ``size``."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def require_device(device: str) -> None:
    """Try a torch device.

    Raises
    ------
    UsageError
        It is none of torch's, or this machine does not have it.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used here ({reason}); use --device cpu") from None
