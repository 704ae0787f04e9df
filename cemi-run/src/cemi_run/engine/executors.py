"""How work is spread: one seam, `concurrent.futures.Executor`, over this thread, threads, processes or Dask."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, Literal, TypeVar

from cemi_core.errors import MissingDependencyError, UsageError, WorkerError
from cemi_core.model.executor import SerialExecutor, know_stop_sign

Kind = Literal["serial", "threads", "processes", "dask"]
KINDS: tuple[Kind, ...] = ("serial", "threads", "processes", "dask")

#: A task should take at least this long, so that handing it out costs little beside it.
TASK_SECONDS = 0.1
_MAX_ITEMS_PER_TASK = 256

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def _start_worker(threads: int, sign: Any) -> None:
    know_stop_sign(sign)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches the whole process group; only the parent answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def _end_with_parent() -> None:
    """End this worker when the process that it works for has been killed; it would wait for tasks for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def open_executor(kind: Kind, workers: int, scheduler: str | None = None) -> Iterator[Executor]:
    """Open an executor for the time of a run.

    Parameters
    ----------
    kind : str
        ``"serial"``, ``"threads"``, ``"processes"`` or ``"dask"``.
    workers : int
        Number of tasks at a time, at least 1.
    scheduler : str or None
        Address of a Dask scheduler (``"tcp://..."``); None starts a local cluster.

    Yields
    ------
    concurrent.futures.Executor
        With an attribute ``workers``, the number of tasks that it runs at a time.

    Raises
    ------
    UsageError
        The kind is unknown, or the scheduler does not answer.
    MissingDependencyError
        Dask is asked for and not installed.
    """
    if workers < 1:
        raise UsageError(f"at least one worker is needed, not {workers}")
    if kind == "serial":
        yield SerialExecutor()
    elif kind == "threads":
        stop = threading.Event()
        with_stop: dict[str, Any] = {"initializer": know_stop_sign, "initargs": (stop,)}
        with _cancelled_on_error(ThreadPoolExecutor(workers, thread_name_prefix="cemi", **with_stop), stop) as executor:
            yield executor
    elif kind == "processes":
        # Spawned, not forked: a fork of a process with running torch threads can hang.
        threads = max(1, (os.cpu_count() or 1) // workers)
        context = get_context("spawn")
        sign = context.Event()
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(threads, sign))
        try:
            with _cancelled_on_error(pool, sign) as executor:
                yield executor
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process died, perhaps for want of memory; what is finished is kept: "
                "run again with fewer --workers"
            ) from error
    elif kind == "dask":
        with _dask_executor(workers, scheduler) as executor:
            yield executor
    else:
        raise UsageError(f"unknown executor '{kind}'; use one of {', '.join(KINDS)}")


@contextmanager
def _cancelled_on_error(executor: Executor, stop_sign: Any = None) -> Iterator[Executor]:
    try:
        yield executor
    except BaseException:
        if stop_sign is not None:
            stop_sign.set()
        executor.shutdown(wait=True, cancel_futures=True)
        raise
    executor.shutdown(wait=True)


@contextmanager
def _dask_executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "the executor 'dask' needs Dask, which is not installed; run: pip install 'cemi-run[dask]'"
        ) from None
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(f"no Dask scheduler answers at {scheduler}: {error}") from None
        with client, _cancelled_on_error(client.get_executor()) as executor:
            yield executor
        return
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=40
        ) as cluster,
        Client(cluster) as client,
        _cancelled_on_error(client.get_executor()) as executor,
    ):
        yield executor


def shares_memory(kind: Kind) -> bool:
    """Return whether tasks run in this process, so that arrays can be handed over and HDF5 has one writer."""
    return kind in ("serial", "threads")


def spread(
    executor: Executor,
    function: Callable[[Any, Sequence[Item]], Sequence[Answer]],
    common: Any,
    items: Iterable[Item],
    *,
    in_flight: int,
    batch: int | None = None,
) -> Iterator[tuple[Item, Answer]]:
    """Yield ``(item, answer)`` in the order of ``items``, computed by tasks of several items each.

    The first item runs alone and is timed; the rest go out in batches that take about `TASK_SECONDS`. Only
    ``in_flight`` tasks are under way at a time, so memory is bounded however many items there are.

    Parameters
    ----------
    executor : Executor
    function : callable
        ``function(common, batch_of_items) -> answers``, one per item; a module-level function if tasks leave the
        process.
    common : object
        What every task needs; small and picklable.
    items : iterable
    in_flight : int
        Tasks under way at a time; answers waiting for their turn count too.
    batch : int or None
        Items per task; None measures the first one.
    """
    if isinstance(executor, ProcessPoolExecutor):
        _require_picklable(function, common)
    stream = iter(items)
    if batch is None:
        first = list(islice(stream, 1))
        if not first:
            return
        start = time.perf_counter()
        answer = executor.submit(function, common, first).result()
        seconds = max(time.perf_counter() - start, 1e-6)
        batch = min(_MAX_ITEMS_PER_TASK, max(1, round(TASK_SECONDS / seconds)))
        yield first[0], answer[0]
    waiting: list[tuple[list[Item], Future[Sequence[Answer]]]] = []
    try:
        while True:
            while len(waiting) < in_flight and (chunk := list(islice(stream, batch))):
                waiting.append((chunk, executor.submit(function, common, chunk)))
            if not waiting:
                return
            wait_for([waiting[0][1]])
            chunk, future = waiting.pop(0)
            yield from zip(chunk, future.result(), strict=True)
    finally:
        for _, future in waiting:
            future.cancel()


def _require_picklable(function: Callable[..., Any], common: Any) -> None:
    try:
        pickle.dumps((function, common))
    except Exception as error:  # objects say no in their own ways: TypeError, AttributeError, PicklingError
        raise WorkerError(
            f"what the tasks need cannot be sent to other processes ({error}); use --executor threads"
        ) from error


def wait_for(futures: Sequence[Future[Any]]) -> None:
    """Wait until one of the futures is done; other executors' futures (Dask's) wait in their own way."""
    if all(isinstance(future, Future) for future in futures):
        wait(futures, return_when=FIRST_COMPLETED)
    else:
        futures[0].exception()
