"""Where a property was measured, and what each quantity is there: repeats averaged, maps averaged under each indent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.stats import t as student_t

from cemi_analyze.relation.footprint import cells_under, mean_under, without_shared
from cemi_analyze.relation.known_length import KnownLength, note_on_length
from cemi_core.errors import InputError
from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.result import Profile, PropertyTable, Relation, is_direction
from cemi_core.model.settings import PositiveLengthUm, Settings
from cemi_core.model.units import format_length
from cemi_core.numeric.significance import NORMAL_975

#: An indent 5 um deep with the zone that it deforms (Lang et al. 2025).
DEFAULT_FOOTPRINT_UM = 35.0
#: Indents so near to each other are at the same place, um: rounding in a table.
_SAME_PLACE_UM = 1e-6
#: Repeats tell their scatter only if there are so many more indents than places.
_MIN_SPARE_REPEATS = 3


class PlaceSettings(Settings):
    """Where a property was measured."""

    footprint: PositiveLengthUm | None = Field(
        None,
        description="Diameter that an indent averages over, with the zone that it deforms; by default the table's "
        f"column footprint_um, or {DEFAULT_FOOTPRINT_UM:.0f} um. It needs y in the table.",
    )
    repeats_within: PositiveLengthUm | None = Field(
        None,
        description="Indents within this distance are repeats of one place: they are averaged, and their scatter is "
        "the property's own. By default those at the same position.",
    )
    known_length: KnownLength | None = Field(
        None, description="A known length to check the scale by: {value: 28 mm, tolerance: 0.5 mm}."
    )


@dataclass(frozen=True)
class Places:
    """Where a property was measured, each place once.

    Attributes
    ----------
    name : str
        The property.
    position_um : ndarray of float, shape (n,) or (n, 2)
        x, or (x, y), micrometres; numbers of images that stand alone.
    value : ndarray of float, shape (n,)
        Mean of the repeats.
    error : ndarray of float, shape (n,)
        Standard error of that mean from the scatter of all repeats; NaN where nothing was repeated often enough.
    degrees : int
        Degrees of freedom of that scatter.
    share_of : csr_array, shape (n, indents)
        Weight of each line of the table in each place; rows sum to 1.
    independent : bool
        Images that stand alone.
    notes : tuple of str
    where : str
        What they must lie in to be related, for messages: ``"the profile"``.
    extent : str
        How far that reaches, for messages.
    """

    name: str
    position_um: NDArray[np.float64]
    value: NDArray[np.float64]
    error: NDArray[np.float64]
    degrees: int
    share_of: csr_array
    independent: bool
    notes: tuple[str, ...]
    where: str = "the profile"
    extent: str = ""

    @property
    def x_um(self) -> NDArray[np.float64]:
        """Positions along x."""
        return self.position_um if self.position_um.ndim == 1 else self.position_um[:, 0]

    @property
    def y_um(self) -> NDArray[np.float64] | None:
        """Positions across, where they are known."""
        return None if self.position_um.ndim == 1 else self.position_um[:, 1]

    @property
    def half(self) -> NDArray[np.float64]:
        """Half-width of the 95 % interval of each value; NaN where unknown."""
        return float(student_t.ppf(0.975, max(self.degrees, 1))) * self.error

    def too_few(self, measured: int, needed: int) -> str:
        """Return a sentence for a user whose property lies at fewer than ``needed`` measured places."""
        if self.independent:
            return (
                f"'{self.name}' is known of {len(self.value)} images, and at most {measured} of them could be "
                f"measured; a correlation needs at least {needed}"
            )
        return (
            f"the property '{self.name}' has fewer than {needed} positions within {self.where} ({self.extent}): check "
            "the unit of its positions (micrometres)"
        )


@dataclass(frozen=True)
class Series:
    """One quantity at the places of a property.

    Attributes
    ----------
    name : str
    value, error : ndarray of float, shape (n,)
        Value and standard error of what differs from place to place; NaN where unknown.
    """

    name: str
    value: NDArray[np.float64]
    error: NDArray[np.float64]

    @property
    def half(self) -> NDArray[np.float64]:
        """Half-width of the 95 % interval of each value."""
        return NORMAL_975 * self.error


def places_of(table: PropertyTable, repeats_within_um: float | None = None, independent: bool = False) -> Places:
    """Return the places of a property, sorted along x, repeats averaged.

    Raises
    ------
    InputError
        Positions and values differ in number, or nothing in the table is finite.
    """
    columns = [table.x_um, table.value, *([] if table.y_um is None else [table.y_um])]
    arrays = [np.asarray(column, np.float64) for column in columns]
    if arrays[0].ndim != 1 or any(array.shape != arrays[0].shape for array in arrays):
        raise InputError(
            f"the property '{table.name}' needs one value per position, not {arrays[0].shape} positions and "
            f"{' and '.join(str(array.shape) for array in arrays[1:])} values"
        )
    finite = np.asarray(np.isfinite(np.stack(arrays)).all(axis=0))
    if not finite.any():
        raise InputError(f"the property '{table.name}' has no finite value")
    x, value = arrays[0][finite], arrays[1][finite]
    position = x if table.y_um is None else np.column_stack([x, arrays[2][finite]])
    group = np.arange(len(x)) if independent else _groups(position, repeats_within_um or _SAME_PLACE_UM)
    count = np.bincount(group)
    sizes = csr_array((1 / count[group], (group, np.flatnonzero(finite))), shape=(len(count), len(finite)))
    mean_position = np.stack([np.bincount(group, column) / count for column in np.atleast_2d(position.T)], axis=-1)
    mean = np.bincount(group, value) / count
    degrees = len(value) - len(count)
    scatter = math.nan
    if degrees >= _MIN_SPARE_REPEATS:
        scatter = math.sqrt(float(np.sum((value - mean[group]) ** 2)) / degrees)
    order = np.lexsort(mean_position.T[::-1])
    notes = [*table.notes]
    if degrees:
        notes.append(
            f"{len(value)} values of '{table.name}' lie at {len(count)} places; repeats were averaged"
            + (f", and scatter by {scatter:.3g} (standard deviation)" if math.isfinite(scatter) else "")
        )
    return Places(
        name=table.name,
        position_um=mean_position[order, 0] if table.y_um is None else mean_position[order],
        value=mean[order],
        error=scatter / np.sqrt(count[order]),
        degrees=degrees,
        share_of=sizes[order],
        independent=independent,
        notes=tuple(notes),
    )


def _groups(position: NDArray[np.float64], within_um: float) -> NDArray[np.int64]:
    """Return the place of each indent: no two of one place are farther apart than ``within_um``."""
    if len(position) < 2:
        return np.zeros(len(position), np.int64)
    tree = linkage(position.reshape(len(position), -1), "complete")
    return np.asarray(fcluster(tree, within_um, "distance"), np.int64) - 1


def series_of_profiles(
    profiles: Sequence[Profile], table: PropertyTable, settings: PlaceSettings
) -> tuple[Places, list[Series]]:
    """Return the places of a property, and each profile there; directions are left out, since they are not amounts.

    Raises
    ------
    InputError
        All places lie within one column of the grid, or the table is not a table.
    """
    independent = any(profile.independent for profile in profiles)
    places = places_of(replace(table, y_um=None), settings.repeats_within, independent)
    amounts = [profile for profile in profiles if not is_direction(profile.unit)]
    _require_extent(places, amounts)
    extent = _extent(amounts[0]) if amounts else "no profile"
    return replace(places, extent=extent), [_profile_series(profile, places) for profile in amounts]


def series_of_maps(
    measured: MeasuredMaps, table: PropertyTable, settings: PlaceSettings
) -> tuple[Places, list[Series]]:
    """Return the places of a property and each quantity there: of the map under the indents, or of the profile.

    Raises
    ------
    InputError
        The table is not a table, no place lies on the mosaic, or a footprint is given and y is not.
    """
    if table.y_um is None:
        if settings.footprint is not None:
            raise InputError("'footprint' needs the place of each indent across; give 'y' in the recipe")
        places, series = series_of_profiles(measured.profiles, table, settings)
    else:
        height, width = (format_length(side) for side in measured.extent_um)
        places = places_of(table, settings.repeats_within)
        places = replace(places, where="the mosaic or on cells without a value", extent=f"{width} x {height}")
        series = _maps_at_places(measured, table, places, settings.footprint)
    if settings.known_length is not None:
        places = replace(places, notes=(*places.notes, note_on_length(measured, settings.known_length)))
    return places, series


def noted(relations: tuple[Relation, ...], places: Places) -> tuple[Relation, ...]:
    """Return relations of which the first one holds what is to be said of the places."""
    if not relations:
        return relations
    return replace(relations[0], notes=(*places.notes, *relations[0].notes)), *relations[1:]


def to_unit_size(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values divided by the largest: no correlation changes, and no square over- or underflows."""
    largest = float(np.max(np.abs(values), initial=0.0))
    return values / largest if largest > 0 else values


