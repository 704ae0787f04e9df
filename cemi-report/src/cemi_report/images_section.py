"""The section on images that stand alone: each with its conditions and what was measured on it."""

from __future__ import annotations

from dataclasses import dataclass

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.result import Relation
from cemi_report.blocks import LONGEST_LIST, TextTable, text_table
from cemi_report.numbers import MISSING, label_with_unit, value_text

#: Conditions and quantities that are shown at most; the others are in the run folder.
_MAX_COLUMNS = 6


@dataclass(frozen=True)
class Images:
    """The section: a sentence on how to read it, the table, and how many images it leaves out."""

    reading: str
    table: TextTable


def images(data: FinishedRun) -> Images | None:
    """Return the table of images with their conditions and values; None where the images were joined."""
    if not data.separate:
        return None
    conditions = list(dict.fromkeys(name for frame in data.frames for name, _ in frame.conditions if name != "number"))
    maps = [result.maps[0] for result in data.results if result.maps]
    shown, measured = conditions[:_MAX_COLUMNS], maps[:_MAX_COLUMNS]
    rows = []
    for index, frame in enumerate(data.frames[:LONGEST_LIST]):
        known = frame.known_conditions
        values = [value_text(m.value[0, index], m.low[0, index], m.high[0, index], m.unit) for m in measured]
        rows.append((index + 1, frame.name, *(known.get(name, MISSING) for name in shown), *values))
    heads = ("number", "image", *shown, *(label_with_unit(m.label, "1") for m in measured))
    left_out = [
        f"{count} more {what} in run.h5"
        for count, what in (
            (len(data.frames) - len(rows), "images are"),
            (len(conditions) - len(shown), "conditions are"),
            (len(maps) - len(measured), "quantities are"),
        )
        if count > 0
    ]
    reading = "Each image was measured on its own; in brackets the 95 % interval."
    return Images(
        f"{reading} {'; '.join(left_out)}.".strip(" .") + "." if left_out else reading, text_table(heads, rows)
    )


def class_table(relation: Relation, label: str, unit: str) -> TextTable | None:
    """Return the mean of each class of a relation; None where no classes were compared."""
    if not relation.groups:
        return None
    rows = [(group.name, group.n, value_text(group.mean, group.low, group.high, unit)) for group in relation.groups]
    return text_table((relation.property_name, "images", "mean (95 % interval)"), rows, label)
