"""How profiles along x go with a measured property: Pearson's r that allows for smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.relation.correlation import correlate, correlate_independent, leave_one_out_q2, shift_p_value
from cemi_core.errors import InputError
from cemi_core.model.result import Profile, PropertyTable, Relation, is_direction
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime

_POINTS_TO_CONCLUDE = 5
_MIN_POINTS = 3


class PearsonSettings(Settings):
    """How Pearson's r is judged."""

    test: Literal["effective", "surrogates"] = Field(
        default="effective",
        description="'effective': t test with the effective sample size; 'surrogates': profiles of random phase "
        "(needs property points at equal steps).",
    )
    surrogates: int = Field(default=999, ge=99, le=100_000, description="Number of surrogate profiles.")


class PearsonRelation:
    """Relates each profile to a property by Pearson's r.

    The profile is interpolated to the positions of the property (its points are the scarce ones); how much closely
    spaced points repeat each other is settled by the effective sample size, not by thinning.

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
        """Return one relation per profile, strongest first; directions are left out, since they are no amounts.

        Raises
        ------
        InputError
            The property has fewer than three positions within every profile, or positions and values differ in number.
        """
        x_um, values = _clean(table)
        if self.settings.test == "surrogates" and any(profile.independent for profile in profiles):
            raise InputError("'test: surrogates' is for profiles along x; use 'test: effective' for separate images")
        scaled = _to_unit_size(values)
        profiles = [profile for profile in profiles if not is_direction(profile.unit)]
        _check_extent(x_um, profiles, table.name)
        relations = [self._one(profile, x_um, values, scaled, table.name) for profile in profiles]
        if relations and all(relation.n < _MIN_POINTS for relation in relations):
            if profiles[0].independent:
                raise InputError(
                    f"'{table.name}' is known of {len(x_um)} images, and at most {max(r.n for r in relations)} of them "
                    f"could be measured; a correlation needs at least {_MIN_POINTS}"
                )
            raise InputError(
                f"the property '{table.name}' has fewer than {_MIN_POINTS} positions within the profiles "
                f"({_extent(profiles[0])}): check the unit of its positions (micrometres)"
            )
        strength = [abs(relation.r) if np.isfinite(relation.r) else -1.0 for relation in relations]
        ordered = [relations[i] for i in np.argsort(strength, kind="stable")[::-1]]
        return _with_joint_fit(ordered, profiles, x_um, scaled)

    def _one(
        self,
        profile: Profile,
        x_um: NDArray[np.float64],
        values: NDArray[np.float64],
        scaled: NDArray[np.float64],
        name: str,
    ) -> Relation:
        quantity = profile_at(profile, x_um)
        used = np.isfinite(quantity)
        at, quantity, measured = x_um[used], quantity[used], values[used]
        if len(at) < _MIN_POINTS:
            return _unknown(profile, name, at, quantity, measured)
        comparable = _to_unit_size(quantity), scaled[used]
        found = correlate_independent(*comparable) if profile.independent else correlate(at, *comparable)
        outside = 0 if profile.independent else len(x_um) - len(at)
        p, notes = found.p_value, self._notes(at, *comparable, outside, found.n_effective)
        if len(at) < len(x_um) and profile.independent:
            notes.append(f"{len(x_um) - len(at)} image(s) in which {profile.name} could not be measured were left out")
        if self.settings.test == "surrogates":
            _check_equal_steps(at, name)
            p = shift_p_value(*comparable, self.seed, self.settings.surrogates)
            notes.append(f"p from {self.settings.surrogates} surrogate profiles of random phase")
        return Relation(
            quantity=profile.name,
            property_name=name,
            r=found.r,
            low=found.low,
            high=found.high,
            p_value=p,
            n=len(at),
            n_effective=found.n_effective,
            x_um=at,
            quantity_values=quantity,
            property_values=measured,
            notes=tuple(notes),
        )

    @staticmethod
    def _notes(
        at: NDArray[np.float64],
        quantity: NDArray[np.float64],
        measured: NDArray[np.float64],
        outside: int,
        n_effective: float,
    ) -> list[str]:
        notes = [
            f"{what} is the same everywhere: no correlation"
            for what, series in (("the quantity", quantity), ("the property", measured))
            if np.ptp(series) == 0
        ]
        if outside:
            notes.append(f"{outside} position(s) of the property lie outside the profile and were left out")
        if len(at) < _POINTS_TO_CONCLUDE:
            notes.append(f"only {len(at)} points: no conclusion can be drawn from them")
        elif n_effective < _POINTS_TO_CONCLUDE:
            notes.append(
                f"both curves are so smooth that {len(at)} points are worth {n_effective:.1f} independent ones: "
                "no conclusion can be drawn from them"
            )
        r2, q2 = leave_one_out_q2(quantity[:, None], measured)
        if np.isfinite(q2):
            notes.append(f"straight line: R2 = {r2:.2f}, leave-one-out Q2 = {q2:.2f}")
        return notes


def _to_unit_size(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values divided by the largest: no correlation changes, and no square over- or underflows."""
    largest = float(np.max(np.abs(values), initial=0.0))
    return values / largest if largest > 0 else values


