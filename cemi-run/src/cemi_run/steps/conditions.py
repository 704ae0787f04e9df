"""The step that relates images that stand alone to a condition of theirs: dose, temperature, time, class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cemi_core.errors import UsageError
from cemi_core.model.frame import Frame, FrameSource
from cemi_core.model.result import PropertyTable, Relation, profile_of_frames
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import RelationPlugin, SourcePlugin
from cemi_run.engine.plan import Context, Machine, Outcome
from cemi_run.recipe.check import Choice
from cemi_run.steps.measure import load_result
from cemi_run.steps.relate import write_related
from cemi_run.store.hdf5_table import opened_hdf5_file
from cemi_run.store.run_file import read_frames_table

#: Conditions that say in which order the images were taken.
_OF_A_SERIES = ("number", "time_s", "page")


def relate_condition(
    choice: Choice[RelationPlugin], condition: str, analyze_steps: Sequence[str], context: Context
) -> Outcome:
    """Relate what was measured on each image to a condition of the images.

    Raises
    ------
    UsageError
        No image has the condition, or it holds words and the method needs numbers.
    """
    with opened_hdf5_file(context.folder.inner / "frames.h5") as table:
        frames, _ = read_frames_table(table)
    results = [load_result(context.folder.output_of(step)) for step in analyze_steps]
    profiles = [profile_of_frames(grid_map) for result in results for grid_map in result.maps]
    method = make(choice.plugin, choice.settings, context.machine.runtime())
    relations: Sequence[Relation] = method.relate(profiles, condition_table(frames, condition, choice))
    return Outcome([write_related(context.folder, profiles, relations)], notes_on_condition(frames, condition))


def require_condition(
    source: Choice[SourcePlugin], relation: Choice[RelationPlugin], condition: str, machine: Machine
) -> None:
    """Find out before any work whether the images have a condition; those of a recording are not known yet.

    Raises
    ------
    UsageError
        As `relate_condition`.
    """
    found = make(source.plugin, source.settings, machine.runtime())
    if isinstance(found, FrameSource):
        condition_table(found.frames, condition, relation)


def condition_table(frames: Sequence[Frame], condition: str, choice: Choice[RelationPlugin]) -> PropertyTable:
    """Return a condition of the images as the table of a property, by the number of the image.

    Images without the condition are left out. Words become classes, in natural order of their first image.

    Raises
    ------
    UsageError
        No image has the condition, or it holds words and the method needs numbers.
    """
    texts = {frame.index: text for frame in frames if (text := frame.known_conditions.get(condition))}
    if not texts:
        known = sorted({name for frame in frames for name in frame.known_conditions})
        raise UsageError(
            f"no image has a condition '{condition}'; known are {', '.join(known)}; more come from "
            "'conditions: TABLE.csv' in the source's settings"
        )
    x = np.array([index + 1.0 for index in texts])
    numbers = [_number(text) for text in texts.values()]
    if None not in numbers:
        return PropertyTable(condition, x, np.array(numbers, np.float64))
    if not choice.plugin.description.abilities_of(choice.settings).takes_classes:
        index, text = next((i, t) for (i, t), number in zip(texts.items(), numbers, strict=True) if number is None)
        name = next(frame.name for frame in frames if frame.index == index)
        raise UsageError(
            f"'{choice.name}' needs numbers, and '{condition}' of '{name}' is '{text}'; correct it, or compare classes "
            "with 'use: groups'"
        )
    classes = list(dict.fromkeys(texts.values()))
    return PropertyTable(
        condition, x, np.array([float(classes.index(text)) for text in texts.values()]), tuple(classes)
    )


def notes_on_condition(frames: Sequence[Frame], condition: str) -> list[str]:
    """Return sentences on what a relation to this condition leaves out or takes for granted."""
    notes = []
    without = [frame.name for frame in frames if not frame.known_conditions.get(condition)]
    if without:
        listed = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        notes.append(
            f"{len(without)} of {len(frames)} images have no '{condition}' and are left out of the relation: {listed}."
        )
    if condition in _OF_A_SERIES:
        notes.append(
            f"The relation to '{condition}' takes the images as independent; images that follow each other are often "
            "alike, and then its interval is too narrow."
        )
    return notes


def _number(text: str) -> float | None:
    """Return the number that a text is; NaN and infinity are none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
