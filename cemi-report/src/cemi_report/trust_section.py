"""How far to trust the numbers: what the uncertainty of each quantity is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cemi_core.model.budget import Contribution, UncertaintyBudget
from cemi_core.model.finished_run import FinishedRun
from cemi_core.numeric.digits import decimals_for
from cemi_report.blocks import Folded, TextTable, text_table
from cemi_report.numbers import MISSING, fixed, unit_text


@dataclass(frozen=True)
class Trust:
    """The section: one table of all quantities, one with the sources of each, and sentences on what is not known."""

    means: TextTable
    sources: Folded
    unknown: tuple[str, ...]


def trust(data: FinishedRun) -> Trust | None:
    """Return what the section shows; None where nothing was measured."""
    if not data.budgets:
        return None
    heads = ("Quantity", "Mean", "Uncertainty (k = 2)", "Unit", "Largest source", "Not counted")
    means = text_table(heads, map(_mean_row, data.budgets))
    rows = [(budget.label, *row) for budget in data.budgets for row in _source_rows(budget)]
    sources = text_table(("Quantity", "Source", "Type", "u", "Share of u_c²", "From"), rows)
    return Trust(means, Folded("What the uncertainties are made of", sources), tuple(_unknown(data)))


def _mean_row(budget: UncertaintyBudget) -> tuple[str, ...]:
    decimals = decimals_for(budget.expanded)
    known = [part for part in budget.contributions if not math.isnan(part.standard)]
    largest = max(known, key=lambda part: part.standard, default=None)
    return (
        budget.label,
        fixed(budget.value, decimals),
        f"± {fixed(budget.expanded, decimals)}",
        unit_text(budget.unit) if budget.unit != "1" else "",
        largest.source if largest is not None and largest.standard > 0 else MISSING,
        ", ".join(budget.unknown),
    )


def _source_rows(budget: UncertaintyBudget) -> list[tuple[str, ...]]:
    return [
        (part.source, part.kind, _standard(budget, part), _share(budget, part), part.remark)
        for part in budget.contributions
    ]


def _standard(budget: UncertaintyBudget, part: Contribution) -> str:
    return MISSING if math.isnan(part.standard) else fixed(part.standard, decimals_for(part.standard))


def _share(budget: UncertaintyBudget, part: Contribution) -> str:
    if math.isnan(part.standard) or budget.combined <= 0:
        return MISSING
    return f"{min(100 * (part.standard / budget.combined) ** 2, 100):.0f} %"


def _unknown(data: FinishedRun) -> list[str]:
    missing = {source for budget in data.budgets for source in budget.unknown}
    sentences = []
    if "magnification" in missing:
        sentences.append(
            "Nobody has stated how sure the pixel size is, so lengths and areas count it as exact. State it in the "
            "recipe: uncertainty: {pixel_size: 0.01}."
        )
    if "method" in missing:
        names = ", ".join(budget.label for budget in data.budgets if "method" in budget.unknown)
        sentences.append(f"How far the method may be off is not said for: {names}.")
    return sentences
