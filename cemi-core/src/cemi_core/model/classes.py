"""Classes: what a pixel, an object or a cell can be, with the colours that stand for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Colours that differ for colour-blind readers too (Okabe and Ito 2008), given to classes that name none.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """One class: its short name (``"pore"``), the words for a legend, and its colour (``"#rrggbb"``)."""

    name: str
    label: str = ""
    colour: str = ""


def class_labels(names: Sequence[str]) -> tuple[ClassLabel, ...]:
    """Return one class for each name, with colours from `PALETTE`.

    Examples
    --------
    >>> [c.colour for c in class_labels(["matrix", "pore"])]
    ['#0072b2', '#e69f00']
    """
    return tuple(ClassLabel(name, name, PALETTE[index % len(PALETTE)]) for index, name in enumerate(names))
