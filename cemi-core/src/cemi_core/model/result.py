"""Results: what an analyzer says about a mosaic, always with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.classes import ClassLabel
from cemi_core.model.layers import Layer
from cemi_core.model.objects import Objects


@dataclass(frozen=True)
class GridMap:
    """One quantity on the grid: a value per cell with a lower and an upper bound.

    Attributes
    ----------
    name : str
        Short identifier, lower case with underscores: ``"bcc_fraction"``.
    label : str
        Words for a figure: ``"BCC fraction"``.
    unit : str
        ``"1"`` for a fraction, ``"um"``, ...; ``"deg"`` for the direction of lines, which repeats after 180.
    value, low, high : ndarray of float, shape (rows, columns)
        Value and 95 % interval; NaN where it could not be measured.
    systematic : ndarray of float, shape (rows, columns), optional
        The 95 % half-width of that part of the interval which cells share, because the method, a threshold or a model
        is off in all of them alike: the mean of many cells keeps it. It is part of ``low`` and ``high`` already. None
        where nothing is known to be shared.
    reasons : tuple of str
        Why cells have no value, each reason once: ``("out of focus", "no two phases")``.
    reason_of : ndarray of int, shape (rows, columns), optional
        Index into ``reasons`` of each cell; -1 where there is none.

    Examples
    --------
    >>> one = np.array([[0.3, np.nan]])
    >>> share = GridMap("bcc_fraction", "BCC fraction", "1", one, one - 0.1, one + 0.1, reasons=("out of focus",),
    ...                 reason_of=np.array([[-1, 0]]))
    >>> share.reason(0, 1)
    'out of focus'
    """

    name: str
    label: str
    unit: str
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    systematic: NDArray[np.float64] | None = None
    reasons: tuple[str, ...] = ()
    reason_of: NDArray[np.int64] | None = None

    def reason(self, row: int, column: int) -> str:
        """Return why a cell has no value; empty if that is not said."""
        index = -1 if self.reason_of is None else int(self.reason_of[row, column])
        return self.reasons[index] if index >= 0 else ""


@dataclass(frozen=True)
class ClassMap:
    """A class for each cell of the grid, with its legend.

    Attributes
    ----------
    name : str
        Short identifier, lower case with underscores: ``"microstructure"``.
    label : str
        Words for a figure: ``"Kind of microstructure"``.
    classes : tuple of ClassLabel
        The legend.
    value : ndarray of int, shape (rows, columns)
        Index into ``classes``; -1 where the cell could not be told.
    confidence : ndarray of float, shape (rows, columns)
        How sure that is, 0 to 1; NaN where it is not said.
    """

    name: str
    label: str
    classes: tuple[ClassLabel, ...]
    value: NDArray[np.int64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """A small table for the report: column heads and rows of plain values."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Result:
    """What an analyzer found on a whole mosaic.

    Attributes
    ----------
    analyzer : str
        Name of the plugin.
    maps : tuple of GridMap
        The first one is the analyzer's main quantity. Empty for one that gives objects, classes or layers alone.
    tables : tuple of Table
    overlays : mapping of str to ndarray
        Small pictures (h, w) or (h, w, 3), uint8, that show what was measured.
    notes : tuple of str
        Sentences for the report: how the number was computed, what to mistrust.
    objects : tuple of Objects
        What was found one by one, each once; maps of their number and size are made from them.
    classes : tuple of ClassMap
    layers : tuple of Layer
        What was said of every pixel; filled in by the engine from the layers that the analyzer declares.
    """

    analyzer: str
    maps: tuple[GridMap, ...] = ()
    tables: tuple[Table, ...] = ()
    overlays: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    objects: tuple[Objects, ...] = ()
    classes: tuple[ClassMap, ...] = ()
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One number with a 95 % interval: what ``Analyzer.measure(image)`` returns for a single picture.

    Attributes
    ----------
    name, unit : str
    value, low, high : float
        NaN where it could not be measured.
    extra : mapping of str to float
        Further named quantities, in the unit that their name carries (``"dark_width_um"``), with the bounds of their
        95 % intervals where these are known (``"dark_width_um_low"``, ``"dark_width_um_high"``).
    reason : str
        Why there is no value.
    notes : tuple of str
        How the number was computed, what was left out, what to mistrust.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    extra: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A quantity along x: the mean over y of a grid map, with a 95 % interval of that mean.

    Of images that stand alone it is the quantity of each image, with the interval of its own measurement.

    Attributes
    ----------
    name, label, unit : str
        As in the map.
    x_um : ndarray of float, shape (columns,)
        Centre of each column, micrometres (px where ``pixel_size_um`` is unknown); of images that stand alone, the
        number of the image, 1 for the first.
    value, low, high : ndarray of float, shape (columns,)
        NaN where a column has no measured cell. Where it has one, the interval is that of the cell.
    cells : ndarray of int, shape (columns,)
        Number of cells in each mean.
    independent : bool
        True if the points are images that stand alone: each counts fully, and nothing lies between two of them.
    systematic : ndarray of float, shape (columns,), optional
        As in the map: the 95 % half-width, part of ``low`` and ``high``, of what is off in all cells alike.
    """

    name: str
    label: str
    unit: str
    x_um: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cells: NDArray[np.int64]
    independent: bool = False
    systematic: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class PropertyTable:
    """A measured property, such as hardness, along x or at points of the mosaic: positions in micrometres and values.

    Attributes
    ----------
    name : str
    x_um : ndarray of float, shape (n,)
        Positions, micrometres; of a condition of images that stand alone, the numbers of the images, 1 for the first.
    value : ndarray of float, shape (n,)
        Values; or, with ``classes``, places in it.
    classes : tuple of str
        The words that a condition has instead of numbers (``("annealed", "quenched")``); empty for numbers.
    y_um : ndarray of float, shape (n,), or None
        Positions across, micrometres, down from the first row of the mosaic; None where only x is known.
    footprint_um : ndarray of float, shape (n,), or None
        Diameter of what each value averages over, such as an indent with the zone that it deforms, micrometres.
    notes : tuple of str
        Sentences for the report: what of the table could not be used.
    """

    name: str
    x_um: NDArray[np.float64]
    value: NDArray[np.float64]
    classes: tuple[str, ...] = ()
    y_um: NDArray[np.float64] | None = None
    footprint_um: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupMean:
    """The mean of a quantity over the images of one class.

    Attributes
    ----------
    name : str
        The class.
    n : int
        Number of images.
    mean, low, high : float
        Mean with its 95 % Student interval; the interval is NaN of one image.
    """

    name: str
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Relation:
    """How one quantity, or several together, go with a measured property.

    Attributes
    ----------
    quantity, property_name : str
        What was compared; of several together the names joined by " + ".
    r, low, high : float
        Pearson's r and its 95 % interval with the effective sample size; or another measure of strength, whose name is
        ``measure``, with NaN where it has no interval.
    p_value : float
        Two-sided, with the effective sample size.
    n, n_effective : float
        Number of points and the number of independent ones they are worth.
    x_um, quantity_values, property_values : ndarray of float, shape (n,)
        The points themselves; of several quantities together, ``quantity_values`` is the property that they predict
        for each point, from the points far from it.
    notes : tuple of str
    measure : str
        ``"r"``, or what ``r`` is instead: ``"epsilon squared"``, 0 (classes alike) to 1 (classes apart); ``"rho"``,
        Spearman's, and ``"partial r"``, -1 to 1; ``"R2"`` of several quantities together, 0 to 1.
    groups : tuple of GroupMean
        The classes, where classes were compared.
    verdict : str
        In one plain sentence what may be concluded; empty where the method does not say.
    p_holm, p_fdr : float
        ``p_value`` allowing for all the relations of its kind that were tried: Holm (Scand. J. Stat. 1979, 6, 65), and
        the false discovery rate (Benjamini and Hochberg, J. R. Stat. Soc. B 1995, 57, 289). NaN where not adjusted.
    ceiling : float
        The largest r that the scatter of both sides lets through, 0 to 1; NaN where neither scatter is known.
    disattenuated, disattenuated_low, disattenuated_high : float
        r over the ceiling, with its 95 % interval: what r would be without the scatter; NaN where unknown.
    q2 : float
        Of several quantities: the share of the property's variance that they predict at places far from those that the
        fit has seen; below 0 they predict worse than the mean. NaN where it cannot be told.
    quantities : tuple of str
        The quantities, where they are several together; empty for one.
    y_um : ndarray of float, shape (n,), or None
        The points across, where they are known.
    quantity_half, property_half : ndarray of float, shape (n,), or None
        Half-width of the 95 % interval of each point; NaN where unknown.
    """

    quantity: str
    property_name: str
    r: float
    low: float
    high: float
    p_value: float
    n: int
    n_effective: float
    x_um: NDArray[np.float64]
    quantity_values: NDArray[np.float64]
    property_values: NDArray[np.float64]
    notes: tuple[str, ...] = ()
    measure: str = "r"
    groups: tuple[GroupMean, ...] = ()
    verdict: str = ""
    p_holm: float = math.nan
    p_fdr: float = math.nan
    ceiling: float = math.nan
    disattenuated: float = math.nan
    disattenuated_low: float = math.nan
    disattenuated_high: float = math.nan
    q2: float = math.nan
    quantities: tuple[str, ...] = ()
    y_um: NDArray[np.float64] | None = None
    quantity_half: NDArray[np.float64] | None = None
    property_half: NDArray[np.float64] | None = None


def reasons_counted(grid_map: GridMap) -> str:
    """Return why cells have no value, the most frequent reason first: ``"out of focus (3), no two phases (1)"``."""
    if grid_map.reason_of is None:
        return ""
    counts = [int(np.count_nonzero(grid_map.reason_of == index)) for index in range(len(grid_map.reasons))]
    ranked = sorted(zip(counts, grid_map.reasons, strict=True), reverse=True)
    return ", ".join(f"{reason} ({count})" for count, reason in ranked if count)


def is_direction(unit: str) -> bool:
    """Return whether a quantity is the direction of lines: it repeats after 180 degrees and is not an amount."""
    return unit == "deg"


def has_budget(grid_map: GridMap) -> bool:
    """Return whether the mean of a map says something: it has a value somewhere, and is not the direction of lines."""
    return bool(np.isfinite(grid_map.value).any()) and not is_direction(grid_map.unit)


def turned_alike(value: NDArray[np.float64], unit: str, axis: int | None = None) -> NDArray[np.float64]:
    """Return values of which an ordinary mean and scatter along ``axis`` (all of them by default) can be taken.

    Directions of lines are turned by multiples of 180 degrees to within 90 of their common direction, the mean of the
    doubled angles (Mardia and Jupp, Directional Statistics, 2000, 1.3); other quantities are returned as they are.
    """
    if not is_direction(unit):
        return value
    doubled = np.radians(2 * value)
    sine, cosine = np.nansum(np.sin(doubled), axis, keepdims=True), np.nansum(np.cos(doubled), axis, keepdims=True)
    common = np.degrees(np.arctan2(sine, cosine)) / 2 % 180
    turned: NDArray[np.float64] = common + (value - common + 90) % 180 - 90
    return turned


def profile_of_frames(grid_map: GridMap) -> Profile:
    """Return a map of images that stand alone, shape (1, n), as a profile over their numbers (1 for the first)."""
    value = grid_map.value[0]
    return Profile(
        name=grid_map.name,
        label=grid_map.label,
        unit=grid_map.unit,
        x_um=np.arange(1.0, len(value) + 1),
        value=value,
        low=grid_map.low[0],
        high=grid_map.high[0],
        cells=np.isfinite(value).astype(np.int64),
        independent=True,
        systematic=None if grid_map.systematic is None else grid_map.systematic[0],
    )


def profile_along_x(grid_map: GridMap, x_um: Sequence[float]) -> Profile:
    """Return the mean over y of a map, with its 95 % interval.

    The interval is Student's over the cells of a column, whose scatter holds their noise and their sampling; with it,
    in quadrature, goes the mean of what the map says is off in all cells alike (`GridMap.systematic`), which no number
    of cells makes smaller. Cells of one column are taken as independent, which neighbouring ones are only roughly. A
    column with a single measured cell has the interval of that cell. Directions are averaged as `turned_alike` has it.
    """
    from scipy.stats import t as student_t

    value = turned_alike(grid_map.value, grid_map.unit, axis=0)
    measured = np.isfinite(value)
    cells = measured.sum(axis=0)
    mean = _mean_of(value, measured)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = np.where(measured, (value - mean) ** 2, 0.0).sum(axis=0)
        error = np.where(cells > 1, np.sqrt(squares / (cells - 1) / cells), np.nan)
    half = student_t.ppf(0.975, np.maximum(cells - 1, 1)) * error
    systematic = None if grid_map.systematic is None else _mean_of(grid_map.systematic, measured)
    if systematic is not None:
        half = np.hypot(half, np.nan_to_num(systematic))
    below, above = (np.abs(_mean_of(bound - grid_map.value, measured)) for bound in (grid_map.low, grid_map.high))
    return Profile(
        name=grid_map.name,
        label=grid_map.label,
        unit=grid_map.unit,
        x_um=np.asarray(x_um, dtype=np.float64),
        value=mean,
        low=mean - np.where(cells == 1, below, half),
        high=mean + np.where(cells == 1, above, half),
        cells=cells.astype(np.int64),
        systematic=systematic,
    )


def _mean_of(values: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean over y of the cells that are used; NaN in a column without any."""
    cells = used.sum(axis=0)
    mean: NDArray[np.float64] = np.where(used, values, 0.0).sum(axis=0) / np.where(cells > 0, cells, np.nan)
    return mean
