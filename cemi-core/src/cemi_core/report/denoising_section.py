"""The section on the denoising: whether anything was invented, in numbers with their limits, and how that looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cemi_core.model.result import Result
from cemi_core.report.blocks import Folded, Plate, TextTable, list_title, png, text_table
from cemi_core.report.numbers import MISSING, fixed

_DOUBTFUL = "doubtful"


@dataclass(frozen=True)
class Denoising:
    """What one denoiser's part of the section shows; ``verdict`` is a sentence."""

    title: str
    verdict: str
    summary: TextTable
    notes: tuple[str, ...]
    places: tuple[Plate, ...]
    lists: tuple[Folded, ...]


def denoising(result: Result) -> Denoising:
    """Return the judgement of one denoiser: its verdict, numbers with limits, the worst places, and lists."""
    rows, doubtful = _rows(result), _doubtful(result)
    if not rows:
        verdict = "The denoising could not be judged."
    elif doubtful:
        verdict = f"{len(doubtful)} of {len(rows)} checks are doubtful."
    else:
        verdict = f"None of {len(rows)} checks is doubtful."
    texts = tuple((str(name), _number(value), _number(limit), str(said)) for name, value, limit, said in rows)
    return Denoising(
        title=result.analyzer,
        verdict=verdict,
        summary=TextTable(("check", "value", "limit", "verdict"), texts, (False, True, True, False)),
        notes=result.notes,
        places=tuple(Plate(png(picture), name) for name, picture in result.overlays.items() if picture.size),
        lists=tuple(
            Folded(
                list_title(table.name.capitalize(), len(table.rows)),
                text_table([head.replace("_", " ") for head in table.columns], table.rows),
            )
            for table in result.tables
            if table.name != "summary" and table.rows
        ),
    )


def denoising_doubts(result: Result) -> list[str]:
    """Return what the judgement of one denoiser says is to be mistrusted."""
    return [
        f"Denoising with {result.analyzer}: {said.partition(':')[2].strip() or said} ({name}: {_number(value)}, limit "
        f"{_number(limit)}; see Denoising)."
        for name, value, limit, said in _doubtful(result)
    ]


def _rows(result: Result) -> tuple[tuple[Any, ...], ...]:
    return next((table.rows for table in result.tables if table.name == "summary"), ())


def _doubtful(result: Result) -> list[tuple[Any, ...]]:
    return [row for row in _rows(result) if str(row[3]).startswith(_DOUBTFUL)]


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return MISSING
    return fixed(float(value), 4 if abs(value) < 0.1 else 2)
