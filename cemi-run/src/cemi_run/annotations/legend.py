"""From labels as written to classes: spelling, unknown labels, colours."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cemi_core.errors import InputError
from cemi_core.model.classes import PALETTE, ClassLabel
from cemi_run.annotations.raster import BACKGROUND_NAMES

#: The class of shapes that nobody gave a label.
UNLABELLED = "object"
Unknown = Literal["error", "ignore"]


@dataclass(frozen=True)
class Naming:
    """How labels become classes.

    Attributes
    ----------
    classes : tuple of ClassLabel
    index : dict of str to int
        Class of each label as written; labels that are ignored are missing.
    notes : dict of str to str
        A sentence for each label that was read as another or ignored.
    """

    classes: tuple[ClassLabel, ...]
    index: dict[str, int]
    notes: dict[str, str]


def name_classes(
    written: Iterable[ClassLabel],
    used: Mapping[str, str],
    declared: Sequence[ClassLabel] | None = None,
    unknown: Unknown = "error",
) -> Naming:
    """Return the classes of a set of annotations, and the class of each label.

    Parameters
    ----------
    written : iterable of ClassLabel
        Legends of the files, in their order.
    used : mapping of str to str
        Labels of shapes and masks, in order of appearance, and the file in which each stands first; an empty label
        means that a shape has none.
    declared : sequence of ClassLabel, optional
        The classes that there may be. Without it, the files' own labels are the classes.
    unknown : {"error", "ignore"}
        What happens to labels that are not declared.

    Raises
    ------
    InputError
        A label is not declared, and ``unknown`` is "error"; the sentence names the file.
    """
    legend = list(written)
    if declared is None:
        return _own_classes(legend, used)
    classes = _coloured([_with_colour(label, legend) for label in declared])
    return _declared_classes(classes, used, unknown)


def spelling(label: str) -> str:
    """Return what two spellings of one label have in common: case, spaces, hyphens and underscores do not count."""
    return re.sub(r"[\s_\-]+", " ", label).strip().casefold()


def _own_classes(legend: list[ClassLabel], used: Iterable[str]) -> Naming:
    classes: list[ClassLabel] = []
    index: dict[str, int] = {}
    notes: dict[str, str] = {}
    by_spelling: dict[str, int] = {}
    for label in [*legend, *(ClassLabel(text) for text in used)]:
        if label.name in index:
            continue
        name = label.name.strip() or UNLABELLED
        number = by_spelling.get(spelling(name))
        if number is None:
            number = by_spelling[spelling(name)] = len(classes)
            classes.append(replace(label, name=name, label=label.label or name))
        elif name != classes[number].name:
            notes[label.name] = f"label '{label.name}' was read as '{classes[number].name}'"
        if not label.name.strip():
            notes[label.name] = f"shapes without a label were read as '{classes[number].name}'"
        index[label.name] = number
    return Naming(_coloured(classes), index, notes)


def _declared_classes(classes: tuple[ClassLabel, ...], used: Mapping[str, str], unknown: Unknown) -> Naming:
    by_spelling = {spelling(label.name): number for number, label in reversed(list(enumerate(classes)))}
    real = [number for number, label in enumerate(classes) if label.name.casefold() not in BACKGROUND_NAMES]
    index: dict[str, int] = {}
    notes: dict[str, str] = {}
    strangers = []
    for text in used:
        number = by_spelling.get(spelling(text))
        if number is None and not text.strip():
            number = by_spelling.get(UNLABELLED, real[0] if len(real) == 1 else None)
            if number is not None:
                notes[text] = f"shapes without a label were read as '{classes[number].name}'"
        elif number is not None and text != classes[number].name:
            notes[text] = f"label '{text}' was read as '{classes[number].name}'"
        if number is not None:
            index[text] = number
        else:
            strangers.append(text)
            notes[text] = (
                f"label '{text}' is not one of the classes and was ignored"
                if text
                else ("shapes without a label were ignored")
            )
    if strangers and unknown == "error":
        raise InputError(f"'{used[strangers[0]]}': " + _unknown_sentence(strangers, [label.name for label in classes]))
    return Naming(classes, index, notes)


def _unknown_sentence(strangers: list[str], known: list[str]) -> str:
    told = []
    for text in strangers[:8]:
        near = difflib.get_close_matches(spelling(text), [spelling(name) for name in known], 1)
        hint = next((f" (did you mean '{name}'?)" for name in known if near and spelling(name) == near[0]), "")
        told.append(f"'{text}'{hint}" if text else "shapes without a label")
    more = f" and {len(strangers) - 8} more" if len(strangers) > 8 else ""
    return f"unknown label {', '.join(told)}{more}; the classes are {', '.join(known)}"


def _with_colour(label: ClassLabel, legend: list[ClassLabel]) -> ClassLabel:
    """Return a declared class with the colour that the files give it, where it has none of its own."""
    if label.colour:
        return label
    same = [other.colour for other in legend if other.colour and spelling(other.name) == spelling(label.name)]
    return replace(label, colour=same[0]) if same else label


def _coloured(classes: Sequence[ClassLabel]) -> tuple[ClassLabel, ...]:
    """Return classes of which each has words and a colour."""
    return tuple(
        replace(label, label=label.label or label.name, colour=label.colour or PALETTE[number % len(PALETTE)])
        for number, label in enumerate(classes)
    )


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour ``"#rrggbb"``; mid grey where it is none."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        return 127, 127, 127
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def hex_colour(red: int, green: int, blue: int) -> str:
    """Return a colour ``"#rrggbb"`` of red, green and blue, 0 to 255."""
    return f"#{int(red) & 255:02x}{int(green) & 255:02x}{int(blue) & 255:02x}"
