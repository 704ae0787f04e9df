"""A property predicted from several quantities: by straight lines or by a random forest, with intervals that hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.relation.combinations import (
    Combination,
    TogetherSettings,
    combinations_of,
    relation_of_several,
    relations_of_several,
)
from cemi_analyze.relation.conformal import Predicted, blocks_along, jackknife_plus, split_conformal
from cemi_analyze.relation.places import Places, Series, noted, series_of_maps, series_of_profiles
from cemi_analyze.relation.together import Fit, Score, covariances_of, judge_together, least_squares, r2_of_lines
from cemi_core.errors import InputError
from cemi_core.model.abilities import RelationAbilities
from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.result import Profile, PropertyTable, Relation
from cemi_core.model.stages import Runtime

#: It looks at the maps under each indent.
ABILITIES = RelationAbilities(needs_maps=True)

_MIN_POINTS = 6
#: Beyond so many points one split tells the error as well as all of them.
_MAX_JACKKNIFE = 200


class PredictionSettings(TogetherSettings):
    """How a property is predicted, and with which interval."""

    coverage: float = Field(
        0.9, gt=0.5, lt=1, description="Share of new places that the interval of a prediction is to hold."
    )
    interval: Literal["auto", "jackknife", "split"] = Field(
        "auto",
        description="'jackknife': jackknife+ over blocks of neighbours; 'split': split conformal, one fit a block; "
        f"'auto': jackknife up to {_MAX_JACKKNIFE} places.",
    )
    blocks: int = Field(
        10, ge=3, le=100, description="Blocks of neighbouring places, each left out as a whole for the interval."
    )


class LinearSettings(PredictionSettings):
    """A property predicted by a straight line in each quantity."""


class ForestSettings(PredictionSettings):
    """A property predicted by a random forest."""

    surrogates: int = Field(default=99, ge=39, le=100_000, description="Number of curves of the test: a forest each.")
    trees: int = Field(100, ge=10, le=2000, description="Trees of a forest.")
    leaf: int = Field(3, ge=1, le=100, description="Places in a leaf at least: larger is smoother.")


@dataclass(frozen=True)
class Forest:
    """Random forests of one kind (Breiman, Machine Learning 2001, 45, 5).

    Attributes
    ----------
    trees, leaf, seed : int
    """

    trees: int
    leaf: int
    seed: int

    def fit(self, quantities: NDArray[np.float64], values: NDArray[np.float64]) -> _FittedForest:
        """Return a forest fitted to quantities (n, k) and a property (n,)."""
        from sklearn.ensemble import RandomForestRegressor

        model = RandomForestRegressor(self.trees, min_samples_leaf=self.leaf, random_state=self.seed)
        return _FittedForest(model.fit(quantities, values))

    def scores(self, quantities: NDArray[np.float64], curves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return R2 of each curve (m, n) as the trees predict the points that they have not seen, out of their bags."""
        from sklearn.ensemble import RandomForestRegressor

        scores = []
        for curve in curves:
            model = RandomForestRegressor(
                self.trees, min_samples_leaf=self.leaf, random_state=self.seed, oob_score=True, bootstrap=True
            )
            scores.append(float(model.fit(quantities, curve).oob_score_))
        return np.array(scores)


class _FittedForest:
    def __init__(self, model: object) -> None:
        self._model = model

    def __call__(self, quantities: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._model.predict(quantities), np.float64)  # type: ignore[attr-defined]


