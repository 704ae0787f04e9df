"""Lengths with units: the one place where "222 nm" becomes a number."""

from __future__ import annotations

import math
import re

from cemi_core.errors import UsageError

MICROMETRES_PER_UNIT = {
    "pm": 1e-6,
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # micro sign, U+00B5
    "μm": 1.0,  # Greek mu, U+03BC
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
_LENGTH = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-zA-Zµμ]+)\s*")


def parse_length_um(text: object) -> float:
    """Return a length such as ``"222 nm"`` in micrometres.

    Parameters
    ----------
    text : str
        A number and a unit: pm, nm, um (or µm), mm, cm, m.

    Returns
    -------
    float
        The length in micrometres, finite.

    Raises
    ------
    UsageError
        The unit is missing or unknown, or the text is not a length.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise UsageError(f"a length needs a unit: write '{text:g} nm' or '{text:g} um', not '{text:g}'")
    match = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"{text!r} is not a length: write a number and a unit, such as '222 nm'")
    number, unit = float(match[1]), match[2]
    if unit not in MICROMETRES_PER_UNIT:
        raise UsageError(f"unknown unit '{unit}' in '{text}': use one of pm, nm, um, mm, cm, m")
    length_um = number * MICROMETRES_PER_UNIT[unit]
    if not math.isfinite(length_um):
        raise UsageError(f"{text!r} is not a finite length")
    return length_um


def format_length(length_um: float) -> str:
    """Return a length as text with the unit that reads best, for example ``0.222`` as ``"222 nm"``."""
    magnitude = abs(length_um)
    for unit, per_um, upper in (("nm", 1e3, 1.0), ("um", 1.0, 1e3), ("mm", 1e-3, 1e4)):
        if magnitude < upper:
            return f"{length_um * per_um:.4g} {unit}"
    return f"{length_um * 1e-4:.4g} cm"
