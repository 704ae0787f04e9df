"""Tables of pairs and of frames that need a look: rejected, worst, placed by the stage motion alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.layout import Layout, PairShift
from cemi_report.blocks import LONGEST_LIST, Folded, TextTable, list_title
from cemi_report.numbers import count_text, fixed
from cemi_report.reasons import group_by_reason, kept_mask, pair_residuals_px


def _pair_rows(data: FinishedRun, pairs: Iterable[PairShift], *last: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [
        (
            data.frame_name(pair.first),
            data.frame_name(pair.second),
            fixed(pair.shift_px[0], 2, sign=True),
            fixed(pair.shift_px[1], 2, sign=True),
            fixed(pair.quality, 3),
            *extra,
        )
        for pair, *extra in zip(pairs, *last)
    ]


_PAIR_HEADS = ("first", "second", "Δy (px)", "Δx (px)", "quality")
_PAIR_NUMERIC = (False, False, True, True, True)


def rejected_pairs(data: FinishedRun, pairs: Sequence[PairShift]) -> tuple[TextTable | None, list[Folded]]:
    """Return the rejected pairs counted by reason, and the folded list of them; nothing where there are none."""
    if not pairs:
        return None, []
    groups = group_by_reason((pair.reason, pair) for pair in pairs)
    counts = TextTable(
        ("why", "pairs", "share (%)"),
        tuple((g.reason, f"{len(g.items):,}", fixed(100 * len(g.items) / len(pairs), 1)) for g in groups),
        (False, True, True),
        f"{count_text(len(pairs), 'pair')} rejected",
    )
    shown = pairs[:LONGEST_LIST]
    rows = _pair_rows(data, shown, [pair.reason or "no reason given" for pair in shown])
    listed = TextTable((*_PAIR_HEADS, "why"), tuple(rows), (*_PAIR_NUMERIC, False))
    return counts, [Folded(list_title("Rejected pairs", len(pairs)), listed)]


def worst_pairs(data: FinishedRun, layout: Layout) -> list[Folded]:
    """Return the ten kept pairs with the largest residual, as a folded list."""
    kept = np.flatnonzero(kept_mask(layout)) if layout.pairs else np.empty(0, int)
    if kept.size < 2:
        return []
    residual = pair_residuals_px(layout)
    order = kept[np.argsort(-residual[kept])][:10]
    rows = _pair_rows(data, [layout.pairs[n] for n in order], [fixed(residual[n], 2) for n in order])
    table = TextTable((*_PAIR_HEADS, "residual (px)"), tuple(rows), (*_PAIR_NUMERIC, True))
    return [Folded(f"Kept pairs that fit worst ({len(rows)})", table)]


def placed_by_prior(data: FinishedRun, layout: Layout) -> list[Folded]:
    """Return the frames that no kept pair joins to the largest component, as a folded list."""
    prior = np.flatnonzero(layout.placed_by_prior)
    if prior.size == 0:
        return []
    rows = [
        (data.frame_name(int(n)), *(fixed(side, 1) for side in layout.positions_px[n]), str(layout.component[n]))
        for n in prior[:LONGEST_LIST]
    ]
    table = TextTable(("frame", "y (px)", "x (px)", "component"), tuple(rows), (False, True, True, True))
    return [Folded(list_title("Frames placed by the stage motion alone", prior.size), table)]
