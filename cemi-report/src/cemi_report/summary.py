"""The run in plain words: what came out, how sure it is, and what to mistrust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.layout import Layout
from cemi_core.model.result import GridMap, Relation, has_budget, turned_alike
from cemi_core.model.units import format_length
from cemi_core.numeric.fields import strip_mean_interval
from cemi_report.check_section import check_doubts
from cemi_report.denoising_section import denoising_doubts
from cemi_report.numbers import correlation_text, count_text, fixed, p_value_text, value_text
from cemi_report.quality_section import quality_doubts, score_text
from cemi_report.reasons import kept_mask, pair_residuals_px

#: Above this p a relation counts as chance.
_MAX_P = 0.05


@dataclass(frozen=True)
class MapMean:
    """The mean of a map over its measured cells, with a 95 % interval; NaN where it cannot be told."""

    value: float
    low: float
    high: float
    measured: int
    cells: int


@dataclass(frozen=True)
class Fact:
    """One line of the summary: what, how much, and what to know about it."""

    label: str
    value: str
    remark: str = ""


def map_mean(grid_map: GridMap) -> MapMean:
    """Return the mean over the measured cells with its interval from up to ten strips of the map.

    See `cemi_core.numeric.fields.strip_mean_interval`. A single measured cell keeps its own interval.
    """
    value = turned_alike(grid_map.value, grid_map.unit)
    own = np.isfinite(value)
    measured, cells = int(own.sum()), int(value.size)
    if measured == 1:
        return MapMean(float(value[own][0]), float(grid_map.low[own][0]), float(grid_map.high[own][0]), 1, cells)
    found = strip_mean_interval(value)
    return MapMean(found.value, found.low, found.high, measured, cells)


def mean_of(data: FinishedRun, grid_map: GridMap) -> MapMean:
    """Return the mean of a map with the expanded uncertainty of its budget; `map_mean` where a run has none."""
    with_values = [m for result in data.results for m in result.maps if has_budget(m)]
    for own, budget in zip(with_values, data.budgets, strict=False):
        if own is grid_map and np.isfinite(budget.expanded):
            low, high = budget.value - budget.expanded, budget.value + budget.expanded
            return MapMean(budget.value, low, high, budget.measured, budget.cells)
    return map_mean(grid_map)


def strongest(relations: tuple[Relation, ...]) -> Relation | None:
    """Return the relation with the largest absolute r, of single quantities if there are any; None without any."""
    defined = [relation for relation in relations if np.isfinite(relation.r)]
    defined = [relation for relation in defined if not relation.quantities] or defined
    return max(defined, key=lambda relation: abs(relation.r), default=None)


def strength_text(relation: Relation) -> str:
    """Return how strong a relation is, with the name of the measure: ``"r = +0.63 (+0.21 to +0.85)"``."""
    if relation.measure == "r" or np.isfinite(relation.low):
        return f"{relation.measure} = {correlation_text(relation.r, relation.low, relation.high)}"
    return f"{relation.measure} = {fixed(relation.r, 2)}"


def _relation_doubts(best: Relation, tried: int) -> list[str]:
    """Return a sentence if the strongest relation is not established, or was picked out of many."""
    nothing = f"No relation to {best.property_name} is established"
    if best.quantities:
        shown = best.q2 > 0 and best.p_holm < _MAX_P
        return [] if shown else [f"{nothing}: {best.verdict}" if best.verdict else f"{nothing}."]
    if best.groups and not best.p_value < _MAX_P:
        return [f"{nothing}: p of the strongest one is above {_MAX_P}."]
    if not best.groups and not (best.low > 0 or best.high < 0):
        return [f"{nothing}: the interval of the strongest one includes zero."]
    if best.p_holm >= _MAX_P:
        return [
            f"{nothing}: p of the strongest one is {p_value_text(best.p_holm)} where all {tried} quantities that were "
            "tried are allowed for (Holm)."
        ]
    if tried > 1:
        adjusted = f"; its p does so, {p_value_text(best.p_holm)} (Holm)" if np.isfinite(best.p_holm) else ""
        return [
            f"The strongest of {tried} relations was picked after looking at all of them; its interval does not allow "
            f"for that choice{adjusted}."
        ]
    return []


def _size_text(shape: tuple[int, int], pixel_size_um: float | None) -> str:
    height, width = shape
    pixels = f"{width:,} × {height:,} px"
    if not pixel_size_um:
        return pixels
    sides = (format_length(side * pixel_size_um).replace("um", "µm") for side in (width, height))
    return f"{pixels} = {' × '.join(sides)}"


def _picture_facts(data: FinishedRun) -> list[Fact]:
    facts = []
    shape = data.mosaic.shape if data.mosaic is not None else data.layout.mosaic_shape if data.layout else None
    if shape is not None:
        size = data.pixel_size_um
        remark = (
            f"{format_length(size).replace('um', 'µm')} per pixel" if size else "pixel size unknown: lengths are in px"
        )
        facts.append(Fact("Sheet" if data.separate else "Picture", _size_text(shape, size), remark))
    if data.frames or data.dropped:
        lost = sum(entry.frames for entry in data.dropped)
        dropped = f"{count_text(lost, 'frame')} left out" if lost else "none left out"
        facts.append(Fact("Images" if data.separate else "Frames", f"{len(data.frames):,} used", dropped))
    return facts


def _placement_facts(layout: Layout) -> list[Fact]:
    kept = kept_mask(layout)
    facts = [Fact("Pairs", f"{kept.sum():,} kept", f"{(~kept).sum():,} rejected")]
    residual = pair_residuals_px(layout)[kept] if kept.any() else np.empty(0)
    if residual.size:
        median, upper = np.percentile(residual, (50, 95))
        facts.append(Fact("Residual", f"{median:.2f} px median", f"95 % of the pairs below {upper:.2f} px"))
    components = int(np.unique(layout.component).size)
    prior = int(layout.placed_by_prior.sum())
    facts.append(
        Fact(
            "Components",
            f"{components:,}",
            f"{count_text(prior, 'frame')} placed by the stage motion alone"
            if prior
            else "every frame placed by measured pairs",
        )
    )
    return facts


def _result_facts(data: FinishedRun) -> list[Fact]:
    facts = []
    for result in data.results:
        if not result.maps:
            continue
        mean = mean_of(data, result.maps[0])
        cells = f"mean of {mean.measured:,} of {count_text(mean.cells, 'image' if data.separate else 'cell')}"
        text = value_text(mean.value, mean.low, mean.high, result.maps[0].unit)
        facts.append(Fact(result.maps[0].label, text, f"{cells}; {result.analyzer}"))
    best = strongest(tuple(data.relations))
    if best is not None:
        points = f"{best.n} images" if data.separate else f"{best.n} points worth {best.n_effective:.1f}"
        remark = (
            f"{data.quantity_label(best.quantity)} with {best.property_name}; {points}, p {p_value_text(best.p_value)}"
        )
        facts.append(Fact("Strongest relation", strength_text(best), remark))
    return facts


def facts(data: FinishedRun) -> list[Fact]:
    """Return the lines of the summary box."""
    placement = _placement_facts(data.layout) if data.layout is not None and not data.separate else []
    if data.quality is not None:
        placement.append(Fact("Stitching quality", score_text(data.quality), "share of the overlaps that agree"))
    return [*_picture_facts(data), *placement, *_result_facts(data)]


def _placement_doubts(layout: Layout) -> list[str]:
    doubts = []
    kept, count = kept_mask(layout), len(layout)
    prior = int(layout.placed_by_prior.sum())
    if count > 1 and not kept.any():
        doubts.append("No pair of frames was kept: every frame lies where the stage motion or the source put it.")
    elif prior:
        doubts.append(
            f"{prior:,} of {count_text(count, 'frame')} {'is' if prior == 1 else 'are'} placed by the stage motion "
            "alone (hatched under Placement): the picture may be torn or doubled there."
        )
    components = int(np.unique(layout.component).size)
    if kept.any() and components > 1 and not prior:
        doubts.append(
            f"The frames fall into {components:,} groups that no kept pair joins; distances between groups are not "
            "measured."
        )
    residual = pair_residuals_px(layout)[kept] if kept.any() else np.empty(0)
    if residual.size and float(np.median(residual)) > 1:
        doubts.append(
            f"The median residual of the pairs is {np.median(residual):.1f} px: expect doubled edges where frames "
            "overlap."
        )
    return doubts


def _number_doubts(data: FinishedRun) -> list[str]:
    doubts = []
    for result in data.results:
        for grid_map in result.maps[:1]:
            mean = map_mean(grid_map)
            if mean.measured * 2 < mean.cells:
                doubts.append(
                    f"{grid_map.label}: only {mean.measured:,} of "
                    f"{count_text(mean.cells, 'image' if data.separate else 'cell')} could be measured."
                )
    best = strongest(tuple(data.relations))
    if best is not None:
        doubts += _relation_doubts(best, sum(not relation.quantities for relation in data.relations))
    if best is not None and data.separate:
        doubts += _doubts_on_width(data, best)
    return doubts


def _doubts_on_width(data: FinishedRun, relation: Relation) -> list[str]:
    """Return a sentence if single images are known less well than they differ from each other."""
    profile = next((profile for profile in data.profiles if profile.name == relation.quantity), None)
    if profile is None or not np.isfinite(profile.high - profile.low).any():
        return []
    half = float(np.nanmedian(profile.high - profile.low)) / 2
    if np.isfinite(profile.value).sum() < 2 or half <= 1.96 * float(np.nanstd(profile.value, ddof=1)):
        return []
    return [
        f"{profile.label}: the interval of a single image is wider than the images differ from each other. A relation "
        "to them is real only if what makes the intervals wide, such as a threshold, is off alike in all images."
    ]


def doubts(data: FinishedRun) -> list[str]:
    """Return what to mistrust: the run's own warnings, then what the data gives away; each once."""
    own = list(data.warnings)
    if data.mosaic is not None and data.pixel_size_um is None:
        own.append("The pixel size is unknown: all lengths are in pixels.")
    if data.layout is not None and not data.separate:
        own += _placement_doubts(data.layout)
    if data.quality is not None:
        own += quality_doubts(data.quality)
    for result in data.denoising:
        own += denoising_doubts(result)
    own += check_doubts(data)
    return list(dict.fromkeys([*own, *_number_doubts(data)]))