def profile_at(profile: Profile, x_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a profile's value at other positions by linear interpolation; NaN beyond half a step of its ends.

    Of images that stand alone, the value of the image with that number: there is nothing between them.
    """
    if profile.independent:
        of_number = dict(zip(profile.x_um.tolist(), profile.value.tolist(), strict=True))
        return np.array([of_number.get(number, np.nan) for number in x_um.tolist()], np.float64)
    known = np.isfinite(profile.value)
    x, value = profile.x_um[known], profile.value[known]
    if not len(x):
        return np.full(len(x_um), np.nan)
    half_step = 0.5 * float(np.median(np.diff(profile.x_um))) if len(profile.x_um) > 1 else 0.0
    inside = (x_um >= x[0] - half_step) & (x_um <= x[-1] + half_step)
    return np.where(inside, np.interp(x_um, x, value), np.nan)


def make(settings: PearsonSettings, runtime: Runtime) -> PearsonRelation:
    """Make the relation for a recipe."""
    return PearsonRelation(settings, runtime.seed)


def _unknown(
    profile: Profile, name: str, at: NDArray[np.float64], quantity: NDArray[np.float64], measured: NDArray[np.float64]
) -> Relation:
    note = f"{profile.name} was measured at only {len(at)} of the positions of '{name}': no correlation"
    nan = float("nan")
    return Relation(profile.name, name, nan, nan, nan, nan, len(at), nan, at, quantity, measured, (note,))


def _clean(table: PropertyTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x_um, values = np.asarray(table.x_um, np.float64), np.asarray(table.value, np.float64)
    if x_um.shape != values.shape or x_um.ndim != 1:
        raise InputError(
            f"the property '{table.name}' needs one value per position, not {x_um.shape} positions and "
            f"{values.shape} values"
        )
    finite = np.isfinite(x_um) & np.isfinite(values)
    order = np.argsort(x_um[finite], kind="stable")
    return x_um[finite][order], values[finite][order]


def _extent(profile: Profile) -> str:
    known = profile.x_um[np.isfinite(profile.value)]
    return f"{known[0]:.6g} to {known[-1]:.6g} um" if len(known) else "no measured value"


def _check_extent(x_um: NDArray[np.float64], profiles: Sequence[Profile], name: str) -> None:
    along = [profile for profile in profiles if not profile.independent]
    steps = [float(np.median(np.diff(profile.x_um))) for profile in along if len(profile.x_um) > 1]
    if steps and len(x_um) > 1 and np.ptp(x_um) < min(steps):
        raise InputError(
            f"all positions of the property '{name}' lie within one column of the grid ({x_um[0]:.6g} to "
            f"{x_um[-1]:.6g} um): check their unit (micrometres)"
        )


def _check_equal_steps(at: NDArray[np.float64], name: str) -> None:
    steps = np.diff(at)
    if len(steps) and np.ptp(steps) > 0.02 * steps.mean():
        raise InputError(
            f"the positions of the property '{name}' are not at equal steps, which 'test: surrogates' needs; "
            "use 'test: effective'"
        )


def _with_joint_fit(
    relations: list[Relation], profiles: Sequence[Profile], x_um: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[Relation, ...]:
    """Note on the first relation what all quantities explain together, and what is left of it for unseen points."""
    if len(profiles) < 2:
        return tuple(relations)
    predictors = np.column_stack([profile_at(profile, x_um) for profile in profiles])
    used = np.isfinite(predictors).all(axis=1)
    r2, q2 = leave_one_out_q2(predictors[used], values[used])
    if np.isfinite(q2):
        note = f"all {len(profiles)} quantities together: R2 = {r2:.2f}, leave-one-out Q2 = {q2:.2f}"
        relations[0] = replace(relations[0], notes=(*relations[0].notes, note))
    return tuple(relations)
