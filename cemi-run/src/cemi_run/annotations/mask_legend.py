"""Legends that lie beside masks: CEMI's ``classes.json`` and the ``labelmap.txt`` of CVAT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError
from cemi_core.files.atomic import write_json_atomically
from cemi_core.model.classes import ClassLabel
from cemi_run.annotations.files import open_file, written_by
from cemi_run.annotations.legend import hex_colour

#: Name of the legend that CEMI writes beside masks.
LEGEND_FILE = "classes.json"
_CVAT_FILE = "labelmap.txt"


@dataclass(frozen=True)
class MaskLegend:
    """What the values and colours of masks mean.

    Attributes
    ----------
    classes : tuple of ClassLabel
    values : dict of int to str
        Name of the class of a grey level; empty where colours count.
    nothing : int or None
        The grey level that says nothing.
    images : dict of str to str
        Name of the image of each mask.
    """

    classes: tuple[ClassLabel, ...] = ()
    values: dict[int, str] = field(default_factory=dict)
    nothing: int | None = None
    images: dict[str, str] = field(default_factory=dict)


def legend_beside(path: Path) -> MaskLegend:
    """Return the legend in the folder of a mask; an empty one if there is none.

    Raises
    ------
    InputError
        It is damaged.
    """
    if (path.parent / LEGEND_FILE).is_file():
        file = open_file(path.parent / LEGEND_FILE)
        with written_by("CEMI", file.path):
            return _own(file.data)
    if (path.parent / _CVAT_FILE).is_file():
        return _cvat(path.parent / _CVAT_FILE)
    return MaskLegend()


def _own(data: dict[str, Any]) -> MaskLegend:
    entries = data["classes"]
    classes = tuple(
        ClassLabel(str(e["name"]), str(e.get("label") or e["name"]), str(e.get("colour") or "")) for e in entries
    )
    values = {int(e["value"]): str(e["name"]) for e in entries if "value" in e}
    nothing = data.get("nothing")
    images = {str(mask): str(image) for mask, image in (data.get("images") or {}).items()}
    return MaskLegend(classes, values, None if nothing is None else int(nothing), images)


def _cvat(path: Path) -> MaskLegend:
    """Return what lines ``name:red,green,blue:parts:actions`` say."""
    classes = []
    for number, line in enumerate(open_file(path).text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.match(r"^(.*?):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(:|$)", line)
        if not found:
            raise InputError(f"'{path}', line {number}: '{line}' is not name:red,green,blue:parts:actions")
        classes.append(ClassLabel(found[1], found[1], hex_colour(*(int(found[k]) for k in (2, 3, 4)))))
    return MaskLegend(tuple(classes))


def write_legend(folder: Path, classes: Sequence[ClassLabel], nothing: int, images: dict[str, str]) -> None:
    """Write `LEGEND_FILE` for masks whose values are indices into ``classes``."""
    entries = [
        {"value": value, "name": label.name, "label": label.label or label.name, "colour": label.colour}
        for value, label in enumerate(classes)
    ]
    write_json_atomically(folder / LEGEND_FILE, {"classes": entries, "nothing": nothing, "images": images})
