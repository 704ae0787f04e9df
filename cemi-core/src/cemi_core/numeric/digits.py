"""How many decimals an uncertainty supports."""

from __future__ import annotations

import math


def decimals_for(uncertainty: float, significant: int = 2) -> int:
    """Return the decimals at which ``uncertainty`` shows ``significant`` digits, 0 to 6."""
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return 3
    return min(max(significant - 1 - math.floor(math.log10(uncertainty)), 0), 6)


def interval_decimals(half_width: float) -> int:
    """Return the decimals for an interval: two digits of its half-width if they start with 1 to 3, else one."""
    if not math.isfinite(half_width) or half_width <= 0:
        return 3
    leading = half_width / 10.0 ** math.floor(math.log10(half_width))
    return decimals_for(half_width, 2 if leading < 4 else 1)