def _extent(profile: Profile) -> str:
    known = profile.x_um[np.isfinite(profile.value)]
    return f"{known[0]:.6g} to {known[-1]:.6g} um" if len(known) else "no measured value"


def _require_extent(places: Places, profiles: Sequence[Profile]) -> None:
    along = [profile for profile in profiles if not profile.independent]
    steps = [float(np.median(np.diff(profile.x_um))) for profile in along if len(profile.x_um) > 1]
    x_um = places.x_um
    if steps and len(x_um) > 1 and np.ptp(x_um) < min(steps):
        raise InputError(
            f"all positions of the property '{places.name}' lie within one column of the grid ({x_um[0]:.6g} to "
            f"{x_um[-1]:.6g} um): check their unit (micrometres)"
        )


def _profile_series(profile: Profile, places: Places) -> Series:
    half = without_shared((profile.high - profile.low) / 2, profile.systematic)
    # the mean of several cells has a Student interval over them, and a single cell its own
    several = (profile.cells > 1) & (not profile.independent)
    quantile = np.where(several, student_t.ppf(0.975, np.maximum(profile.cells - 1, 1)), NORMAL_975)
    error = half / quantile
    value, errors = (
        np.asarray(_interpolated(profile, series, places.x_um), np.float64) for series in (profile.value, error)
    )
    return Series(profile.name, value, errors)


