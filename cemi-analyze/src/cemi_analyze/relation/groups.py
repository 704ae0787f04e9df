"""How a quantity differs between classes of images: Kruskal and Wallis' test, with the mean of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import chi2, rankdata
from scipy.stats import t as student_t

from cemi_analyze.relation.multiplicity import with_adjusted_p
from cemi_analyze.relation.pearson import profile_at
from cemi_core.errors import InputError
from cemi_core.model.abilities import RelationAbilities
from cemi_core.model.result import GroupMean, Profile, PropertyTable, Relation, is_direction
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime

#: Up to so many images the p-value comes from permutations, beyond from the chi-squared distribution.
_MAX_PERMUTED = 200
_FEW_IN_A_CLASS = 3


#: It compares classes of images that stand alone.
ABILITIES = RelationAbilities(takes_classes=True, needs_images=True)


class GroupsSettings(Settings):
    """How classes are compared."""

    permutations: int = Field(
        default=9999,
        ge=99,
        le=100_000,
        description=f"Random orders behind the p-value, of up to {_MAX_PERMUTED} images.",
    )


class GroupsRelation:
    """Compares classes of images by ranks, so that neither a normal distribution nor equal scatter is needed.

    The p-value is that of Kruskal and Wallis (J. Am. Stat. Assoc. 1952, 47, 583); the strength is epsilon squared,
    H / (n - 1), from 0 (classes alike) to 1 (classes apart; Tomczak and Tomczak, Trends Sport Sci. 2014, 1, 19). A
    condition of numbers has a class for each number.

    Parameters
    ----------
    settings : GroupsSettings, optional
    seed : int
        Seed of the permutations.
    """

    def __init__(self, settings: GroupsSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or GroupsSettings()
        self.seed = seed

    def relate(self, profiles: Sequence[Profile], table: PropertyTable) -> tuple[Relation, ...]:
        """Return one relation per quantity, strongest first; directions are left out, since they are not amounts.

        The p-values are also given as they are where all quantities are tried (`with_adjusted_p`).

        Raises
        ------
        InputError
            The profiles lie along x, or fewer than two classes hold an image that could be measured.
        """
        if any(not profile.independent for profile in profiles):
            raise InputError("'groups' compares images that stand alone; use 'pearson' for profiles along x")
        profiles = [profile for profile in profiles if not is_direction(profile.unit)]
        names = table.classes or tuple(f"{number:g}" for number in np.unique(table.value))
        of_class = table.value if table.classes else np.searchsorted(np.unique(table.value), table.value)
        one_by_one = [self._one(profile, table, of_class.astype(np.int64), names) for profile in profiles]
        relations = with_adjusted_p(one_by_one)
        if relations and all(len(relation.groups) < 2 for relation in relations):
            raise InputError(
                f"a comparison needs images of at least two classes of '{table.name}', and only "
                f"{', '.join(group.name for group in relations[0].groups) or 'none'} could be measured"
            )
        strength = [relation.r if math.isfinite(relation.r) else -1.0 for relation in relations]
        return tuple(relations[i] for i in np.argsort(strength, kind="stable")[::-1])

    def _one(
        self, profile: Profile, table: PropertyTable, of_class: NDArray[np.int64], names: tuple[str, ...]
    ) -> Relation:
        quantity = profile_at(profile, table.x_um)
        used = np.isfinite(quantity)
        values, classes = quantity[used], of_class[used]
        share = is_share(profile)
        groups = tuple(group_mean(names[number], values[classes == number], share) for number in np.unique(classes))
        notes = []
        if not used.all():
            notes.append(f"{(~used).sum()} image(s) in which {profile.name} could not be measured were left out")
        small = [group.name for group in groups if group.n < _FEW_IN_A_CLASS]
        if small:
            notes.append(f"fewer than {_FEW_IN_A_CLASS} images of {', '.join(small)}: no conclusion can be drawn there")
        strength, p = math.nan, math.nan
        if len(groups) > 1:
            strength, p = self._test(values, classes)
        if len(groups) > 1 and not math.isfinite(strength):
            notes.append(f"{profile.name} is the same in all images: no comparison")
        return Relation(
            quantity=profile.name,
            property_name=table.name,
            r=strength,
            low=math.nan,
            high=math.nan,
            p_value=p,
            n=len(values),
            n_effective=float(len(values)),
            x_um=table.x_um[used],
            quantity_values=values,
            property_values=classes.astype(np.float64),
            notes=tuple(notes),
            measure="epsilon squared",
            groups=groups,
        )

    def _test(self, values: NDArray[np.float64], classes: NDArray[np.int64]) -> tuple[float, float]:
        """Return epsilon squared and the p-value; NaN if all values are equal or each class holds one."""
        n = len(values)
        _, members, sizes = np.unique(classes, return_inverse=True, return_counts=True)
        if np.ptp(values) == 0 or n == len(sizes):
            return math.nan, math.nan
        ranks = rankdata(values)
        found = float(kruskal_wallis_h(ranks[None], members, sizes)[0])
        if n > _MAX_PERMUTED:
            return found / (n - 1), float(chi2.sf(found, len(sizes) - 1))
        rng = np.random.default_rng(self.seed)
        orders = rng.permuted(np.tile(ranks, (self.settings.permutations, 1)), axis=1)
        as_large = int((kruskal_wallis_h(orders, members, sizes) >= found - 1e-9).sum())
        return found / (n - 1), (1 + as_large) / (1 + self.settings.permutations)


def kruskal_wallis_h(
    ranks: NDArray[np.float64], members: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return H of each row of ranks, corrected for ties: (n - 1) times the share of their variance between classes.

    Parameters
    ----------
    ranks : ndarray of float, shape (orders, n)
        Not all equal.
    members : ndarray of int, shape (n,)
        Class of each column, 0 for the first.
    sizes : ndarray of int, shape (classes,)
        Members of each class.
    """
    n = ranks.shape[1]
    centred = ranks - (n + 1) / 2
    sums = centred @ np.eye(len(sizes))[members]
    between: NDArray[np.float64] = (sums**2 / sizes).sum(axis=1)
    total: NDArray[np.float64] = (centred**2).sum(axis=1)
    h: NDArray[np.float64] = (n - 1) * between / total
    return h


def is_share(profile: Profile) -> bool:
    """Return whether a quantity has no unit and all its intervals lie within 0 and 1, as those of shares do."""
    low, high = (bound[np.isfinite(bound)] for bound in (profile.low, profile.high))
    return profile.unit == "1" and bool(low.size and high.size and (low >= 0).all() and (high <= 1).all())


def group_mean(name: str, values: NDArray[np.float64], share: bool = False) -> GroupMean:
    """Return the mean of one class with its 95 % Student interval, which is NaN of a single value.

    The interval of a ``share`` ends at 0 and at 1: what lies beyond is impossible, and without it the interval holds
    the true mean as often.
    """
    n, mean = len(values), float(values.mean())
    if n < 2:
        return GroupMean(name, n, mean, math.nan, math.nan)
    half = float(student_t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    low, high = mean - half, mean + half
    return GroupMean(name, n, mean, max(low, 0.0) if share else low, min(high, 1.0) if share else high)


def make(settings: GroupsSettings, runtime: Runtime) -> GroupsRelation:
    """Make the relation for a recipe."""
    return GroupsRelation(settings, runtime.seed)
