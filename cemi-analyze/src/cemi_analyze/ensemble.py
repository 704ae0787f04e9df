"""How much the choice of a method matters: several analyzers of one quantity on the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError, field_validator

from cemi_analyze.cell_analyzer import CellAnalyzer
from cemi_core.errors import InputError, UsageError
from cemi_core.model.abilities import AnalyzerAbilities
from cemi_core.model.result import GridMap, Result, Table
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Prepares, Runtime
from cemi_core.numeric.significance import NORMAL_975, pearson_r
from cemi_core.plugins.manager import make as make_plugin
from cemi_core.plugins.manager import registry
from cemi_core.plugins.types import AnalyzerPlugin

ABILITIES = AnalyzerAbilities(prepares=True)


class Member(Settings):
    """One of the methods: an analyzer and its settings, as in the recipe's 'analyze'."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    use: str = Field(min_length=1, description="Name of the analyzer.")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="Settings of the analyzer.")
    quantity: str = Field("", description="Name of the map that is compared; by default the analyzer's first.")

    @property
    def label(self) -> str:
        """Words for a table: the analyzer, and the settings that are not its defaults."""
        told = ", ".join(f"{name}={value}" for name, value in self.with_.items())
        return f"{self.use} ({told})" if told else self.use


class EnsembleSettings(Settings):
    """Which methods are compared."""

    of: list[Member] = Field(
        min_length=2, max_length=12, description="The methods: analyzers with their settings, each 'use' and 'with'."
    )

    @field_validator("of")
    @classmethod
    def _known(cls, members: list[Member]) -> list[Member]:
        for member in members:
            description = _description(member)
            settings = _settings(member)
            if description.abilities_of(settings).takes_channels:
                raise ValueError(f"'{member.use}' measures all channels at once, which an ensemble is not given")
        if len({member.label + member.quantity for member in members}) < len(members):
            raise ValueError("two methods are the same; let them differ in 'use', 'with' or 'quantity'")
        return members


def _description(member: Member) -> AnalyzerPlugin:
    if member.use == Ensemble.name:
        raise ValueError("an ensemble cannot hold an ensemble")
    try:
        return registry().analyzers.get(member.use).description
    except UsageError as error:
        raise ValueError(str(error)) from None


def _settings(member: Member) -> Any:
    try:
        return _description(member).load_settings()(**member.with_)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise ValueError(f"settings of '{member.use}': {'; '.join(problems)}") from None


@dataclass(frozen=True)
class Agreement:
    """How far several methods agree on one quantity.

    Attributes
    ----------
    median, spread : ndarray of float64, shape (rows, columns)
        Of the methods' values: the median, and largest less smallest; NaN where fewer than two methods have a value.
    low, high : ndarray of float64, shape (rows, columns)
        95 % bounds of the median: how far the methods reach to either side and, in quadrature, the median half-width
        of their own intervals.
    reach : ndarray of float64, shape (rows, columns)
        How far the farthest method lies from the median.
    choice : ndarray of float64, shape (rows, columns)
        How much of the uncertainty is the choice of the method: the variance between methods over the sum of it and
        the mean variance that they state themselves, 0 to 1.
    """

    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    spread: NDArray[np.float64]
    reach: NDArray[np.float64]
    choice: NDArray[np.float64]


