"""What checks of the finished run have found: a virtual specimen like it, and a count by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.result import Result, Table
from cemi_core.numeric.digits import decimals_for
from cemi_report.blocks import Folded, Plate, TextTable, png, text_table
from cemi_report.check_figures import against_truth_figure, agreement_figure
from cemi_report.numbers import MISSING, fixed, minus, unit_text

#: An interval that holds the truth in fewer cells than this, for sure, is named at the top of the report.
_HOLDS_TOO_SELDOM = 0.85


@dataclass(frozen=True)
class Check:
    """One check: what it says in sentences, a table, what to be careful with, figures, and how it was made."""

    title: str
    reading: str
    sentences: tuple[str, ...]
    cautions: tuple[str, ...]
    tables: tuple[TextTable, ...]
    plates: tuple[Plate, ...]
    pictures: tuple[Plate, ...]
    notes: tuple[str, ...]
    lists: tuple[Folded, ...] = ()


def checks(data: FinishedRun) -> tuple[Check, ...]:
    """Return what each check of the run has found; one of an unknown kind is shown with its tables and notes."""
    return tuple(_SHOWN.get(result.analyzer, _plain)(result) for result in data.trust)


def check_doubts(data: FinishedRun) -> list[str]:
    """Return which intervals hold the truth too seldom on virtual specimens like the run's."""
    said = []
    for row in (row for result in data.trust if result.analyzer == "twin" for row in _rows(result, "quantities")):
        if row["cells_held_high"] < _HOLDS_TOO_SELDOM:
            said.append(
                f"{row['quantity']}: on virtual specimens like yours the intervals of the cells held the truth in "
                f"{_percent(row['cells_held'])} of the cells only, not in 95\u202f%."
            )
    return said


def _twin(result: Result) -> Check:
    rows = _rows(result, "quantities")
    heads = ("Quantity", "Your run", "Twin: found", "true", "Bias (95 %)", "Scatter", "Held: cells", "columns", "Unit")
    shown = [_twin_row(row) for row in rows]
    cells = _rows(result, "cells")
    drawn = against_truth_figure(cells)
    plates = [
        Plate(
            drawn,
            "Found against true, on the virtual specimens",
            "Each point is a cell, its bar the 95 % interval that this recipe gives. On the line the recipe is right.",
        )
    ]
    return Check(
        title="On virtual specimens like yours",
        reading="Bias is the mean of found minus true, scatter its deviation from cell to cell. Held is the share of "
        "the cells (and of the columns of the profiles) whose 95 % interval holds the truth: it should be near 95 %.",
        sentences=tuple(str(row["sentence"]) for row in rows),
        cautions=_cautions(result),
        tables=(TextTable(heads, tuple(shown), (False, *(True,) * 7, False)),) if shown else (),
        plates=tuple(plate for plate in plates if plate.image),
        pictures=_pictures(result),
        notes=result.notes,
    )


def _twin_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    decimals = decimals_for(max(abs(row["bias"]), row["scatter"], key=lambda size: (math.isfinite(size), size)))
    means = (fixed(row[name], decimals) for name in ("run", "twin_found", "twin_true"))
    bias = fixed(row["bias"], decimals, sign=True)
    if math.isfinite(row["bias_low"]):
        bias += f" ({fixed(row['bias_low'], decimals, sign=True)} to {fixed(row['bias_high'], decimals, sign=True)})"
    held = (
        _share(row["cells_held"], row["cells_held_low"], row["cells_held_high"]),
        _share(row["columns_held"], row["columns_held_low"], row["columns_held_high"]),
    )
    return (str(row["quantity"]), *means, bias, fixed(row["scatter"], decimals), *held, unit_text(str(row["unit"])))


def _count(result: Result) -> Check:
    rows = _rows(result, "agreement")
    heads = ("Program minus hand", "Value", "95 % interval")
    shown = [(row["what"], _signed(row["value"]), f"{_signed(row['low'])} to {_signed(row['high'])}") for row in rows]
    cells = _rows(result, "cells")
    label = str(cells[0]["quantity"]) if cells else ""
    drawn = agreement_figure(cells, rows, label)
    plate = Plate(
        drawn or b"",
        f"{label}: the program against the count by hand",
        "One point for each cell (Bland and Altman). Between the dashed lines 95 % of the differences lie; the bands "
        "are the 95 % intervals of the mean difference and of these limits. Points that lie on a slope mean that the "
        "difference depends on the size of the value.",
    )
    heads_of_cells = ("row", "column", "points", "by hand", "program", "low", "high")
    keys = ("row", "column", "points", "hand", "program", "low", "high")
    listed = [tuple(cell[key] for key in keys) for cell in cells]
    return Check(
        title="Counted by hand",
        reading="",
        sentences=tuple(str(row["sentence"]) for row in _rows(result, "sentences")),
        cautions=_cautions(result),
        tables=(TextTable(heads, tuple(shown), (False, True, True)),) if shown else (),
        plates=(plate,) if drawn else (),
        pictures=(),
        notes=result.notes,
        lists=(Folded(f"The cells that were counted ({len(cells)})", text_table(heads_of_cells, listed)),),
    )


def _plain(result: Result) -> Check:
    tables = tuple(text_table(table.columns, table.rows, table.name) for table in result.tables)
    return Check(result.analyzer, "", (), (), tables, (), _pictures(result), result.notes)


_SHOWN: dict[str, Callable[[Result], Check]] = {"twin": _twin, "count": _count}


def _rows(result: Result, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table by the names of its columns; none where there is no such table."""
    table: Table | None = next((table for table in result.tables if table.name == name), None)
    return [] if table is None else [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _cautions(result: Result) -> tuple[str, ...]:
    return tuple(str(row["caution"]) for row in _rows(result, "cautions"))


def _pictures(result: Result) -> tuple[Plate, ...]:
    return tuple(Plate(png(image), title) for title, image in result.overlays.items())


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u202f%" if math.isfinite(share) else MISSING


def _share(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return MISSING
    return f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})\u202f%"


def _signed(value: float) -> str:
    return minus(f"{value:+.3f}") if math.isfinite(value) else MISSING
