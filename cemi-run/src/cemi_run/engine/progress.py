"""What a person sees of long work: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cemi_core.model.progress import Progress, silent

log = logging.getLogger("cemi")

_LINE_EVERY_SECONDS = 10.0


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Progress]:
    """Yield a `Progress` for this terminal or log, and clean up at the end."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as display:
        tasks: dict[str, int] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = int(display.add_task(label, total=total or None))
            display.update(tasks[label], completed=done, total=total or None)  # type: ignore[arg-type]
            if total and done >= total:
                display.remove_task(tasks.pop(label))  # type: ignore[arg-type]

        yield update


class _Lines:
    """A line every ten seconds; work that is done before the first one is due needs none."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        if total and done >= total:
            self._last.pop(label, None)
        elif now - self._last.setdefault(label, now) >= _LINE_EVERY_SECONDS:
            self._last[label] = now
            log.info("%s: %d%s", label, done, f" of {total} ({100 * done // total} %)" if total else "")