def profile_at(profile: Profile, x_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a profile's value at other positions by linear interpolation; NaN beyond half a step of its ends.

    Of images that stand alone, the value of the image with that number: there is nothing between them.
    """
    return _interpolated(profile, profile.value, x_um)


def _interpolated(profile: Profile, series: NDArray[np.float64], x_um: NDArray[np.float64]) -> NDArray[np.float64]:
    if profile.independent:
        of_number = dict(zip(profile.x_um.tolist(), series.tolist(), strict=True))
        return np.array([of_number.get(number, np.nan) for number in x_um.tolist()], np.float64)
    known = np.isfinite(profile.value)
    x, value = profile.x_um[known], series[known]
    if not len(x):
        return np.full(len(x_um), np.nan)
    half_step = 0.5 * float(np.median(np.diff(profile.x_um))) if len(profile.x_um) > 1 else 0.0
    inside = (x_um >= x[0] - half_step) & (x_um <= x[-1] + half_step)
    return np.where(inside, np.interp(x_um, x, value), np.nan)


def _maps_at_places(
    measured: MeasuredMaps, table: PropertyTable, places: Places, footprint_um: float | None
) -> list[Series]:
    """Return the mean of each map under the indents of each place; directions are left out.

    Raises
    ------
    InputError
        No indent touches the mosaic.
    """
    assert table.y_um is not None
    given = table.footprint_um
    diameter = np.full(len(table.x_um), footprint_um or DEFAULT_FOOTPRINT_UM)
    if footprint_um is None and given is not None:
        diameter = np.asarray(given, np.float64)
    finite = np.isfinite(np.stack([table.x_um, table.y_um, diameter])).all(axis=0)
    x, y = (np.where(finite, series, -1e12) for series in (table.x_um, table.y_um))
    shares = cells_under(measured.grid, measured.pixel_size_um, x, y, np.where(finite, diameter, 1.0))
    if not shares.nnz:
        height, width = measured.extent_um
        raise InputError(
            f"no position of the property '{table.name}' lies on the mosaic, which is {format_length(width)} x "
            f"{format_length(height)}: check the unit of its positions (x {_range(table.x_um)}, y {_range(table.y_um)})"
        )
    of_places = csr_array(places.share_of @ shares)
    return [
        Series(grid_map.name, *mean_under(grid_map, of_places))
        for grid_map in measured.maps
        if not is_direction(grid_map.unit)
    ]


def _range(values: NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    return f"{known.min():.6g} to {known.max():.6g} um" if len(known) else "unknown"
