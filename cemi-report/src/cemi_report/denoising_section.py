"""The section on the denoising: whether anything was invented, in numbers with their limits, and how that looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cemi_core.model.result import Result
from cemi_report.blocks import Folded, Plate, TextTable, list_title, png, text_table
from cemi_report.numbers import MISSING, fixed

_DOUBTFUL = "doubtful"
_READING = (
    "Check: what was looked at, on a sample of the pictures. Value: what was found. Limit: the side on which a "
    "denoiser stays that invents nothing. Verdict: good within the limit; beyond it doubtful, and what that means."
)


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
    texts = tuple((str(row[0]), _number(row[1]), _limit(row), str(row[3])) for row in rows)
    return Denoising(
        title=result.analyzer,
        verdict=verdict,
        summary=TextTable(("check", "value", "limit", "verdict"), texts, (False, True, True, False), _READING),
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
        f"Denoising with {result.analyzer}: {str(row[3]).partition(':')[2].strip() or row[3]} "
        f"({row[0]}: {_number(row[1])}, good is {_limit(row)}; see Denoising)."
        for row in _doubtful(result)
    ]


def _rows(result: Result) -> tuple[tuple[Any, ...], ...]:
    return next((table.rows for table in result.tables if table.name == "summary"), ())


def _doubtful(result: Result) -> list[tuple[Any, ...]]:
    return [row for row in _rows(result) if str(row[3]).startswith(_DOUBTFUL)]


def _limit(row: tuple[Any, ...]) -> str:
    """Return a limit with the side that is good, which the verdict on this value gives away."""
    _, value, limit, said = row
    if not said or not isinstance(value, int | float) or not isinstance(limit, int | float):
        return _number(limit)
    doubtful = str(said).startswith(_DOUBTFUL)
    return f"at {'most' if doubtful == (value > limit) else 'least'} {_number(limit)}"


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return MISSING
    return fixed(float(value), 4 if abs(value) < 0.1 else 2)
