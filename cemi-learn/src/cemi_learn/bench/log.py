"""What a training writes down: log.csv, and curves for TensorBoard where it is installed."""

from __future__ import annotations

import csv
import importlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cemi_core.files.atomic import atomic_path, storage_errors

log = logging.getLogger("cemi")


class TrainLog:
    """Means of the losses over some steps, written as lines of a table.

    A training that goes on from a checkpoint first takes back the lines after it, so that the table is the same as that
    of a training that was never stopped (but for the seconds).

    Parameters
    ----------
    folder : Path
        ``log.csv`` is written there, and ``tensorboard/``.
    columns : sequence of str
        Losses and metrics, in the order of the columns.
    step : int
        Where the training stands.
    sums : mapping
        What `state` returned at that step; empty at the start.
    tensorboard : bool
    """

    def __init__(
        self, folder: Path, columns: Sequence[str], step: int, sums: Mapping[str, float], tensorboard: bool
    ) -> None:
        self._path = folder / "log.csv"
        self._columns = ("step", "seconds", "learning_rate", *columns)
        self._sums = dict(sums)
        self._take_back_after(step)
        self._curves_folder = folder / "tensorboard"
        self._curves = _curves(self._curves_folder, step) if tensorboard else None

    def add(self, losses: Mapping[str, float]) -> None:
        """Add the losses of one step to those of the next line."""
        for name, value in {**losses, "_steps": 1.0}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def state(self) -> dict[str, float]:
        """Return what belongs into a checkpoint: sums since the last line."""
        return dict(self._sums)

    def write(self, step: int, seconds: float, learning_rate: float, scores: Mapping[str, float]) -> dict[str, float]:
        """Write a line and return the means in it.

        Parameters
        ----------
        step : int
            Steps done.
        seconds : float
            Time of the training so far.
        learning_rate : float
        scores : mapping
            Metrics on the validation images, if they were measured at this step.

        Raises
        ------
        StorageError
            The disk is full.
        """
        steps = self._sums.pop("_steps", 0.0)
        means = {name: total / steps for name, total in self._sums.items()} if steps else {}
        self._sums = {}
        values = {"step": step, "seconds": round(seconds, 1), "learning_rate": learning_rate, **means, **scores}
        cells = [_cell(values.get(column)) for column in self._columns]
        with storage_errors(self._path), self._path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerow(cells)
        if self._curves is None:
            return means
        with storage_errors(self._curves_folder):
            for name, value in {**means, **scores}.items():
                self._curves.add_scalar(name, value, step)
            self._curves.flush()
        return means

    def close(self) -> None:
        """Close the curves.

        Raises
        ------
        StorageError
            The disk is full.
        """
        if self._curves is not None:
            with storage_errors(self._curves_folder):
                self._curves.close()

    def _take_back_after(self, step: int) -> None:
        kept: list[list[str]] = []
        if self._path.exists() and step > 0:
            with self._path.open(newline="", encoding="utf-8", errors="replace") as stream:
                head, *rows = [*csv.reader(stream)] or [[]]
            # a line that a killed process left half written has too few cells
            whole = [dict(zip(head, row, strict=True)) for row in rows if len(row) == len(head)]
            before = [row for row in whole if row.get("step", "").isdecimal() and int(row["step"]) <= step]
            kept = [[row.get(column, "") for column in self._columns] for row in before]
        with atomic_path(self._path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([list(self._columns), *kept])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _curves(folder: Path, step: int) -> Any | None:
    """Return TensorBoard's writer, or None if it is not installed, which one line tells."""
    try:
        module = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        log.info("TensorBoard is not installed (pip install tensorboard): log.csv alone is written")
        return None
    with storage_errors(folder):
        return module.SummaryWriter(str(folder), purge_step=step or None)
