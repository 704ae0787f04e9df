"""Where the uncertainty of a mean comes from: a budget after the GUM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

#: Standard uncertainties that an expanded one holds: about 95 % of a normal distribution.
COVERAGE_FACTOR = 2.0


@dataclass(frozen=True)
class Contribution:
    """One source of uncertainty of a mean.

    Attributes
    ----------
    source : str
        ``"sampling"``, ``"method"``, ``"repeatability"`` or ``"magnification"``.
    kind : str
        ``"A"`` if it was found from the scatter of values, ``"B"`` if otherwise (GUM 4.2, 4.3).
    standard : float
        Standard uncertainty that it gives to the mean, in the unit of the quantity; NaN where it is not known.
    remark : str
        Where the number comes from, or why it is not known.
    """

    source: str
    kind: Literal["A", "B"]
    standard: float
    remark: str


@dataclass(frozen=True)
class UncertaintyBudget:
    """The mean of a quantity over a whole mosaic, and what its uncertainty is made of.

    After the Guide to the Expression of Uncertainty in Measurement (JCGM 100:2008).

    Attributes
    ----------
    name, label, unit : str
        As in the map.
    value : float
        Mean over the measured cells.
    contributions : tuple of Contribution
        Those that are not known (NaN) count as zero; a reader must be told so.
    combined : float
        Combined standard uncertainty u_c.
    cells, measured : int
        Cells of the grid, and those that have a value.
    """

    name: str
    label: str
    unit: str
    value: float
    contributions: tuple[Contribution, ...]
    combined: float
    cells: int
    measured: int

    @property
    def expanded(self) -> float:
        """Expanded uncertainty, with a coverage factor of 2."""
        return COVERAGE_FACTOR * self.combined

    @property
    def unknown(self) -> tuple[str, ...]:
        """Sources that are not known and count as zero."""
        return tuple(part.source for part in self.contributions if math.isnan(part.standard))
