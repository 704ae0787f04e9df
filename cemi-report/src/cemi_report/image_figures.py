"""Quantities of images that stand alone: of each image, against a condition, and class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cemi_core.model.result import GridMap, Profile, Relation, is_direction
from cemi_report.figures import ACCENT, INK, MUTED, SECOND, drawn, encode, new_figure, short
from cemi_report.numbers import correlation_text, label_with_unit, p_value_text

#: Up to so many images have their names on the axis.
_MAX_NAMED = 24
#: Width of an interval's horizontal spread between images of one class, in units of the axis.
_SPREAD = 0.22


@drawn
def images_figure(grid_map: GridMap, names: Sequence[str]) -> bytes | None:
    """Draw the value of each image with its 95 % interval, as PNG; None where no image was measured.

    Parameters
    ----------
    grid_map : GridMap
        Shape (1, images).
    names : sequence of str
        Name of each image.
    """
    value, low, high = grid_map.value[0], grid_map.low[0], grid_map.high[0]
    if not np.isfinite(value).any():
        return None
    number = np.arange(1, len(value) + 1)
    named = len(value) <= _MAX_NAMED
    figure = new_figure(4.0 if named else 3.2)
    axes = figure.add_subplot()
    _points(axes, number, value % 180 if is_direction(grid_map.unit) else value, low, high)
    for place in number[~np.isfinite(value)]:
        axes.axvline(place, color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_xlim(0.3, len(value) + 0.7)
    if named:
        axes.set_xticks(number, [short(name, 26) for name in names], rotation=35, ha="right")
    else:
        axes.set_xlabel("number of the image")
    axes.set_title(short(label_with_unit(grid_map.label, grid_map.unit), 90))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return encode(figure)


@drawn
def condition_figure(relation: Relation, profile: Profile | None) -> bytes | None:
    """Draw a quantity against a condition, or class by class, as PNG; None without points."""
    known = np.isfinite(relation.quantity_values) & np.isfinite(relation.property_values)
    if not known.any():
        return None
    figure = new_figure(3.9)
    axes = figure.add_subplot()
    low, high = _intervals(relation, profile)
    label = label_with_unit(profile.label, profile.unit) if profile is not None else relation.quantity
    if relation.groups:
        _classes(axes, relation, low, high)
    else:
        _points(axes, relation.property_values, relation.quantity_values, low, high)
        _line(axes, relation.property_values[known], relation.quantity_values[known])
        axes.set_title(f"r = {correlation_text(relation.r, relation.low, relation.high)}, {relation.n} images")
    axes.set_xlabel(short(relation.property_name, 60))
    axes.set_ylabel(short(label, 44))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return encode(figure)


def _intervals(relation: Relation, profile: Profile | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of each point of a relation, as the images were measured; NaN where it is unknown."""
    unknown = np.full(len(relation.x_um), np.nan)
    if profile is None:
        return unknown, unknown
    place = {number: index for index, number in enumerate(profile.x_um.tolist())}
    indices = [place.get(number) for number in relation.x_um.tolist()]
    low = np.array([np.nan if i is None else profile.low[i] for i in indices], np.float64)
    high = np.array([np.nan if i is None else profile.high[i] for i in indices], np.float64)
    return low, high


def _points(
    axes: Axes,
    x: NDArray[np.generic],
    y: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    sure = np.isfinite(low) & np.isfinite(high)
    axes.vlines(x[sure], low[sure], high[sure], color=ACCENT, alpha=0.45, linewidth=1.6)
    axes.plot(x, y, linestyle="none", marker="o", markersize=5, color=ACCENT)


def _line(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    if len(x) > 2 and np.ptp(x) > 0:
        slope, offset = np.polyfit(x - x.mean(), y, 1)
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, slope * (ends - x.mean()) + offset, color=MUTED, linewidth=1, linestyle="--")


def _classes(axes: Axes, relation: Relation, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    numbers = np.unique(relation.property_values)
    for place, (number, group) in enumerate(zip(numbers, relation.groups, strict=True)):
        own = relation.property_values == number
        shift = np.linspace(-_SPREAD, _SPREAD, own.sum()) if own.sum() > 1 else np.zeros(1)
        _points(axes, place + shift, relation.quantity_values[own], low[own], high[own])
        axes.hlines(group.mean, place - 0.36, place + 0.36, color=SECOND, linewidth=2)
        if np.isfinite(group.low):
            axes.fill_between(
                [place - 0.36, place + 0.36], group.low, group.high, color=SECOND, alpha=0.15, linewidth=0
            )
    axes.set_xticks(range(len(numbers)), [f"{short(group.name, 20)}\n{group.n}" for group in relation.groups])
    axes.set_xlim(-0.6, len(numbers) - 0.4)
    axes.set_title(f"{relation.measure} = {relation.r:.2f}, p {p_value_text(relation.p_value)}", color=INK)
