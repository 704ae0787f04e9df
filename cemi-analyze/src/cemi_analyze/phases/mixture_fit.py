"""Levels, noise and mixed pixels of two to four phases, fitted together to one histogram of grey levels.

A pixel on a border between phases holds some of both. In a picture of small features or a wide beam such pixels are
many, and a fit of Gaussians alone (or a threshold) gives them to the wrong phase. Here they are a component of their
own: a straight border seen through a Gaussian beam, `Phi(u)` between the two levels (partial volumes: Santago and Gage,
IEEE Trans. Image Process. 1993, 2, 1531). Where one phase forms lines so thin that the beam never shows its pure level,
the component is a line, `Phi(u + t / 2) - Phi(u - t / 2)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr, softmax

from cemi_analyze.phases.histogram import Histogram
from cemi_analyze.phases.mixture import Mixture, component_densities, coverage_by_grey

#: Places across a border, in widths of the beam: from one pure phase to the other.
_REACH = 2.4
_ACROSS = np.linspace(-_REACH, _REACH, 11)
_LINE_PLACES = 21
#: Thickness of a line in widths of the beam at which the search starts, and its bounds.
_THICKNESS = 3.0
_THINNEST, _THICKEST = 1.9, 12.0
#: Deviation of a level, in widths of the histogram's bins, below which it is not resolved.
_NARROWEST = 0.6
#: Levels of phases nearer than so many deviations are the two halves of one peak.
_TWO = 1.9
#: What thin lines must lower the misfit to, over that of straight borders.
_MUCH_BETTER = 0.5
#: What straight borders may leave unexplained before lines are tried.
_WELL = 0.008
_FIRST_ROUNDS, _ROUNDS = 6, 50
#: Deviation of a brighter phase over that of a darker one, as a logarithm, and how far it may be off: noise of counting
#: grows with the brightness. It decides only where the histogram does not.
_BRIGHTER_IS_NOISIER, _MORE_OR_LESS = 0.15, 0.12


@dataclass(frozen=True)
class _Layout:
    """Components of a kind of mixture: what they hold, and how the free weights are spread over them."""

    coverage: NDArray[np.float64]  # (n, k)
    spread: NDArray[np.float64]  # (free weights, n)


def _borders(k: int) -> _Layout:
    """Return pure phases and straight borders between neighbours on the grey scale."""
    part = ndtr(_ACROSS)
    coverage = [np.eye(k)]
    for lower in range(k - 1):
        across = np.zeros((len(part), k))
        across[:, lower], across[:, lower + 1] = 1 - part, part
        coverage.append(across)
    spread = np.zeros((2 * k - 1, k + (k - 1) * len(part)))
    spread[:k, :k] = np.eye(k)
    for lower in range(k - 1):
        spread[k + lower, k + lower * len(part) : k + (lower + 1) * len(part)] = 1 / len(part)
    return _Layout(np.concatenate(coverage), spread)


def _lines(of: int, thickness: float) -> _Layout:
    """Return one pure phase, and lines of the other (0 dark, 1 bright) with both their borders."""
    place = np.linspace(-1, 1, _LINE_PLACES) * (0.5 * thickness + _REACH)
    part = ndtr(place + 0.5 * thickness) - ndtr(place - 0.5 * thickness)
    coverage = np.zeros((1 + len(part), 2))
    coverage[0, 1 - of] = 1
    coverage[1:, of], coverage[1:, 1 - of] = part, 1 - part
    spread = np.zeros((2, 1 + len(part)))
    spread[0, 0], spread[1, 1:] = 1, 1 / len(part)
    return _Layout(coverage, spread)


def fit_mixture(histogram: Histogram, phases: int = 2, noise: float = 0.0) -> Mixture | None:
    """Return the mixture that fits a histogram best; None where it has no width.

    Parameters
    ----------
    histogram : Histogram
        Of the picture as it is, not smoothed: smoothing mixes phases.
    phases : int
        Two to four.
    noise : float
        Deviation of the noise, if known: no phase is narrower.
    """
    if histogram.deviation < _NARROWEST * histogram.step:
        return None
    least = max(0.7 * noise, _NARROWEST * histogram.step)
    best = _best_of(histogram, phases, least, _starts(histogram, phases))
    if phases > 2 or best.mixed < 0.2 or best.separation < _TWO or best.unexplained < _WELL:
        return best
    lines = [_Search(histogram, least, of).ended(best) for of in (0, 1)]
    thin = min(lines, key=lambda mixture: mixture.misfit)
    return thin if thin.misfit < _MUCH_BETTER * best.misfit and thin.thickness > _THINNEST + 0.01 else best


def _starts(histogram: Histogram, phases: int) -> list[NDArray[np.float64]]:
    """Return levels from which the search starts, shape (phases,) each."""
    if phases > 2:
        inner = np.linspace(0, 1, 2 * phases + 1)[1::2]
        wide = np.concatenate([[0.01], np.linspace(0.25, 0.75, phases - 2), [0.99]])
        return [histogram.quantile(inner), histogram.quantile(wide)]
    pairs = ((0.25, 0.75), (0.08, 0.6), (0.4, 0.92), (0.004, 0.5), (0.5, 0.996))
    return [histogram.quantile(np.array(pair)) for pair in pairs]


def _best_of(histogram: Histogram, phases: int, least: float, starts: list[NDArray[np.float64]]) -> Mixture:
    """Return the best fit of pure phases and borders from several starts."""
    search = _Search(histogram, least, None, phases)
    begun = [search.from_levels(levels, _FIRST_ROUNDS) for levels in starts]
    begun.sort(key=lambda found: found[0])
    ended = [search.onwards(x, _ROUNDS) for _, x in begun[:2]]
    mixtures = [(cost, search.mixture(x)) for cost, x in ended]
    apart = [found for found in mixtures if found[1].separation >= _TWO] or mixtures
    return min(apart, key=lambda found: found[0])[1]


class _Search:
    """Least squares of the root of the histogram (its scatter is then the same in all bins)."""

    def __init__(self, histogram: Histogram, least: float, lines_of: int | None, phases: int = 2) -> None:
        self.histogram, self.least, self.lines_of, self.k = histogram, least, lines_of, phases
        self.fixed = _borders(phases) if lines_of is None else None
        self.observed = np.sqrt(histogram.counts + 0.375)

    def from_levels(self, levels: NDArray[np.float64], rounds: int) -> tuple[float, NDArray[np.float64]]:
        k = self.k
        apart = 0.02 * self.histogram.span
        levels = levels + np.linspace(-apart, apart, k)
        below = (self.histogram.centres[:, None] < 0.5 * (levels[1:] + levels[:-1])).sum(axis=1)
        share = np.bincount(k - 1 - below, self.histogram.counts, k) / self.histogram.total
        width = np.full(k, max(1.2 * self.least, 0.3 * self.histogram.deviation))
        weight = np.log(np.concatenate([np.maximum(share, 1e-3), np.full(k - 1, 0.15), [0.002]]))
        x = np.concatenate([levels / self.histogram.span, np.log(width / self.least), weight])
        return self.onwards(x, rounds)

    def ended(self, borders: Mixture) -> Mixture:
        """Return the fit of lines that starts where borders ended."""
        of = self.lines_of or 0
        share = borders.shares[of]
        area = min(0.9, share * (_THICKNESS + 2 * _REACH) / _THICKNESS)
        weight = np.log([1 - area, area, max(borders.others, 1e-3)])
        deviations = np.log(np.maximum(borders.deviations / self.least, 1.0))
        x = np.concatenate([borders.levels / self.histogram.span, deviations, weight, [_THICKNESS]])
        return self.mixture(self.onwards(x, _ROUNDS)[1])

    def onwards(self, x: NDArray[np.float64], rounds: int) -> tuple[float, NDArray[np.float64]]:
        low, high = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        low[self.k : 2 * self.k], high[self.k : 2 * self.k] = -1e-9, 8.0
        low[2 * self.k :] = -14.0
        high[2 * self.k :] = 6.0
        if self.fixed is None:
            low[-1], high[-1] = _THINNEST, _THICKEST
        found = least_squares(
            self._residual,
            np.clip(x, low + 1e-8, high - 1e-8),
            self._slope,
            (low, high),
            max_nfev=rounds,
            xtol=1e-5,
            ftol=1e-5,
        )
        return float(found.cost), found.x

    def mixture(self, x: NDArray[np.float64]) -> Mixture:
        levels, deviations, free, layout = self._taken_apart(x)
        order = np.argsort(levels)
        misfit = 0.5 * float(np.abs(self._expected(x) - self.histogram.counts).sum()) / self.histogram.total
        thickness = float(x[-1]) if self.fixed is None else math.inf
        return Mixture(
            levels[order],
            deviations[order],
            layout.coverage[:, order],
            free[:-1] @ layout.spread,
            float(free[-1]),
            coverage_by_grey(self.histogram.centres, levels[order]),
            misfit,
            self._beyond_counting(misfit),
            thickness,
        )

    def _beyond_counting(self, misfit: float) -> float:
        counting = 0.5 * float(np.sqrt(2 * self.histogram.counts / math.pi).sum()) / self.histogram.total
        return math.sqrt(max(misfit**2 - counting**2, 0.0))

    def _taken_apart(
        self, x: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], _Layout]:
        k = self.k
        layout = self.fixed or _lines(self.lines_of or 0, float(x[-1]))
        free = softmax(x[2 * k :] if self.fixed is not None else x[2 * k : -1])
        return x[:k] * self.histogram.span, self.least * np.exp(x[k : 2 * k]), free, layout

    def _expected(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        levels, deviations, free, layout = self._taken_apart(x)
        density = component_densities(self.histogram.centres, layout.coverage, levels, deviations)[0]
        per_bin = density @ (free[:-1] @ layout.spread) * self.histogram.step + free[-1] / len(self.observed)
        return np.asarray(self.histogram.total * per_bin)

    def _residual(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        usual = (np.diff(x[self.k : 2 * self.k]) - _BRIGHTER_IS_NOISIER) / _MORE_OR_LESS
        return np.concatenate([2 * (np.sqrt(self._expected(x) + 0.375) - self.observed), usual])

    def _slope(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        levels, deviations, free, layout = self._taken_apart(x)
        total, step, bins = self.histogram.total, self.histogram.step, len(self.observed)
        density, apart, width = component_densities(self.histogram.centres, layout.coverage, levels, deviations)
        weights = free[:-1] @ layout.spread
        weighted = density * weights
        by_mean, by_width = weighted * apart / width, weighted * (apart * apart - 1) / width
        by_level = by_mean @ layout.coverage * self.histogram.span
        by_deviation = by_width @ (layout.coverage * deviations**2 / width[:, None])
        parts = np.column_stack([density @ layout.spread.T * step, np.full(bins, 1 / bins)])
        by_free = free * (parts - (parts @ free)[:, None])
        columns = [by_level * step, by_deviation * step, by_free]
        expected = parts @ free
        if self.fixed is None:
            further = x.copy()
            further[-1] += 1e-4
            columns.append(((self._expected(further) / total - expected) / 1e-4)[:, None])
        slope = total * np.concatenate(columns, axis=1)
        slope /= np.sqrt(total * expected + 0.375)[:, None]
        usual = np.zeros((self.k - 1, len(x)))
        each = np.arange(self.k - 1)
        usual[each, self.k + each], usual[each, self.k + each + 1] = -1 / _MORE_OR_LESS, 1 / _MORE_OR_LESS
        return np.concatenate([slope, usual])
