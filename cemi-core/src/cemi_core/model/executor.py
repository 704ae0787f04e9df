"""What long work leans on of the executor that runs it: one that runs tasks here, and the sign to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class SerialExecutor(Executor):
    """Runs each task where it is submitted."""

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        """Run the task now and return its finished future."""
        future: Future[Answer] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _OfWorker(threading.local):
    """What each thread knows of the worker that it works for."""

    stop_sign: Any = None


_of_worker = _OfWorker()


def know_stop_sign(sign: Any) -> None:
    """Remember, in a worker, the event that is set when its executor stops early."""
    _of_worker.stop_sign = sign


def end_if_stopped() -> None:
    """End the task that calls this in a worker if nobody wants its answer any more (Ctrl-C); call it in long loops.

    Raises
    ------
    concurrent.futures.CancelledError
        The executor stops early.
    """
    sign = _of_worker.stop_sign
    if sign is not None and sign.is_set():
        raise CancelledError
