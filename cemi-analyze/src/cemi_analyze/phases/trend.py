"""Whether a quantity changes from one end of the specimen to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from cemi_core.model.result import Table

#: Columns of cells that a test needs.
_FEWEST = 8
#: Likeness of neighbouring columns above which nothing can be said.
_MOST_ALIKE = 0.95


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
        row = (
            name,
            self.columns,
            round(self.change, 5),
            round(self.low, 5),
            round(self.high, 5),
            float(f"{self.p_value:.2g}"),
        )
        return Table("Trend along x", heads, (row,))


def trend_along_x(values: NDArray[np.float64]) -> Trend | None:
    """Return the trend of a map along x; None for fewer than eight columns with a value.

    Generalised least squares on the means of the columns. Neighbouring columns are alike, so what the line leaves is
    taken for a first-order autoregression; its likeness, which a fitted line makes look too small, is put right by its
    expected bias (M. H. Quenouille, J. R. Stat. Soc. B 1949, 11, 68; F. H. C. Marriott and J. A. Pope, Biometrika 1954,
    41, 390), and Student's t has the degrees of freedom of as many independent columns.

    Of 300 series without a trend 3-6 % came out below p = 0.05 where columns were independent, 7-11 % with a likeness
    of 0.5, and 17 to 7 % with 0.8 (10 to 120 columns).

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
    design = sm.add_constant(position)
    left = sm.OLS(mean, design).fit().resid
    seen_likeness = float(left[1:] @ left[:-1]) / float(left @ left) if float(left @ left) > 0 else 0.0
    likeness = float(np.clip(seen_likeness + (2 + 4 * seen_likeness) / n, 0.0, _MOST_ALIKE))
    steps = np.arange(n)
    fit = sm.GLS(mean, design, sigma=likeness ** np.abs(steps[:, None] - steps[None, :])).fit()
    independent = n * (1 - likeness) / (1 + likeness)
    freedom = max(min(independent, float(n)) - 2, 1.0)
    change, error = float(fit.params[1]), float(fit.bse[1]) * float(np.sqrt(n / (n - 2 * likeness)))
    half = float(student_t.ppf(0.975, freedom)) * error
    p_value = 2 * float(student_t.sf(abs(change) / error, freedom)) if error > 0 else 0.0
    return Trend(change, change - half, change + half, p_value, n)
