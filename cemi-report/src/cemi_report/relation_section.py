"""The section on relations: how the quantities go with a property, one by one and together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.result import Relation
from cemi_report.blocks import Plate, TextTable
from cemi_report.image_figures import condition_figure
from cemi_report.images_section import class_table
from cemi_report.numbers import MISSING, correlation_text, fixed, p_value_text
from cemi_report.relation_figures import matching_profile, prediction_figure, relation_figure

_RELATIONS_DRAWN = 3
_ALONG_X = (
    "Neighbouring points along the specimen resemble each other. “Worth” is the number of independent points that they "
    "amount to; interval and p-value use it, so they are wider and larger than those of a naive Pearson test. "
)
_IMAGES = (
    "Each image counts as one independent point: images of one place, or of a series in which little changes, say less "
    "than their number. "
)
_ADJUSTED = "“p of all” allows for all the quantities that were tried (Holm). "
_CEILING = (
    "Scatter of the property and of the quantity only lowers a correlation: a perfect relation would reach the "
    "“ceiling”, and “without scatter” is r divided by it. "
)
_NO_CAUSE = "A relation is not a cause."
_TOGETHER = (
    "R² is the share of the property's variance that the fit describes; Q² the share that it predicts at places whose "
    "neighbours the fit has not seen, negative where the mean predicts better. p is how often random curves as smooth "
    "as the property are described as well. “Explain” needs both."
)
_SCATTER = (
    "Left: every measured point; the dashed line is a least-squares fit to guide the eye. Right: the profile with its "
    "band (left axis) and the property (squares, right axis) along x."
)
_SCATTER_ALONE = "Every measured point with its interval where known; the dashed line is a least-squares fit."
_PREDICTED = (
    "The property as measured against what the fit predicts for each place without having seen its neighbours; bars "
    "are the intervals of the predictions. On the dashed line both agree."
)


@dataclass(frozen=True)
class Related:
    """The relation section."""

    verdicts: tuple[str, ...]
    table: TextTable | None
    together: TextTable | None
    plates: tuple[Plate, ...]
    notes: tuple[str, ...]
    reading: str
    reading_together: str = _TOGETHER
    classes: tuple[TextTable, ...] = ()


def relations(data: FinishedRun) -> Related | None:
    """Return what is said of the relations, their tables, strongest first, and figures of the first three.

    None without relations.
    """
    if not data.relations:
        return None
    one_by_one = [relation for relation in data.relations if not relation.quantities]
    ordered = sorted(one_by_one, key=lambda r: -abs(r.r) if np.isfinite(r.r) else 1.0)
    together = [relation for relation in data.relations if relation.quantities]
    everything = [*ordered, *together]
    plates, classes = [], []
    for relation in ordered[:_RELATIONS_DRAWN]:
        plates += _plates_of_one(data, relation, first=relation is ordered[0])
        if data.separate:
            found = matching_profile(relation, tuple(data.profiles))
            table = class_table(relation, _title(data, relation), found.unit if found is not None else "1")
            classes += [table] if table is not None else []
    for relation in together[:_RELATIONS_DRAWN]:
        figure = prediction_figure(relation)
        plates += [Plate(figure, _title(data, relation), _PREDICTED)] if figure is not None else []
    return Related(
        verdicts=tuple(dict.fromkeys(relation.verdict for relation in everything if relation.verdict)),
        table=_table(data, ordered) if ordered else None,
        together=_together_table(data, together) if together else None,
        plates=tuple(plates),
        notes=tuple(dict.fromkeys(note for relation in everything for note in relation.notes)),
        reading=_reading(data, ordered),
        classes=tuple(classes),
    )


def _title(data: FinishedRun, relation: Relation) -> str:
    return f"{_quantity(data, relation)} and {relation.property_name}"


def _quantity(data: FinishedRun, relation: Relation) -> str:
    names = relation.quantities or (relation.quantity,)
    return " + ".join(data.quantity_label(name) for name in names)


def _plates_of_one(data: FinishedRun, relation: Relation, first: bool) -> list[Plate]:
    if data.separate:
        figure = condition_figure(relation, matching_profile(relation, tuple(data.profiles)))
        reading = _reading_of_condition(relation)
    else:
        # under indents that lie on the surface, the profile along x is not what was related
        along = data.property_table if relation.y_um is None else None
        figure = relation_figure(relation, tuple(data.profiles), along, data.pixel_size_um)
        reading = (_SCATTER if along is not None else _SCATTER_ALONE) if first else ""
    return [Plate(figure, _title(data, relation), reading)] if figure is not None else []


def _table(data: FinishedRun, ordered: Sequence[Relation]) -> TextTable:
    """Return the relations of one quantity each; columns that say nothing of any of them are left out."""
    measure = ordered[0].measure
    with_interval = any(np.isfinite(relation.low) for relation in ordered)
    columns: dict[str, list[str]] = {
        "quantity": [_quantity(data, relation) for relation in ordered],
        "condition" if data.separate else "property": [relation.property_name for relation in ordered],
        f"{measure} (95 % interval)" if with_interval else measure: [_strength(relation) for relation in ordered],
        "p": [p_value_text(relation.p_value) for relation in ordered],
        "p of all": [p_value_text(relation.p_holm) for relation in ordered],
        "ceiling": [fixed(relation.ceiling, 2) for relation in ordered],
        "without scatter": [_without_scatter(relation) for relation in ordered],
        "images" if data.separate else "points": [f"{relation.n:,}" for relation in ordered],
    }
    if not data.separate:  # each image is worth one
        columns["worth"] = [fixed(relation.n_effective, 1) for relation in ordered]
    said = {head: cells for head, cells in columns.items() if set(cells) != {MISSING}}
    numeric = tuple(head in ("p", "p of all", "ceiling", "points", "images", "worth") for head in said)
    return TextTable(tuple(said), tuple(zip(*said.values(), strict=True)), numeric)


def _strength(relation: Relation) -> str:
    if np.isfinite(relation.low) or relation.measure == "r":
        return correlation_text(relation.r, relation.low, relation.high)
    return fixed(relation.r, 2)


def _without_scatter(relation: Relation) -> str:
    found = relation.disattenuated, relation.disattenuated_low, relation.disattenuated_high
    return correlation_text(*found) if np.isfinite(found[0]) else MISSING


def _together_table(data: FinishedRun, together: Sequence[Relation]) -> TextTable:
    rows = tuple(
        (
            _quantity(data, relation),
            relation.property_name,
            fixed(relation.r, 2),
            fixed(relation.q2, 2),
            p_value_text(relation.p_holm if np.isfinite(relation.p_holm) else relation.p_value),
            f"{relation.n:,}",
        )
        for relation in together
    )
    heads = ("quantities together", "property", "R²", "Q²", "p", "points")
    return TextTable(heads, rows, (False, False, True, True, True, True))


def _reading(data: FinishedRun, ordered: Sequence[Relation]) -> str:
    if not ordered:
        return _NO_CAUSE
    return "".join(
        (
            _IMAGES if data.separate else _ALONG_X,
            _ADJUSTED if any(np.isfinite(relation.p_holm) for relation in ordered) else "",
            _CEILING if any(np.isfinite(relation.ceiling) for relation in ordered) else "",
            _NO_CAUSE,
        )
    )


def _reading_of_condition(relation: Relation) -> str:
    if relation.groups:
        return (
            "One point is one image, its bar the 95 % interval of the measurement; the line is the mean of the class, "
            "the band its 95 % interval from the scatter of the images."
        )
    return (
        "One point is one image, its bar the 95 % interval of the measurement; the dashed line is a least-squares fit "
        "to guide the eye."
    )
