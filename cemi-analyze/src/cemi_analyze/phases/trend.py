"""Whether a quantity changes from one end of the specimen to the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.result import Table

#: Columns of cells that a test needs.
_FEWEST = 8


@dataclass(frozen=True)
class Trend:
    """Straight line through the means of the columns of a map.

    Attributes
    ----------
    change, low, high : float
        From the first to the last column, with its 95 % interval.
    p_value : float
        Of no change.
    columns : int
    """

    change: float
    low: float
    high: float
    p_value: float
    columns: int

    def table(self, name: str) -> Table:
        """Return the trend as a row for the report."""
        heads = ("quantity", "columns", "change along x", "95 % low", "95 % high", "p")
        row = (name, self.columns, round(self.change, 5), round(self.low, 5), round(self.high, 5), float(f"{self.p_value:.2g}"))
        return Table("Trend along x", heads, (row,))


def trend_along_x(values: NDArray[np.float64]) -> Trend | None:
    """Return the trend of a map along x; None for fewer than eight columns with a value.

    Least squares on the means of the columns. Neighbouring columns are alike, so the errors are those of W. K. Newey and
    K. D. West (Econometrica 1987, 55, 703) with a lag of a quarter of the columns and Student's t, which is wide rather
    than narrow for few columns.

    Parameters
    ----------
    values : ndarray of float, shape (rows, columns)
        NaN where there is none.
    """
    import statsmodels.api as sm

    seen = np.isfinite(values)
    used = seen.any(axis=0)
    n = int(used.sum())
    if n < _FEWEST:
        return None
    mean = np.where(seen, values, 0).sum(axis=0)[used] / seen.sum(axis=0)[used]
    position = np.flatnonzero(used) / max(values.shape[1] - 1, 1)
    if float(mean.std()) < 1e-12:
        return Trend(0.0, 0.0, 0.0, 1.0, n)
    lag = max(2, n // 4)
    options = {"maxlags": lag, "use_correction": True}
    fit = sm.OLS(mean, sm.add_constant(position)).fit(cov_type="HAC", cov_kwds=options, use_t=True)
    low, high = (float(bound) for bound in fit.conf_int(0.05)[1])
    change = float(fit.params[1])
    p_value = float(fit.pvalues[1])
    return Trend(change, low, high, p_value if math.isfinite(p_value) else 1.0, n)
