"""The run folder: what lies where, which steps are finished, and that only one process writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError
from cemi_core.files.atomic import storage_errors, write_json_atomically
from cemi_core.files.locked import INNER, locked_folder


@dataclass(frozen=True)
class StepRecord:
    """What a finished step leaves: its key, what the key was made of, its outputs (relative paths) and its time.

    ``sizes`` are the bytes of those outputs that later steps read, so that one which was cut short is noticed.
    ``discarded`` tells that the outputs were removed on purpose: they are made again only for a step that reads them.
    """

    name: str
    key: str
    inputs: Mapping[str, Any]
    after: Mapping[str, str]
    outputs: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())
    discarded: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


class RunFolder:
    """Paths and records of one run.

    Parameters
    ----------
    path : Path
        The folder; it is made when the run opens it for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inner = path / INNER
        self.steps = self.inner / "steps"
        self.inputs = self.inner / "inputs.json"
        self.frames = path / "frames.zarr"
        self.run_file = path / "run.h5"
        self.layout_csv = path / "layout.csv"
        self.report = path / "report.html"
        self.resolved_recipe = path / "recipe.resolved.yaml"
        self.provenance = path / "provenance.json"
        self.log = path / "cemi.log"
        self.maps = path / "maps"
        #: What checks of the finished run have found, where they were made: `cemi_run.store.check_file`.
        self.checks = (path / "twin.h5", path / "count.h5")

    @contextmanager
    def opened_for_writing(self) -> Iterator[None]:
        """Hold the folder for this process; the lock dies with the process, however it ends.

        Raises
        ------
        RunInUseError
            Another process holds it.
        StorageError
            The folder cannot be made or written.
        """
        with locked_folder(self.path):
            with storage_errors(self.path):
                self.steps.mkdir(exist_ok=True)
            yield

    def record(self, name: str) -> StepRecord | None:
        """Return what a finished step left, or None if it is not finished or an output of it is gone."""
        try:
            data = json.loads((self.steps / f"{name}.json").read_text(encoding="utf-8"))
            record = StepRecord(**{**data, "outputs": tuple(data["outputs"]), "notes": tuple(data.get("notes", ()))})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return record

    def lost_output(self, record: StepRecord) -> str | None:
        """Return what is wrong with the first output of a step that is not there any more, or smaller than it was."""
        for output in record.outputs:
            if not (self.path / output).exists():
                return f"{output} is gone"
            if _bytes_in(self.path / output) < record.sizes.get(output, 0):
                return f"{output} is damaged"
        return None

    def sizes_of(self, outputs: Sequence[str]) -> dict[str, int]:
        """Return the bytes of those outputs that hold data for later steps (tables for people may be edited)."""
        data = [output for output in outputs if any(part.endswith((".h5", ".zarr")) for part in Path(output).parts)]
        return {output: _bytes_in(self.path / output) for output in data}

    def finish(self, record: StepRecord) -> None:
        """Write down that a step is finished."""
        write_json_atomically(self.steps / f"{record.name}.json", asdict(record))

    def forget(self, name: str) -> None:
        """Mark a step as not finished."""
        (self.steps / f"{name}.json").unlink(missing_ok=True)

    def relative(self, path: Path) -> str:
        """Return a path inside the folder relative to it."""
        return path.relative_to(self.path).as_posix()

    def output_of(self, name: str) -> Path:
        """Return the first output of a finished step.

        Raises
        ------
        InputError
            The step is not finished.
        """
        record = self.record(name)
        if record is None or not record.outputs:
            raise InputError(f"{self.path} has no finished step '{name}'; run the recipe again")
        return self.path / record.outputs[0]

    def mosaic_path(self) -> Path:
        """Return the finished mosaic.

        Raises
        ------
        InputError
            The folder holds no run, or the run has not come that far.
        """
        for name in ("mosaic.h5", "mosaic.ome.zarr"):
            if (self.path / name).exists():
                return self.path / name
        raise InputError(f"{self.path} holds no finished mosaic; is it a run folder of 'cemi recipe'?")


def _bytes_in(path: Path) -> int:
    if path.is_dir():
        return sum(_bytes_in(Path(entry)) for entry in os.scandir(path))
    return path.stat().st_size
