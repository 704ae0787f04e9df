"""How quantities go with a measured property: the points, both along x, and what several together predict."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cemi_core.model.result import Profile, PropertyTable, Relation
from cemi_report.figures import ACCENT, MUTED, SECOND, drawn, encode, new_figure, short
from cemi_report.map_figures import draw_profile, profile_axis
from cemi_report.numbers import correlation_text, fixed, label_with_unit


def _points(axes: Axes, relation: Relation) -> None:
    """Draw the points, with bars where the intervals of quantity or property are known."""
    axes.errorbar(
        relation.quantity_values,
        relation.property_values,
        xerr=relation.quantity_half,
        yerr=relation.property_half,
        linestyle="none",
        marker="o",
        markersize=4.5,
        color=ACCENT,
        ecolor=MUTED,
        elinewidth=0.6,
        alpha=0.8,
        markeredgewidth=0,
    )


def _scatter(axes: Axes, relation: Relation, label: str) -> None:
    x, y = relation.quantity_values, relation.property_values
    both = np.isfinite(x) & np.isfinite(y)
    _points(axes, relation)
    if both.sum() > 2 and np.ptp(x[both]) > 0:
        slope, offset = np.polyfit(x[both] - x[both].mean(), y[both], 1)
        ends = np.array([x[both].min(), x[both].max()])
        axes.plot(ends, slope * (ends - x[both].mean()) + offset, color=MUTED, linewidth=1, linestyle="--")
    axes.set_title(
        f"{relation.measure} = {correlation_text(relation.r, relation.low, relation.high)}\n"
        f"{relation.n} points worth {relation.n_effective:.1f} independent ones",
        fontweight="normal",
    )
    axes.set_xlabel(short(label, 44))
    axes.set_ylabel(short(relation.property_name, 44))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid()
    axes.set_axisbelow(True)


def _overlay(axes: Axes, profile: Profile, table: PropertyTable, pixel_size_um: float | None) -> None:
    x, unit = profile_axis(profile, pixel_size_um)
    draw_profile(axes, profile, x)
    axes.set_xlabel(f"x ({unit})")
    axes.set_ylabel(short(label_with_unit(profile.label, profile.unit), 44), color=ACCENT)
    axes.tick_params(axis="y", labelcolor=ACCENT)
    axes.grid(axis="x")
    draw_property(axes, table, unit)
    axes.set_title("Along x", fontweight="normal")


def draw_property(axes: Axes, table: PropertyTable, unit: str, longest: int = 44) -> Axes:
    """Draw a property over a profile, with an axis of its own on the right; ``unit`` is that of the axis along x."""
    other = axes.twinx()
    scale = 1e-3 if unit == "mm" else 1.0
    order = np.argsort(table.x_um)
    other.plot(
        table.x_um[order] * scale,
        table.value[order],
        color=SECOND,
        linewidth=0.8,
        marker="s",
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    other.set_ylabel(short(table.name, longest), color=SECOND)
    other.tick_params(axis="y", labelcolor=SECOND)
    other.spines["right"].set_visible(True)
    return other


def matching_profile(relation: Relation, profiles: tuple[Profile, ...]) -> Profile | None:
    """Return the profile that a relation speaks of, by name or label."""
    named = (p for p in profiles if relation.quantity in (p.name, p.label) and np.isfinite(p.value).any())
    return next(named, None)


@drawn
def relation_figure(
    relation: Relation,
    profiles: tuple[Profile, ...] = (),
    table: PropertyTable | None = None,
    pixel_size_um: float | None = None,
) -> bytes | None:
    """Draw property against quantity with r and its interval, and both along x, as PNG; None without points."""
    if not (np.isfinite(relation.quantity_values) & np.isfinite(relation.property_values)).any():
        return None
    profile = matching_profile(relation, profiles)
    along = profile is not None and table is not None and np.isfinite(table.value).any()
    figure = new_figure(3.5, 10.0 if along else 5.0)
    if along and profile is not None and table is not None:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
        _overlay(right, profile, table, pixel_size_um)
    else:
        left = figure.add_subplot()
    label = label_with_unit(profile.label, profile.unit) if profile is not None else relation.quantity
    _scatter(left, relation, label)
    return encode(figure)


@drawn
def prediction_figure(relation: Relation) -> bytes | None:
    """Draw a property against what several quantities predict of it, with intervals, as PNG; None if they do not."""
    predicted, measured = relation.quantity_values, relation.property_values
    both = np.isfinite(predicted) & np.isfinite(measured)
    if not both.any():
        return None
    figure = new_figure(3.5, 5.0)
    axes = figure.add_subplot()
    _points(axes, relation)
    axes.axline((float(measured[both].mean()),) * 2, slope=1, color=MUTED, linewidth=1, linestyle="--")
    axes.set_title(f"R² = {fixed(relation.r, 2)}, Q² = {fixed(relation.q2, 2)}", fontweight="normal")
    axes.set_xlabel(short(f"{relation.property_name}, predicted", 44))
    axes.set_ylabel(short(f"{relation.property_name}, measured", 44))
    axes.grid()
    axes.set_axisbelow(True)
    return encode(figure)