class PredictionRelation:
    """Predicts a property from quantities together, and tells whether that is more than chance.

    Parameters
    ----------
    settings : LinearSettings or ForestSettings
    seed : int
        Seed of forests and curves.
    """

    def __init__(self, settings: PredictionSettings, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed

    def relate(self, profiles: Sequence[Profile], table: PropertyTable) -> tuple[Relation, ...]:
        """Return one relation for each combination of quantities, the one that predicts best first.

        Raises
        ------
        InputError
            The property has fewer than six positions where all quantities were measured.
        """
        return self._relations(*series_of_profiles(profiles, table, self.settings))

    def relate_maps(self, measured: MeasuredMaps, table: PropertyTable) -> tuple[Relation, ...]:
        """Return what `relate` returns; with y in the table from the maps under each indent.

        Raises
        ------
        InputError
            The property has fewer than six positions where all quantities were measured.
        """
        return self._relations(*series_of_maps(measured, table, self.settings))

    def _relations(self, places: Places, series: Sequence[Series]) -> tuple[Relation, ...]:
        combinations = combinations_of(self.settings.together, series, places, fewest=1)
        if not combinations:
            raise InputError(f"no quantity varies over the places of '{places.name}', so that nothing predicts it")
        most = max(len(combination.values) for combination in combinations)
        if most < _MIN_POINTS:
            raise InputError(
                f"a prediction of '{places.name}' needs at least {_MIN_POINTS} places where all quantities were "
                f"measured, and has {most}; name fewer quantities in 'together', or use 'pearson'"
            )
        return noted(relations_of_several(combinations, self._one), places)

    def _method(self) -> tuple[Fit, Score]:
        if isinstance(self.settings, ForestSettings):
            forest = Forest(self.settings.trees, self.settings.leaf, self.seed)
            return forest.fit, forest.scores
        return least_squares, r2_of_lines

    def _one(self, combination: Combination) -> Relation:
        fit, score = self._method()
        values = combination.values
        offset, size = float(values.mean()), float(values.std()) or 1.0
        scaled = (values - offset) / size
        covariances = covariances_of(combination.position_um, scaled, combination.places.independent)
        rng = np.random.default_rng([self.seed, len(combination.names)])
        found = judge_together(combination.quantities, scaled, covariances, rng, self.settings.surrogates, fit, score)
        relation = relation_of_several(combination, replace(found, predicted=offset + size * found.predicted))
        if not math.isfinite(found.r2):
            return relation
        predicted = self._predicted(combination, scaled, fit)
        half = size * np.maximum(predicted.high - predicted.value, predicted.value - predicted.low)
        notes = [*relation.notes, *self._notes(combination, scaled, predicted, half, size)]
        bounded = np.where(np.isfinite(half), half, np.nan)
        return replace(
            relation,
            quantity_values=offset + size * predicted.value,
            quantity_half=bounded if np.isfinite(bounded).any() else None,
            notes=tuple(notes),
        )

    def _predicted(self, combination: Combination, scaled: NDArray[np.float64], fit: Fit) -> Predicted:
        n = len(scaled)
        block = blocks_along(combination.position_um, min(self.settings.blocks, n))
        split = self.settings.interval == "split" or (self.settings.interval == "auto" and n > _MAX_JACKKNIFE)
        make_interval = split_conformal if split else jackknife_plus
        return make_interval(combination.quantities, scaled, block, self.settings.coverage, fit)

    def _notes(
        self,
        combination: Combination,
        scaled: NDArray[np.float64],
        predicted: Predicted,
        half: NDArray[np.float64],
        size: float,
    ) -> list[str]:
        notes = []
        percent = f"{100 * self.settings.coverage:.3g} %"
        if np.isfinite(half).all():
            held = int(np.sum((predicted.low <= scaled) & (scaled <= predicted.high)))
            notes.append(
                f"{combination.places.name} of a new place is predicted to +-{float(np.median(half)):.3g} ({percent} "
                f"intervals, which hold {held} of the {len(scaled)} values whose block the model has not seen)"
            )
        else:
            notes.append(f"{len(scaled)} places are too few for an interval that holds {percent}")
        if not isinstance(self.settings, ForestSettings):
            slopes, *_ = np.linalg.lstsq(combination.quantities, scaled, rcond=1e-9)
            told = ", ".join(f"{size * slope:+.3g} by {name}" for name, slope in zip(combination.names, slopes))
            notes.append(f"{combination.places.name} changes with one standard deviation of each: {told}")
        return notes


def make_linear(settings: LinearSettings, runtime: Runtime) -> PredictionRelation:
    """Make the relation `linear` for a recipe."""
    return PredictionRelation(settings, runtime.seed)


def make_forest(settings: ForestSettings, runtime: Runtime) -> PredictionRelation:
    """Make the relation `forest` for a recipe."""
    return PredictionRelation(settings, runtime.seed)
