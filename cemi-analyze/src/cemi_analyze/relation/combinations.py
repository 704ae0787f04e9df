"""Several quantities together: which are tried, and what is said of each combination."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.relation.correlation import effective_sample_size
from cemi_analyze.relation.multiplicity import with_adjusted_p
from cemi_analyze.relation.places import Places, PlaceSettings, Series
from cemi_analyze.relation.together import Explained, explains_sentence
from cemi_core.errors import InputError
from cemi_core.model.result import Relation

#: Two quantities are the same if no value differs by more than this share of their spread.
_SAME = 1e-9


class TogetherSettings(PlaceSettings):
    """Which quantities are tried together."""

    together: list[list[str]] = Field(
        default_factory=list,
        description="Combinations to try, such as [[bcc_fraction, lamella_fraction]], named before looking at the data;"
        " by default all quantities together.",
    )
    surrogates: int = Field(
        default=999, ge=99, le=100_000, description="Number of curves or profiles that a surrogate test draws."
    )


@dataclass(frozen=True)
class Combination:
    """Several quantities at the places where all of them, and the property, are known.

    Attributes
    ----------
    names : tuple of str
        Without those that are the same as one before them.
    quantities : ndarray of float, shape (n, k)
        Each with mean 0 and deviation 1.
    values : ndarray of float, shape (n,)
        The property.
    places : Places
    used : ndarray of bool, shape (places,)
    notes : tuple of str
    """

    names: tuple[str, ...]
    quantities: NDArray[np.float64]
    values: NDArray[np.float64]
    places: Places
    used: NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def position_um(self) -> NDArray[np.float64]:
        """Positions of the places that are used."""
        return self.places.position_um[self.used]


def combinations_of(
    together: Sequence[Sequence[str]], series: Sequence[Series], places: Places, fewest: int = 2
) -> list[Combination]:
    """Return the combinations that are named, or all quantities together; those that say nothing are left out of it.

    Raises
    ------
    InputError
        A combination names an unknown quantity, or none.
    """
    by_name = {one.name: one for one in series}
    unknown = [name for names in together for name in names if name not in by_name]
    if unknown:
        raise InputError(f"'together' names '{unknown[0]}', which was not measured; known are {', '.join(by_name)}")
    if any(not names for names in together):
        raise InputError("'together' has a combination without quantities")
    chosen = [[by_name[name] for name in dict.fromkeys(names)] for names in together]
    if not together:
        known = [one for one in by_name.values() if _varies(one.value)]
        chosen = [known] if len(known) >= fewest else []
    return [_combination(several, places) for several in chosen]


def _varies(value: NDArray[np.float64]) -> bool:
    known = value[np.isfinite(value)]
    return len(known) > 1 and float(np.ptp(known)) > 0


def _combination(several: Sequence[Series], places: Places) -> Combination:
    values = np.column_stack([one.value for one in several])
    used = np.asarray(np.isfinite(values).all(axis=1))
    notes = []
    if not used.all():
        notes.append(f"{int((~used).sum())} place(s) where not all of the quantities were measured were left out")
    centred = values[used] - values[used].mean(axis=0) if used.any() else values[used]
    spread = centred.std(axis=0) if used.any() else np.zeros(len(several))
    scaled = centred / np.where(spread > 0, spread, 1.0)
    kept: list[int] = []
    for column, one in enumerate(several):
        same = [k for k in kept if used.any() and float(np.abs(scaled[:, k] - scaled[:, column]).max()) < _SAME]
        if same:
            notes.append(f"{one.name} is {several[same[0]].name} in another size; one of them is enough")
        else:
            kept.append(column)
    return Combination(
        names=tuple(several[k].name for k in kept),
        quantities=scaled[:, kept],
        values=places.value[used],
        places=places,
        used=used,
        notes=tuple(notes),
    )


def relation_of_several(combination: Combination, found: Explained, notes: Sequence[str] = ()) -> Relation:
    """Return what a combination explains as a relation: R2, Q2, p, and the plain sentence."""
    places, used = combination.places, combination.used
    n = len(combination.values)
    n_effective = float(n)
    fitted = found.predicted
    if not places.independent and n > 2 and np.isfinite(fitted).all() and np.ptp(fitted) > 0:
        n_effective = effective_sample_size(combination.position_um, fitted, combination.values)
    half = places.half[used]
    return Relation(
        quantity=" + ".join(combination.names),
        property_name=places.name,
        r=found.r2,
        low=math.nan,
        high=math.nan,
        p_value=found.p_value,
        n=n,
        n_effective=n_effective,
        x_um=places.x_um[used],
        quantity_values=fitted,
        property_values=combination.values,
        notes=(*combination.notes, *notes),
        measure="R2",
        q2=found.q2,
        quantities=combination.names,
        y_um=None if places.y_um is None else places.y_um[used],
        property_half=half if np.isfinite(half).any() else None,
    )


def relations_of_several(
    combinations: Sequence[Combination], judge: Callable[[Combination], Relation]
) -> tuple[Relation, ...]:
    """Return the relation of each combination, its p allowing for the others, those that predict best first.

    A combination explains the property only if its p does so after Holm's correction.
    """
    relations = [
        replace(one, verdict=explains_sentence(one)) for one in with_adjusted_p([judge(each) for each in combinations])
    ]
    return tuple(sorted(relations, key=lambda relation: -relation.q2 if math.isfinite(relation.q2) else math.inf))
