"""Work that is done once in each process, whichever of its threads asks first."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from threading import RLock
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def once(maxsize: int) -> Callable[[Callable[Arguments, Answer]], Callable[Arguments, Answer]]:
    """Return a decorator like `functools.lru_cache`, with which threads that ask for the same wait for the first.

    Parameters
    ----------
    maxsize : int
        Answers that are kept.
    """

    def decorate(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        lock, cached = RLock(), lru_cache(maxsize)(function)

        @wraps(function)
        def ask(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
            with lock:
                return cached(*args, **kwargs)  # type: ignore[arg-type]

        return ask

    return decorate
