"""Tables as ASTM E562 and E1245 ask for: relative accuracy, number of fields, mean size and spacing of a phase."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from cemi_core.model.result import Table


def fields_table(name: str, shares: Sequence[float], wanted: float) -> Table | None:
    """Return what ASTM E562 asks for, with the cells as fields; None for fewer than two.

    Mean, deviation, 95 % confidence interval of the mean (Student's t), relative accuracy (interval over mean) and the
    number of fields that a wanted relative accuracy needs, ``(t s / (wanted mean))^2``. Neighbouring cells of a
    specimen that changes along x are not independent; the interval of the map's mean in the report allows for that,
    this table is for comparison with others that follow the standard.

    Parameters
    ----------
    name : str
        Of the phase.
    shares : sequence of float
        One for each measured cell, 0 to 1.
    wanted : float
        Relative accuracy.
    """
    values = np.asarray([share for share in shares if math.isfinite(share)], np.float64)
    n = len(values)
    if n < 2:
        return None
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    t = float(stats.t.ppf(0.975, n - 1))
    interval = t * deviation / math.sqrt(n)
    relative = interval / mean if mean > 0 else math.nan
    needed = math.ceil((t * deviation / (wanted * mean)) ** 2) if mean > 0 else math.nan
    columns = ("phase", "fields", "mean", "s", "95 % CI", "% RA", f"fields for {100 * wanted:g} % RA")
    row = (name, n, round(mean, 5), round(deviation, 5), round(interval, 5), _percent(relative), max(needed, 2))
    return Table("ASTM E562, cells as fields", columns, (row,))


def stereology_table(of_phases: Mapping[str, Sequence[tuple[float, float]]], scale: float, unit: str) -> Table | None:
    """Return the quantities of ASTM E1245 for each phase: area, features met by a line, mean chord, spacing.

    Parameters
    ----------
    of_phases : mapping of str to sequence of (float, float)
        Share of each cell, and borders between it and others met by a test line, 1/px (both ways, half the crossings
        are entries).
    scale : float
        Edge of a pixel in ``unit``.
    unit : str
        ``"um"`` or ``"px"``.

    Returns
    -------
    Table or None
        Area fraction; N_L, features per length of line; mean chord ``A / N_L``; mean free path ``(1 - A) / N_L``.
    """
    rows = []
    for name, cells in of_phases.items():
        known = np.array([cell for cell in cells if all(map(math.isfinite, cell)) and cell[1] > 0], np.float64)
        if not len(known):
            continue
        share, per_px = known.mean(axis=0)
        met = 0.5 * per_px / scale
        rows.append((name, round(float(share), 5), *(float(f"{x:.4g}") for x in (met, share / met, (1 - share) / met))))
    if not rows:
        return None
    columns = ("phase", "area fraction", f"N_L, 1/{unit}", f"mean chord, {unit}", f"mean free path, {unit}")
    return Table("ASTM E1245 quantities", columns, tuple(rows))


def _percent(relative: float) -> float:
    return round(100 * relative, 1) if math.isfinite(relative) else math.nan
