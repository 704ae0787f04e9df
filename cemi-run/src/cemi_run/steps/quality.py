"""The step that judges the stitching, where the stitcher offers it: for the report, and as JSON for programs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from cemi_core.errors import PluginError
from cemi_core.files.atomic import write_json_atomically
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.result import Result, Table
from cemi_core.model.stages import JudgesLayout, PlaceContext
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import StitcherPlugin, owner_of
from cemi_run.engine.abilities import with_ability
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Context, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.steps.measure import load_result
from cemi_run.steps.place import load_layout
from cemi_run.store.frames import StoredFrames
from cemi_run.store.hdf5_table import new_hdf5_file
from cemi_run.store.run_file import write_result

#: Name of the table file in the run folder.
QUALITY_JSON = "stitch-quality.json"


def judge_stitching(choice: Choice[StitcherPlugin], before: str, context: Context) -> Outcome:
    """Let the stitcher judge its layout; a stitcher that does not judge leaves nothing.

    Parameters
    ----------
    choice : Choice
        The stitcher.
    before : str
        Step whose frames were placed.
    """
    table = context.folder.path / QUALITY_JSON
    if not choice.plugin.description.abilities_of(choice.settings).judges:
        table.unlink(missing_ok=True)
        return Outcome([])
    stitcher = make(choice.plugin, choice.settings, context.machine.runtime())
    frames = StoredFrames(context.folder.output_of(before), choice.channel)
    layout = load_layout(context.folder.output_of("layout"))
    judging = with_ability(stitcher, JudgesLayout, choice.plugin, "judges")
    result = judged(judging, frames, layout, PlaceContext(context.executor, context.progress))
    path = context.folder.inner / "quality.h5"
    with new_hdf5_file(path) as file:
        write_result(file, result)
    write_json_atomically(table, quality_record(choice.name, result))
    return Outcome([path, table])


def judged(stitcher: JudgesLayout, frames: FrameSource, layout: Layout, context: PlaceContext) -> Result:
    """Return what a stitcher says of a layout, checked.

    Raises
    ------
    PluginError
        What comes back is no `Result` with a table ``summary`` that holds a row ``score``.
    """
    result = stitcher.judge(frames, layout, context)
    if not isinstance(result, Result):
        raise PluginError(f"{owner_of(stitcher)} judged with {type(result).__name__}, not with a Result")
    if not any(table.name == "summary" and any(row[:1] == ("score",) for row in table.rows) for table in result.tables):
        raise PluginError(
            f"{owner_of(stitcher)} judged without a score: a table 'summary' with a row 'score' is missing"
        )
    return result


def load_quality(folder: RunFolder) -> Result | None:
    """Return what the stitcher said of its layout, or None where it offers no judgement."""
    record = folder.record("quality")
    return load_result(folder.output_of("quality")) if record is not None and record.outputs else None


def quality_record(stitcher: str, result: Result) -> dict[str, Any]:
    """Return a judgement as plain data for JSON: score, summary, a list of lines for each further table, notes.

    Numbers that are unknown become None.
    """
    tables = {table.name.replace(" ", "_"): _lines(table) for table in result.tables}
    summary = {line["quantity"]: line["value"] for line in tables.pop("summary")}
    return {
        "stitcher": stitcher,
        "score": summary.pop("score"),
        "summary": summary,
        **tables,
        "notes": list(result.notes),
    }


def _lines(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, map(_plain, row), strict=True)) for row in table.rows]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def write_quality_json(path: Path, stitcher: str, result: Result) -> None:
    """Write `quality_record` to ``path`` in one step."""
    write_json_atomically(path, quality_record(stitcher, result))
