"""Figures of checks: found against true, and a program against a count by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from cemi_report.figures import ACCENT, INK, MUTED, SECOND, drawn, encode, new_figure, short
from cemi_report.numbers import label_with_unit

_PANELS_IN_A_ROW = 3


@drawn
def against_truth_figure(cells: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw for each quantity what was found against what is true, with intervals; nothing (empty) without cells.

    Parameters
    ----------
    cells : sequence of mapping
        ``quantity``, ``unit``, ``true``, ``found``, ``low``, ``high`` of each cell.
    """
    names = list(dict.fromkeys(str(cell["quantity"]) for cell in cells))
    if not names:
        return b""
    columns = min(len(names), _PANELS_IN_A_ROW)
    rows = -(-len(names) // columns)
    figure = new_figure(3.3 * rows, 3.33 * columns)
    for number, name in enumerate(names):
        _against_truth(figure.add_subplot(rows, columns, number + 1), [c for c in cells if c["quantity"] == name], name)
    return encode(figure)


def _against_truth(axes: Axes, cells: Sequence[Mapping[str, Any]], name: str) -> None:
    true, found, low, high = (
        np.array([cell[key] for cell in cells], np.float64) for key in ("true", "found", "low", "high")
    )
    bars = np.vstack([np.clip(found - low, 0, None), np.clip(high - found, 0, None)])
    axes.errorbar(
        true, found, np.nan_to_num(bars), fmt="o", color=ACCENT, markersize=2.5, elinewidth=0.5, alpha=0.45, linewidth=0
    )
    both = np.concatenate([true, found])
    ends = (float(both.min()), float(both.max()))
    margin = 0.05 * (ends[1] - ends[0]) or max(0.05 * abs(ends[0]), 1e-3)
    limits = (ends[0] - margin, ends[1] + margin)
    axes.plot(limits, limits, color=INK, linewidth=0.9)
    axes.set(xlim=limits, ylim=limits, xlabel="true", ylabel="found", title=short(_titled(cells[0], name), 40))
    axes.set_box_aspect(1)


def _titled(cell: Mapping[str, Any], name: str) -> str:
    return label_with_unit(name, str(cell["unit"]))


@drawn
def agreement_figure(
    cells: Sequence[Mapping[str, Any]], agreement: Sequence[Mapping[str, Any]], label: str
) -> bytes | None:
    """Draw the difference of two ways of measuring against their mean (Bland and Altman 1986); None without cells.

    Parameters
    ----------
    cells : sequence of mapping
        ``hand`` and ``program`` of each cell.
    agreement : sequence of mapping
        ``value``, ``low``, ``high`` of the mean difference, the lower and the upper limit of agreement, in this order.
    label : str
        The quantity.
    """
    if not cells:
        return None
    hand, program = (np.array([cell[key] for cell in cells], np.float64) for key in ("hand", "program"))
    figure = new_figure(4.2, 8.0)
    axes = figure.add_subplot()
    for line, (row, colour) in enumerate(zip(agreement, (ACCENT, SECOND, SECOND), strict=False)):
        if math.isfinite(row["low"]) and math.isfinite(row["high"]):
            axes.axhspan(row["low"], row["high"], color=colour, alpha=0.12, linewidth=0)
        if math.isfinite(row["value"]):
            axes.axhline(row["value"], color=colour, linewidth=1.2, linestyle="--" if line else "-")
            words = f" {row['what']} {row['value']:+.3f}".replace("-", "\u2212")
            axes.annotate(words, (1.0, row["value"]), xycoords=("axes fraction", "data"), va="center", color=colour)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.plot((hand + program) / 2, program - hand, "o", color=INK, markersize=4, alpha=0.8)
    axes.set(xlabel=f"Mean of program and hand: {short(label)}", ylabel="Program minus hand", title=short(label))
    return encode(figure)