class Ensemble(CellAnalyzer):
    """Measures each cell by several methods and says how far they agree.

    The methods are made through the registry of plugins when there is work to do, so that a plan makes none.

    Parameters
    ----------
    settings : EnsembleSettings
    runtime : Runtime, optional
        Handed on to the methods.
    """

    name: ClassVar[str] = "ensemble"

    def __init__(self, settings: EnsembleSettings, runtime: Runtime | None = None) -> None:
        self.settings = settings
        self.runtime = runtime or Runtime()

    def __getstate__(self) -> dict[str, Any]:
        """Travel without the methods, which are made where the work is."""
        return {"settings": self.settings, "runtime": self.runtime}

    @cached_property
    def members(self) -> tuple[Any, ...]:
        """The methods."""
        return tuple(
            make_plugin(registry().analyzers.get(member.use), _settings(member), self.runtime)
            for member in self.settings.of
        )

    @property
    def halo(self) -> int:
        """The largest of the methods, px."""
        return max(int(member.halo) for member in self.members)

    def prepare(self) -> None:
        """Let each method that can try its weights and device."""
        for member in self.members:
            if isinstance(member, Prepares):
                member.prepare()

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> tuple[Any, ...] | None:
        """Measure one cell by each method, which sees no more around it than it asks for."""
        partials = tuple(member.process(*_trimmed(block, info, int(member.halo))) for member in self.members)
        return None if all(partial is None for partial in partials) else partials

    def merge(self, partials: Iterable[tuple[int, int, tuple[Any, ...] | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells of each method, and compare their maps."""
        cells = list(partials)
        compared, results = [], []
        for number, (member, choice) in enumerate(zip(self.members, self.settings.of, strict=True)):
            own = ((row, column, None if partial is None else partial[number]) for row, column, partial in cells)
            results.append(member.merge(own, grid_shape))
            compared.append(_chosen(results[-1], choice))
        units = {grid_map.unit for grid_map in compared}
        labels = [choice.label for choice in self.settings.of]
        if len(units) > 1:
            told = ", ".join(f"{label}: {m.label} in {m.unit}" for label, m in zip(labels, compared, strict=True))
            raise InputError(f"the methods of an ensemble measure different things ({told}); name one 'quantity' each")
        first = compared[0]
        found = agreement(compared)
        nothing = np.full(grid_shape, np.nan)
        reasons = _reasons(compared, labels, found.median)
        median = GridMap(
            f"{first.name}_median", f"{first.label}, median of {len(labels)} methods", first.unit,
            found.median, found.low, found.high, found.reach, *reasons,
        )  # fmt: skip
        spread = GridMap(
            f"{first.name}_spread", f"{first.label}, largest less smallest", first.unit, found.spread, nothing, nothing
        )
        choice_map = GridMap(
            f"{first.name}_choice",
            f"{first.label}: share of the uncertainty that is the choice of the method",
            "1",
            found.choice,
            nothing,
            nothing,
        )
        return Result(
            self.name,
            (median, spread, choice_map),
            tables=(_methods(labels, compared), _pairs(labels, compared)),
            notes=(
                "value: median over the methods; the interval reaches as far as the methods do, and in quadrature the "
                "median half-width of their own intervals: that the methods agree does not prove them right",
                *(f"{label}: {note}" for label, result in zip(labels, results, strict=True) for note in result.notes),
            ),
        )


def _trimmed(block: NDArray[np.float32], info: BlockInfo, halo: int) -> tuple[NDArray[np.float32], BlockInfo]:
    """Return a block with no more than ``halo`` px around its core."""
    if info.core is None:
        return block, info
    outer = tuple(
        slice(max(0, part.start - halo), min(size, part.stop + halo))
        for part, size in zip(info.core, block.shape, strict=True)
    )
    core = tuple(
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(info.core, outer, strict=True)
    )
    valid = None if info.valid is None else info.valid[outer]
    return block[outer], replace(info, core=(core[0], core[1]), valid=valid)


def _chosen(result: Result, member: Member) -> GridMap:
    if not result.maps:
        raise InputError(f"'{member.use}' makes no maps; an ensemble compares maps")
    if not member.quantity:
        return result.maps[0]
    for grid_map in result.maps:
        if grid_map.name == member.quantity:
            return grid_map
    names = ", ".join(grid_map.name for grid_map in result.maps)
    raise InputError(f"'{member.use}' makes no map '{member.quantity}'; its maps are {names}")


def agreement(maps: Sequence[GridMap]) -> Agreement:
    """Return how far the maps of several methods agree.

    Parameters
    ----------
    maps : sequence of GridMap
        Of one quantity, unit and shape; one for each method.
    """
    value = np.array([grid_map.value for grid_map in maps])
    half = np.array([0.5 * (grid_map.high - grid_map.low) for grid_map in maps])
    enough = np.isfinite(value).sum(axis=0) >= 2
    known = np.where(enough, value, 0.0)
    half = np.where(np.isfinite(known), half, np.nan)
    with np.errstate(invalid="ignore"):
        median = np.nanmedian(known, axis=0)
        smallest, largest = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
        between = np.where(largest > smallest, np.nanvar(known, axis=0, ddof=1), 0.0)  # no rounding of equal values
    stated = np.isfinite(half).any(axis=0)
    own, within = np.zeros(median.shape), np.zeros(median.shape)
    own[stated] = np.nanmedian(half[:, stated], axis=0)
    within[stated] = np.nanmean((half[:, stated] / NORMAL_975) ** 2, axis=0)
    total = between + within
    choice = np.divide(between, total, out=np.zeros(total.shape), where=total > 0)
    return Agreement(
        *(
            np.where(enough, series, np.nan)
            for series in (
                median,
                median - np.hypot(median - smallest, own),
                median + np.hypot(largest - median, own),
                largest - smallest,
                np.maximum(median - smallest, largest - median),
                choice,
            )
        )
    )


def _reasons(
    maps: Sequence[GridMap], labels: Sequence[str], median: NDArray[np.float64]
) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """Return why cells have no median: what the first method says that has a reason there."""
    told: dict[tuple[int, int], str] = {}
    for row, column in np.argwhere(np.isnan(median)).tolist():
        found = [
            f"{label}: {one.reason(row, column)}"
            for label, one in zip(labels, maps, strict=True)
            if one.reason(row, column)
        ]
        if found:
            told[row, column] = found[0]
    names = tuple(dict.fromkeys(told.values()))
    if not names:
        return (), None
    reason_of = np.full(median.shape, -1, np.int64)
    for place, reason in told.items():
        reason_of[place] = names.index(reason)
    return names, reason_of


def _methods(labels: Sequence[str], maps: Sequence[GridMap]) -> Table:
    def lines() -> Iterator[tuple[Any, ...]]:
        for label, grid_map in zip(labels, maps, strict=True):
            value = grid_map.value[np.isfinite(grid_map.value)]
            half = 0.5 * (grid_map.high - grid_map.low)
            half = half[np.isfinite(half)]
            yield (
                label,
                int(value.size),
                _rounded(value.mean() if value.size else np.nan),
                _rounded(np.median(half) if half.size else np.nan),
            )

    return Table("methods", ("method", "cells", "mean", "median half-width of its intervals"), tuple(lines()))


def _pairs(labels: Sequence[str], maps: Sequence[GridMap]) -> Table:
    """Return the differences of all pairs of methods over the cells that both have measured.

    The limits hold 95 % of the differences: J. M. Bland and D. G. Altman, Lancet 1986, 327, 307.
    """

    def lines() -> Iterator[tuple[Any, ...]]:
        for (one, first), (other, second) in combinations(zip(labels, maps, strict=True), 2):
            both = np.isfinite(first.value) & np.isfinite(second.value)
            a, b = first.value[both], second.value[both]
            mean = float((b - a).mean()) if a.size else np.nan
            deviation = float((b - a).std(ddof=1)) if a.size > 1 else np.nan
            limits = (mean - NORMAL_975 * deviation, mean + NORMAL_975 * deviation)
            r = pearson_r(a, b) if a.size > 2 and a.std() > 0 and b.std() > 0 else np.nan
            yield one, other, int(both.sum()), _rounded(mean), *(_rounded(limit) for limit in limits), _rounded(r)

    columns = ("method", "other", "cells", "other less method, mean", "95 % from", "to", "r")
    return Table("pairs of methods", columns, tuple(lines()))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def make(settings: EnsembleSettings, runtime: Runtime) -> Ensemble:
    """Make the analyzer for a recipe; its methods are made when there is work."""
    return Ensemble(settings, runtime)
