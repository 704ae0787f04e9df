"""The section on the quality of the stitching: one score in words, where it is weak, and how that looks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cemi_core.model.grid import Grid
from cemi_core.model.layout import Layout
from cemi_core.model.result import GridMap, Result, Table
from cemi_report.blocks import Folded, Plate, TextTable, list_title, png, text_table
from cemi_report.figures import ACCENT, SECOND, drawn, encode, new_figure
from cemi_report.map_figures import map_figure

#: Below this score the summary says what to mistrust.
DOUBTFUL_SCORE = 95.0


@dataclass(frozen=True)
class Quality:
    """The quality section: ``verdict`` is the score in words."""

    verdict: str
    notes: tuple[str, ...]
    summary: TextTable
    plates: tuple[Plate, ...]
    places: tuple[Plate, ...]
    tables: tuple[TextTable, ...]
    lists: tuple[Folded, ...]


def score(result: Result) -> float:
    """Return the score of a judgement, NaN where there is none."""
    value = _summary(result).get("score")
    return value if isinstance(value, float) else math.nan


def score_text(result: Result) -> str:
    """Return the score as ``"97.3 of 100"``."""
    value = score(result)
    return f"{value:.1f} of 100" if math.isfinite(value) else "cannot be told"


def quality_doubts(result: Result) -> list[str]:
    """Return what the judgement says is to be mistrusted."""
    if not score(result) < DOUBTFUL_SCORE:
        return []
    return [
        f"Stitching quality is {score_text(result)}: frames are misplaced at some places (see Stitching quality), "
        "where the picture may be doubled or torn."
    ]


def quality(result: Result, layout: Layout | None, pixel_size_um: float | None) -> Quality:
    """Return score, maps, histogram, loops, and the weak places with their thumbnails."""
    tables = {table.name: table for table in result.tables}
    plates = [
        Plate(picture, title, reading)
        for grid_map in result.maps
        for title, reading in [_map_words(grid_map)]
        if (picture := _map(grid_map, layout, pixel_size_um)) is not None
    ]
    histogram = histogram_figure(tables["residuals"]) if "residuals" in tables else None
    if histogram is not None:
        plates.append(
            Plate(
                histogram,
                "Misfit of overlaps, and residuals of pairs",
                "Residual: distance between the measured shift of a kept pair and the solved one. Misfit: how far from "
                "its solved place an overlap would agree best, measured anew, also for pairs that were never matched.",
            )
        )
    weak = tables.get("weak places")
    listed = weak is not None and bool(weak.rows)
    return Quality(
        verdict=f"Score: {score_text(result)}.",
        notes=result.notes,
        summary=_summary_table(result),
        plates=tuple(plates),
        places=tuple(Plate(png(picture), name) for name, picture in result.overlays.items() if picture.size),
        tables=tuple(
            text_table([_words(head) for head in table.columns], table.rows, _words(table.name))
            for name, table in tables.items()
            if name not in ("summary", "residuals", "weak places") and table.rows
        ),
        lists=(
            Folded(
                list_title("Weak places", len(weak.rows)),
                text_table([_words(head) for head in weak.columns], weak.rows),
            ),
        )
        if weak is not None and listed
        else (),
    )


def _summary(result: Result) -> Mapping[str, float]:
    table = next((table for table in result.tables if table.name == "summary"), None)
    return {str(row[0]): float("nan" if row[1] is None else row[1]) for row in table.rows} if table else {}


def _summary_table(result: Result) -> TextTable:
    lines = [(name, value) for name, value in _summary(result).items() if name != "score"]
    texts = [
        (_words(name), f"{value:,.0f}" if value.is_integer() and "median" not in name else f"{value:.3g}")
        for name, value in lines
        if math.isfinite(value)
    ]
    return TextTable(("quantity", "value"), tuple(texts), (False, True))


def _words(name: str) -> str:
    """Return a name as words; its unit in brackets."""
    stem, unit = (name[:-3], " (px)") if name.endswith("_px") else (name, "")
    return stem.replace("_", " ") + unit


def _map_words(grid_map: GridMap) -> tuple[str, str]:
    words = {
        "agreement": "Correlation of the frames where they overlap, after placing; noise lowers it as well as misfit.",
        "misfit": "How far from its solved place an overlap would agree best, within the reach that was searched.",
    }
    return f"Map of {grid_map.label}", words.get(grid_map.name, "")


def _map(grid_map: GridMap, layout: Layout | None, pixel_size_um: float | None) -> bytes | None:
    unknown = np.full(grid_map.value.shape, np.nan)
    rows, columns = grid_map.value.shape
    grid = Grid(rows, columns, layout.mosaic_shape) if layout is not None and len(layout) else None
    return map_figure(replace(grid_map, low=unknown, high=unknown), grid, pixel_size_um)


@drawn
def histogram_figure(table: Table) -> bytes | None:
    """Draw how many pairs and overlaps lie in each bin of px, as PNG; None where there are none."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    series = [("kept_pairs", "residuals of kept pairs", ACCENT), ("overlaps", "misfit of overlaps", SECOND)]
    filled = [n for n, row in enumerate(rows) if any(row.get(name) for name, _, _ in series)]
    if not filled:
        return None
    rows = rows[: max(filled[-1] + 1, 4)]
    figure = new_figure(2.8)
    axes = figure.add_subplot()
    place = np.arange(len(rows))
    for side, (name, label, colour) in zip((-0.2, 0.2), series, strict=True):
        axes.bar(place + side, [row.get(name) or 0 for row in rows], 0.4, color=colour, alpha=0.8, label=label)
    labels = [f"{r['from_px']:g}-{r['to_px']:g}" if r["to_px"] is not None else f"> {r['from_px']:g}" for r in rows]
    axes.set_xticks(place, labels)
    axes.set_xlabel("px")
    axes.set_ylabel("number")
    axes.legend(loc="upper right")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return encode(figure)
