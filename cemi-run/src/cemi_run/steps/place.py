"""The step that finds where the frames lie; pairs that a killed run has matched are not matched again."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cemi_core.errors import PluginError
from cemi_core.files.atomic import atomic_path, write_json_atomically
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout, PairShift, write_layout_csv
from cemi_core.model.stages import PlaceContext, Stitcher
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import StitcherPlugin, owner_of
from cemi_run.engine.plan import Context, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.store.frames import StoredFrames
from cemi_run.store.hdf5_table import new_hdf5_file, opened_hdf5_file
from cemi_run.store.run_file import read_layout, write_layout

log = logging.getLogger("cemi")


class PairJournal:
    """Shifts that have been measured, batch by batch, in a folder; survives a kill at any moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> list[PairShift] | None:
        """Return the shifts of a batch, or None if it has not been measured."""
        try:
            entries = json.loads(self._file(key).read_text(encoding="utf-8"))
            return [PairShift.from_json(entry) for entry in entries]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, key: str, shifts: list[PairShift]) -> None:
        """Keep the shifts of a batch."""
        write_json_atomically(self._file(key), [asdict(shift) for shift in shifts])

    def _file(self, key: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in key)
        return self._folder / f"{safe}.json"


def place_frames(choice: Choice[StitcherPlugin], before: str, name: str, context: Context) -> Outcome:
    """Match and solve; write ``layout.csv`` and the layout for the steps that follow.

    Parameters
    ----------
    choice : Choice
        The stitcher.
    before : str
        Step whose frames are placed.
    name : str
        Name of the layout: ``"layout"`` for the one of the run.
    """
    frames = StoredFrames(context.folder.output_of(before), choice.channel)
    stitcher = make(choice.plugin, choice.settings, context.machine.runtime())
    journal_folder = context.folder.inner / f"pairs-{context.key}"
    layout = placed(stitcher, frames, PlaceContext(context.executor, context.progress, PairJournal(journal_folder)))
    path = context.folder.inner / f"{name}.h5"
    with new_hdf5_file(path) as file:
        write_layout(file, layout)
    outputs = [path]
    if name == "layout":
        with atomic_path(context.folder.layout_csv) as temporary:
            write_layout_csv(temporary, layout, [frame.name for frame in frames.frames])
        outputs.append(context.folder.layout_csv)
    shutil.rmtree(journal_folder, ignore_errors=True)
    alone = choice.plugin.description.abilities_of(choice.settings).stands_alone
    return Outcome(outputs, [*layout.notes, *([] if alone else _notes_on_layout(layout))])


def placed(stitcher: Stitcher, frames: FrameSource, context: PlaceContext) -> Layout:
    """Return where a stitcher places frames, checked.

    Raises
    ------
    PluginError
        It places other frames than it was given, or at positions that are NaN or infinite.
    """
    layout = stitcher.place(frames, context)
    if not isinstance(layout, Layout) or len(layout) != len(frames.frames):
        found = len(layout) if isinstance(layout, Layout) else type(layout).__name__
        raise PluginError(f"{owner_of(stitcher)} placed {found} of {len(frames.frames)} frames")
    if not np.isfinite(layout.positions_px).all():
        raise PluginError(f"{owner_of(stitcher)} placed frames at positions that are not numbers")
    return layout


def load_layout(path: Path) -> Layout:
    """Return a layout that `place_frames` wrote."""
    with opened_hdf5_file(path) as file:
        return read_layout(file)


def _notes_on_layout(layout: Layout) -> list[str]:
    components = int(layout.component.max()) + 1 if len(layout) else 0
    unplaced = int(np.count_nonzero(layout.placed_by_prior))
    notes = []
    if components > 1:
        notes.append(
            f"The frames fall into {components} components that no kept pair joins; "
            f"{unplaced} of {len(layout)} frames stand where the stage should have been, not where the picture says."
        )
    for note in notes:
        log.warning("%s", note)
    return notes
