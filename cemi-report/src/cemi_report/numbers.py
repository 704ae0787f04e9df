"""Numbers as text: as many digits as the uncertainty supports, always with a unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cemi_core.numeric.digits import decimals_for, interval_decimals

MISSING = "–"


def minus(text: str) -> str:
    """Return a formatted number with a true minus sign."""
    return text.replace("-", "−")


def unit_text(unit: str) -> str:
    """Return a unit for people: ``"1"`` (a fraction) as nothing, ``"um"`` as µm, ``"deg"`` as °."""
    if unit in ("", "1"):
        return ""
    if unit == "deg":
        return "°"
    return "µ" + unit[1:] if unit.startswith("um") else unit


def with_unit(text: str, unit: str) -> str:
    """Return ``text`` followed by its unit, with a narrow no-break space between."""
    shown = unit_text(unit)
    return f"{text}\u202f{shown}" if shown else text


def label_with_unit(label: str, unit: str) -> str:
    """Return an axis label such as ``"Lamella spacing (µm)"``; a fraction has no unit."""
    shown = unit_text(unit)
    return f"{label} ({shown})" if shown else label


def count_text(number: int, noun: str, plural: str = "") -> str:
    """Return ``"1 frame"``, ``"3,902 frames"``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def value_text(value: float, low: float, high: float, unit: str) -> str:
    """Return a value with its 95 % interval, with the digits that it supports: ``"0.345 (0.331 to 0.359)"``."""
    if not math.isfinite(value):
        return "not measured"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{with_unit(f'{value:.4g}', unit)} (interval unknown)"
    decimals = interval_decimals((high - low) / 2) if high > low else decimals_for(abs(value), 4)
    return (
        f"{with_unit(f'{value:.{decimals}f}', unit)} ({low:.{decimals}f} to {with_unit(f'{high:.{decimals}f}', unit)})"
    )


def fixed(value: float | None, decimals: int, sign: bool = False) -> str:
    """Return a number with a fixed number of decimals, or a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return MISSING
    return minus(f"{value:{'+' if sign else ''}.{decimals}f}")


def correlation_text(r: float, low: float, high: float) -> str:
    """Return a correlation with its interval: ``"+0.63 (+0.21 to +0.85)"``."""
    if not math.isfinite(r):
        return "not defined"
    if not (math.isfinite(low) and math.isfinite(high)):
        return minus(f"{r:+.2f} (interval unknown)")
    return minus(f"{r:+.2f} ({low:+.2f} to {high:+.2f})")


def p_value_text(p: float) -> str:
    """Return a p-value to three decimals, ``"< 0.001"`` below."""
    if not math.isfinite(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def column_text(cells: Sequence[Any]) -> tuple[list[str], bool]:
    """Return a table column as text, and whether it is numeric.

    Numbers of one column share their decimals: enough for four digits of the largest. NaN and None become a dash.
    """
    plain = [cell.item() if isinstance(cell, np.generic | np.ndarray) and cell.size == 1 else cell for cell in cells]
    numbers = [cell for cell in plain if _is_number(cell)]
    numeric = bool(numbers) and all(_is_number(cell) or cell is None for cell in plain)
    whole = all(isinstance(number, int) for number in numbers)
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    decimals = 0 if whole else decimals_for(largest, 4)

    def text(cell: Any) -> str:
        if cell is None:
            return MISSING
        return fixed(cell, decimals) if _is_number(cell) else str(cell)

    return [text(cell) for cell in plain], numeric
