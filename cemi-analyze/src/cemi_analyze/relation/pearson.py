"""How quantities go with a measured property, one by one and together: correlations that allow for smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.relation.attenuation import ceiling_of, reliability
from cemi_analyze.relation.combinations import (
    Combination,
    TogetherSettings,
    combinations_of,
    relation_of_several,
    relations_of_several,
)
from cemi_analyze.relation.correlation import (
    Correlation,
    correlate,
    correlate_independent,
    curves_p_value,
    of_ranks,
    ranks,
    shift_p_value,
    without,
)
from cemi_analyze.relation.multiplicity import with_adjusted_p
from cemi_analyze.relation.places import (
    Places,
    Series,
    noted,
    profile_at,
    series_of_maps,
    series_of_profiles,
    to_unit_size,
)
from cemi_analyze.relation.together import MAX_P, covariances_of, judge_together
from cemi_core.errors import InputError
from cemi_core.model.abilities import RelationAbilities
from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.result import Profile, PropertyTable, Relation
from cemi_core.model.stages import Runtime

__all__ = ["ABILITIES", "PearsonRelation", "PearsonSettings", "make", "profile_at"]

#: It looks at the maps under each indent.
ABILITIES = RelationAbilities(needs_maps=True)

_POINTS_TO_CONCLUDE = 5
_MIN_POINTS = 3


class PearsonSettings(TogetherSettings):
    """Which correlation is computed, and how it is judged."""

    measure: Literal["pearson", "spearman"] = Field(
        default="pearson", description="'pearson': how close to a straight line; 'spearman': the same of the ranks."
    )
    given: str = Field(
        default="",
        description="Partial correlation: what a straight line in this quantity, or in 'x', explains is taken off both "
        "sides first.",
    )
    test: Literal["effective", "curves", "surrogates"] = Field(
        default="effective",
        description="'effective': t test with the effective sample size; 'curves': against curves drawn from the "
        "covariance that fits the property; 'surrogates': profiles of random phase (needs property points at equal "
        "steps).",
    )


class PearsonRelation:
    """Relates each quantity, and several together, to a property by correlation.

    With x alone the profile is interpolated to the positions of the property (its points are the scarce ones); with
    (x, y) the map is averaged under each indent. How much closely spaced points repeat each other is settled by the
    effective sample size, not by thinning.

    Parameters
    ----------
    settings : PearsonSettings, optional
    seed : int
        Seed of the surrogates.
    """

    def __init__(self, settings: PearsonSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or PearsonSettings()
        self.seed = seed

    def relate(self, profiles: Sequence[Profile], table: PropertyTable) -> tuple[Relation, ...]:
        """Return one relation per profile, strongest first, and those of several quantities together after them.

        Directions are left out, since they are not amounts.

        Raises
        ------
        InputError
            The property has fewer than three positions within every profile, or positions and values differ in number.
        """
        if self.settings.test == "surrogates" and any(profile.independent for profile in profiles):
            raise InputError("'test: surrogates' is for profiles along x; use 'test: effective' for separate images")
        return self._relations(*series_of_profiles(profiles, table, self.settings))

    def relate_maps(self, measured: MeasuredMaps, table: PropertyTable) -> tuple[Relation, ...]:
        """Return what `relate` returns; with y in the table from the maps under each indent.

        Raises
        ------
        InputError
            Fewer than three positions of the property lie on the maps.
        """
        places, series = series_of_maps(measured, table, self.settings)
        return self._relations(places, series)

    def _relations(self, places: Places, series: Sequence[Series]) -> tuple[Relation, ...]:
        given = self._given(places, series)
        related = [one for one in series if one.name != self.settings.given]
        relations = with_adjusted_p([self._one(one, places, given) for one in related])
        relations = [replace(one, verdict=_verdict(one, len(relations))) for one in relations]
        if relations and all(relation.n < _MIN_POINTS for relation in relations):
            raise InputError(places.too_few(max(relation.n for relation in relations), _MIN_POINTS))
        strength = [abs(relation.r) if np.isfinite(relation.r) else -1.0 for relation in relations]
        ordered = [relations[i] for i in np.argsort(strength, kind="stable")[::-1]]
        combinations = combinations_of(self.settings.together, series, places)
        return noted((*ordered, *relations_of_several(combinations, self._together)), places)

    def _given(self, places: Places, series: Sequence[Series]) -> NDArray[np.float64] | None:
        """Return the variable that is held fixed at each place, if there is one."""
        name = self.settings.given
        if not name:
            return None
        if name == "x" and not places.independent:
            return places.x_um
        found = next((one.value for one in series if one.name == name), None)
        if found is None:
            known = ", ".join([*([] if places.independent else ["x"]), *(one.name for one in series)])
            raise InputError(f"'given: {name}' was not measured; known are {known}")
        return found

    def _one(self, series: Series, places: Places, given: NDArray[np.float64] | None) -> Relation:
        fixed = np.zeros(len(series.value)) if given is None else given
        used = np.isfinite(series.value) & np.isfinite(fixed)
        if used.sum() < _MIN_POINTS:
            return _relation(series, places, used, _unknown(int(used.sum())), [_too_few_note(series, places, used)])
        at = places.position_um[used]
        x, y, held = (to_unit_size(values[used]) for values in (series.value, places.value, fixed))
        if self._of_ranks:
            x, y, held = ranks(x), ranks(y), ranks(held)
        if given is not None:
            x, y = without(held, x), without(held, y)
        costs = int(given is not None)
        found = correlate_independent(x, y, costs) if places.independent else correlate(at, x, y, costs)
        found = of_ranks(found) if self._of_ranks else found
        notes = _notes(series, places, used, (x, y), found.n_effective)
        if self.settings.test != "effective" and np.isfinite(found.r):
            found, note = self._by_surrogates(found, at, x, y, places)
            notes.append(note)
        relation = _relation(series, places, used, found, notes)
        if given is not None or self._of_ranks:
            return replace(relation, measure=self._measure())
        return _ceiled(relation, series, places, used)

    @property
    def _of_ranks(self) -> bool:
        return self.settings.measure == "spearman"

    def _measure(self) -> str:
        return f"{'partial ' if self.settings.given else ''}{'rho' if self._of_ranks else 'r'}"

    def _by_surrogates(
        self,
        found: Correlation,
        at: NDArray[np.float64],
        quantity: NDArray[np.float64],
        measured: NDArray[np.float64],
        places: Places,
    ) -> tuple[Correlation, str]:
        """Return a correlation with p from surrogates instead of the effective sample size, and a note that says so."""
        draws = self.settings.surrogates
        if self.settings.test == "curves":
            p = curves_p_value(covariances_of(at, measured, places.independent), quantity, measured, self.seed, draws)
            return replace(found, p_value=p), f"p from {draws} curves drawn from the covariance of '{places.name}'"
        _check_equal_steps(at, places.name)
        p = shift_p_value(quantity, measured, self.seed, draws)
        return replace(found, p_value=p), f"p from {draws} surrogate profiles of random phase"

    def _together(self, combination: Combination) -> Relation:
        independent = combination.places.independent
        values = to_unit_size(combination.values)
        covariances = covariances_of(combination.position_um, values, independent)
        rng = np.random.default_rng([self.seed, len(combination.names)])
        found = judge_together(combination.quantities, values, covariances, rng, self.settings.surrogates)
        largest = float(np.max(np.abs(combination.values), initial=0.0)) or 1.0
        return relation_of_several(combination, replace(found, predicted=found.predicted * largest))


def make(settings: PearsonSettings, runtime: Runtime) -> PearsonRelation:
    """Make the relation for a recipe."""
    return PearsonRelation(settings, runtime.seed)


def _unknown(n: int) -> Correlation:
    nan = float("nan")
    return Correlation(nan, nan, nan, nan, nan if n else 0.0)


def _too_few_note(series: Series, places: Places, used: NDArray[np.bool_]) -> str:
    return f"{series.name} was measured at only {used.sum()} of the positions of '{places.name}': no correlation"


def _relation(
    series: Series, places: Places, used: NDArray[np.bool_], found: Correlation, notes: Sequence[str]
) -> Relation:
    halves = series.half[used], places.half[used]
    quantity_half, property_half = (half if np.isfinite(half).any() else None for half in halves)
    return Relation(
        quantity=series.name,
        property_name=places.name,
        r=found.r,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        n=int(used.sum()),
        n_effective=found.n_effective,
        x_um=places.x_um[used],
        quantity_values=series.value[used],
        property_values=places.value[used],
        notes=tuple(notes),
        y_um=None if places.y_um is None else places.y_um[used],
        quantity_half=quantity_half,
        property_half=property_half,
    )


def _ceiled(relation: Relation, series: Series, places: Places, used: NDArray[np.bool_]) -> Relation:
    """Return a relation with the ceiling that the scatter of both sides sets to its r, and r without that scatter."""
    shares = reliability(series.value[used], series.error[used]), reliability(places.value[used], places.error[used])
    found = ceiling_of(relation.r, relation.low, relation.high, shares)
    return replace(
        relation,
        ceiling=found.value,
        disattenuated=found.r,
        disattenuated_low=found.low,
        disattenuated_high=found.high,
    )


def _notes(
    series: Series, places: Places, used: NDArray[np.bool_], pair: Sequence[NDArray[np.float64]], n_effective: float
) -> list[str]:
    notes = [
        f"{what} is the same everywhere: no correlation"
        for what, values in (("the quantity", pair[0]), ("the property", pair[1]))
        if np.ptp(values) == 0
    ]
    n, left_out = int(used.sum()), int((~used).sum())
    if left_out and places.independent:
        notes.append(f"{left_out} image(s) in which {series.name} could not be measured were left out")
    elif left_out:
        notes.append(f"{left_out} position(s) of the property lie outside {places.where} and were left out")
    if n < _POINTS_TO_CONCLUDE:
        notes.append(f"only {n} points: no conclusion can be drawn from them")
    elif n_effective < _POINTS_TO_CONCLUDE:
        notes.append(
            f"both curves are so smooth that {n} points are worth {n_effective:.1f} independent ones: "
            "no conclusion can be drawn from them"
        )
    return notes


def _verdict(relation: Relation, tried: int) -> str:
    """Return in one sentence whether a quantity goes with the property."""
    quantity, of = relation.quantity, relation.property_name
    if not np.isfinite(relation.r) or relation.n < _MIN_POINTS:
        return f"Whether {quantity} goes with {of} cannot be told."
    among = f" among {tried} quantities (Holm)" if tried > 1 else ""
    if relation.n < _POINTS_TO_CONCLUDE or relation.n_effective < _POINTS_TO_CONCLUDE:
        return f"No relation of {quantity} to {of} is shown: too few independent points."
    if not relation.p_holm < MAX_P:
        return f"No relation of {quantity} to {of} is shown: p = {relation.p_holm:.2g}{among}."
    return f"{quantity} goes with {of}: p = {relation.p_holm:.2g}{among}."


def _check_equal_steps(at: NDArray[np.float64], name: str) -> None:
    steps = np.diff(at) if at.ndim == 1 else np.array([0.0, 1.0])
    if len(steps) and np.ptp(steps) > 0.02 * steps.mean():
        raise InputError(
            f"the positions of the property '{name}' are not at equal steps, which 'test: surrogates' needs; "
            "use 'test: effective'"
        )
