"""The steps that judge the denoising, where the denoiser offers it: on the frames, or on windows of the mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import PluginError
from cemi_core.model.frame import Frame, FrameSource, GreyFrames
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_core.model.result import Result, Table
from cemi_core.model.stages import Denoiser, JudgesDenoising
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import DenoiserPlugin, owner_of
from cemi_run.engine.abilities import with_ability
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Context, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.steps.adapted import adapted_path, kept_adapted
from cemi_run.steps.measure import load_result
from cemi_run.steps.place import load_layout
from cemi_run.store.frames import StoredFrames
from cemi_run.store.hdf5_table import new_hdf5_file
from cemi_run.store.protocol import open_mosaic
from cemi_run.store.run_file import write_result

#: Windows of a mosaic that are judged, at most, and their edge, px: the first of which there are enough.
WINDOWS, EDGES_PX = 24, (512, 256, 128)
_ENOUGH = 8
#: Columns of the table that every judgement holds.
SUMMARY_COLUMNS = ("quantity", "value", "limit", "verdict")
_NOT_JUDGED = Result(
    "", (), (Table("summary", SUMMARY_COLUMNS, ()),), notes=("This denoiser has no checks of its own work.",)
)


@dataclass(frozen=True)
class MosaicWindows(GreyFrames):
    """Windows of a mosaic as a `FrameSource`; pickles as a path."""

    path: Path
    boxes: tuple[Box, ...]

    @property
    def frames(self) -> Sequence[Frame]:
        """One for each window, named after its place."""
        return [
            Frame(index, f"window at ({box.y}, {box.x}) px", (box.height, box.width))
            for index, box in enumerate(self.boxes)
        ]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored pixels."""
        with open_mosaic(self.path) as mosaic:
            return mosaic.dtype

    def read(self, index: int) -> NDArray[np.float32]:
        """Return the pixels of a window, float32 (h, w) in [0, 1]."""
        with open_mosaic(self.path) as mosaic:
            return mosaic.read(self.boxes[index])


def imaged_windows(path: Path, most: int = WINDOWS, edges_px: Sequence[int] = EDGES_PX) -> tuple[Box, ...]:
    """Return up to ``most`` windows that were imaged completely, spread over a mosaic; smaller ones if need be."""
    complete: list[Box] = []
    with open_mosaic(path) as mosaic:
        for edge in edges_px:
            boxes = list(Box(0, 0, *mosaic.shape).tiles(edge, edge))
            tried = [boxes[n] for n in _evenly(len(boxes), 8 * most)]
            complete = [box for box in tried if mosaic.read_valid(box).all()]
            if len(complete) >= min(_ENOUGH, most):
                break
    return tuple(complete[n] for n in _evenly(len(complete), most))


def _evenly(count: int, most: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def judge_frames(choice: Choice[DenoiserPlugin], before: str, after: str, name: str, context: Context) -> Outcome:
    """Let a denoiser judge what it did to the frames.

    Parameters
    ----------
    choice : Choice
        The denoiser.
    before, after : str
        Steps whose frames it read and wrote.
    name : str
        Name of this step.
    """
    raw, denoised = (StoredFrames(context.folder.output_of(step)) for step in (before, after))
    denoiser = make(choice.plugin, choice.settings, context.machine.runtime())
    record = context.folder.record(after)
    learns = choice.plugin.description.abilities_of(choice.settings).learns
    if learns and record is not None:  # what did the work is asked, not what it learnt from
        denoiser = kept_adapted(adapted_path(context.folder, after), record.key, denoiser) or denoiser
    layout = load_layout(context.folder.output_of("layout"))
    return _judge(denoiser, choice, raw, denoised, layout, "on frames", name, context)


def judge_mosaic(choice: Choice[DenoiserPlugin], before: str, after: str, name: str, context: Context) -> Outcome:
    """Let a denoiser judge what it did to the mosaic; the arguments are those of `judge_frames`."""
    paths = [context.folder.output_of(step) for step in (before, after)]
    boxes = imaged_windows(paths[0])
    raw, denoised = (MosaicWindows(path, boxes) for path in paths)
    denoiser = make(choice.plugin, choice.settings, context.machine.runtime())
    return _judge(denoiser, choice, raw, denoised, None, "on the mosaic", name, context)


def _judge(
    denoiser: Denoiser,
    choice: Choice[DenoiserPlugin],
    raw: FrameSource,
    denoised: FrameSource,
    layout: Layout | None,
    where: str,
    name: str,
    context: Context,
) -> Outcome:
    called, abilities = choice.name, choice.plugin.description.abilities_of(choice.settings)
    context.progress(f"judging {called}", 0, 1)
    if isinstance(denoiser, JudgesDenoising):
        result = denoiser.judge(raw, denoised, layout, context.executor)
    elif abilities.learns:  # what it has become does not judge
        result = _NOT_JUDGED
    else:
        with_ability(denoiser, JudgesDenoising, choice.plugin, "judges")
    if not isinstance(result, Result) or not any(
        table.name == "summary" and table.columns == SUMMARY_COLUMNS for table in result.tables
    ):
        raise PluginError(
            f"{owner_of(denoiser)} judged without a Result that holds a table 'summary' of {', '.join(SUMMARY_COLUMNS)}"
        )
    context.progress(f"judging {called}", 1, 1)
    path = context.folder.inner / f"{name}.h5"
    with new_hdf5_file(path) as file:
        write_result(file, replace(result, analyzer=f"{called} {where}"))
    return Outcome([path])


def load_judgements(folder: RunFolder, steps: Sequence[str]) -> list[Result]:
    """Return what the denoisers said of their work, in the order of ``steps``."""
    return [load_result(folder.output_of(step)) for step in steps]
