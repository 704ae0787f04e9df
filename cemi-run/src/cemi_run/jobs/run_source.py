"""The source `run`: the frames of a finished run, with their layout and all else that it has found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from cemi_core.errors import InputError
from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.layout import Layout
from cemi_core.model.settings import InputPath, Settings
from cemi_core.model.stages import Runtime
from cemi_run.engine.folder import RunFolder
from cemi_run.steps.finish import opened_run
from cemi_run.steps.place import load_layout
from cemi_run.store.frames import StoredFrames


class RunSettings(Settings):
    """Settings of the source `run`."""

    path: InputPath = Field(description="Run folder of 'cemi recipe'.")


class FramesOfRun(StoredFrames):
    """The kept frames of a run, raw, as a `cemi_core.model.finished_run.RunFrames`; pickles as its path.

    Raises
    ------
    InputError
        The folder holds no run, or its frames were discarded.
    """

    def __init__(self, path: Path) -> None:
        self._folder = RunFolder(path)
        if not self._folder.inner.is_dir():
            raise InputError(f"{path} is not a folder of a run of 'cemi recipe'")
        frames = self._folder.output_of("frames")
        if not frames.exists():
            raise InputError(f"the frames of {path} were discarded; run its recipe again without --discard")
        super().__init__(frames)

    @property
    def layout(self) -> Layout:
        """Where the frames lie."""
        return load_layout(self._folder.output_of("layout"))

    @contextmanager
    def opened(self) -> Iterator[FinishedRun]:
        """Yield everything that the finished run knows, with the mosaic open for reading.

        Raises
        ------
        InputError
            The run is not finished.
        """
        with opened_run(self._folder) as run:
            yield run

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._folder.path,)


def make(settings: RunSettings, runtime: Runtime) -> FramesOfRun:
    """Return the frames of a run."""
    return FramesOfRun(Path(settings.path))
