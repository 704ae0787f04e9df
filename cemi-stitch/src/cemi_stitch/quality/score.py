"""Scores a stitching: every overlap of the finished layout is compared anew, and all of them make one number.

The comparison is independent of the matching: it takes every pair of frames that overlap at the solved positions, kept
or not, compared before or never, and asks whether the two images agree there as well as their noise allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource
from cemi_core.model.grid import Grid
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_core.model.progress import Progress, silent
from cemi_core.model.result import GridMap, Result, Table
from cemi_stitch.graph.candidate_pairs import overlapping_pairs
from cemi_stitch.graph.loop_closure import loop_closures
from cemi_stitch.quality.overlap_agreement import (
    REACH_PX,
    TOLERANCE_PX,
    Overlap,
    SmallFrame,
    compare_overlaps,
    excused_by_noise,
    make_small_frames,
    small_factor,
)
from cemi_stitch.quality.weak_overlaps import MAX_SHOWN, WeakPlace, show_place, weak_places
from cemi_stitch.tasks import batches, spread

FRAMES_PER_TASK, PAIRS_PER_TASK = 32, 96
#: Smallest overlap that is judged, as a share of a frame.
MIN_OVERLAP = 0.005
#: A cell of the maps is half a frame, unless that makes more cells than this along an axis.
MAX_CELLS = 256
#: Edges of the histogram's bins, px; the last bin is open.
BINS_PX = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)

SCORE_MEANING = (
    "The score is 100 times the area of the overlaps that agree as well as their noise allows, divided by the area of "
    "all overlaps that can be judged. An overlap agrees if its correlation is beyond chance and no shift of more than "
    f"{TOLERANCE_PX:.0f} px (within {REACH_PX:.0f} px) makes it clearly higher. 100: no misplacement can be seen "
    "anywhere; 90: a tenth of the area that two frames share shows them at odds. Noise alone does not lower it."
)


def judge_layout(
    source: FrameSource,
    layout: Layout,
    executor: Executor | None = None,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Return maps, tables, weak places and the score of a layout.

    Parameters
    ----------
    source : FrameSource
    layout : Layout
        Of the same frames.
    executor : Executor, optional
        Runs the batches; None runs them here.
    threads : int
        Threads that one task may use.
    progress : callable, optional

    Returns
    -------
    Result
        Maps ``agreement`` (mean correlation of the overlaps in a cell; low and high are the lowest and highest) and
        ``misfit`` (px); tables ``summary``, ``residuals``, ``loops``, ``weak places``; overlays: the weak places.
    """
    overlaps = measure_overlaps(source, layout, executor, threads=threads, progress=progress)
    places = weak_places(overlaps, layout)
    overlays = {
        f"Weak place {number}: frames {place.overlap.first} and {place.overlap.second}": show_place(
            place, source, layout
        )
        for number, place in enumerate(places[:MAX_SHOWN], start=1)
    }
    return Result(
        analyzer="stitch-quality",
        maps=_maps(overlaps, layout),
        tables=(*_numbers(overlaps, layout), _place_table(places)),
        overlays=overlays,
        notes=(SCORE_MEANING, *_notes(overlaps, layout)),
    )


def measure_overlaps(
    source: FrameSource,
    layout: Layout,
    executor: Executor | None = None,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> list[Overlap]:
    """Return every overlap of placed frames, judged; small copies of all frames are held, at most 200 MB."""
    show, total = progress or silent, len(layout)
    if total < 2:
        return []
    pairs = overlapping_pairs(layout.positions_px, layout.shapes, MIN_OVERLAP)
    if not pairs:
        return []
    factor = small_factor([(int(height), int(width)) for height, width in layout.shapes])
    small: list[SmallFrame] = []
    calls = [(source, part, factor, threads) for part in batches(range(total), FRAMES_PER_TASK)]
    for part in spread(executor, make_small_frames, calls):
        small += part
        show("judging: reading", len(small), total)
    tasks = [_task(part, small, layout, factor, threads) for part in batches(pairs, PAIRS_PER_TASK)]
    overlaps: list[Overlap] = []
    for judged in spread(executor, compare_overlaps, tasks):
        overlaps += judged
        show("judging overlaps", len(overlaps), len(pairs))
    return excused_by_noise(overlaps)


def _task(
    pairs: Sequence[tuple[int, int]], small: Sequence[SmallFrame], layout: Layout, factor: int, threads: int
) -> tuple[Any, ...]:
    """Return one call of `compare_overlaps`, with no more frames than it needs."""
    needed = {n: small[n] for pair in pairs for n in pair}
    places = layout.positions_px
    listed = []
    for i, j in pairs:
        shift = (float(places[j, 0] - places[i, 0]), float(places[j, 1] - places[i, 1]))
        listed.append((i, j, shift, _shared_box(layout, i, j)))
    return needed, listed, factor, threads


def _shared_box(layout: Layout, i: int, j: int) -> Box:
    low = np.ceil(np.maximum(layout.positions_px[i], layout.positions_px[j]) - 1e-6).astype(int)
    ends = [layout.positions_px[n] + layout.shapes[n] for n in (i, j)]
    high = np.floor(np.minimum(*ends) + 1e-6).astype(int)
    return Box(int(low[0]), int(low[1]), max(int(high[0] - low[0]), 1), max(int(high[1] - low[1]), 1))


def score_of(overlaps: Sequence[Overlap]) -> float:
    """Return the score, 0 to 100; NaN where no overlap can be judged."""
    judged = sum(overlap.area_px for overlap in overlaps if overlap.verdict != "unclear")
    good = sum(overlap.area_px for overlap in overlaps if overlap.agrees)
    return 100 * good / judged if judged else math.nan


def _unproven(overlaps: Sequence[Overlap], layout: Layout) -> int:
    """Return the number of frames that no overlap vouches for."""
    proven = {n for overlap in overlaps if overlap.agrees for n in (overlap.first, overlap.second)}
    return len(layout) - len(proven) if len(layout) > 1 else 0


def _median(values: Sequence[float] | NDArray[np.float64]) -> float:
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if finite.size else math.nan


def _pair_residuals(layout: Layout) -> NDArray[np.float64]:
    kept = [pair for pair in layout.pairs if pair.kept]
    if not kept:
        return np.empty(0)
    ends = np.array([(pair.first, pair.second) for pair in kept])
    solved = layout.positions_px[ends[:, 1]] - layout.positions_px[ends[:, 0]]
    return np.asarray(np.linalg.norm(solved - np.array([pair.shift_px for pair in kept]), axis=1))


def _numbers(overlaps: Sequence[Overlap], layout: Layout) -> tuple[Table, Table, Table]:
    judged = [overlap for overlap in overlaps if overlap.verdict != "unclear"]
    residuals = _pair_residuals(layout)
    misfits = np.array([overlap.distance_px for overlap in judged])
    area = sum(overlap.area_px for overlap in overlaps)
    count = {v: sum(o.verdict == v for o in overlaps) for v in ("agrees", "misplaced", "differs", "unclear")}
    summary = (
        ("score", score_of(overlaps)),
        ("judged_share_of_overlap_area", sum(o.area_px for o in judged) / area if area else math.nan),
        ("agreement_median", _median([o.agreement for o in judged])),
        ("agreement_allowed_by_noise_median", _median([o.allowed for o in judged])),
        ("misfit_median_px", _median(misfits)),
        ("residual_median_px", _median(residuals)),
        ("frames", float(len(layout))),
        ("frames_without_proof", float(_unproven(overlaps, layout))),
        ("overlaps", float(len(overlaps))),
        ("overlaps_that_agree", float(count["agrees"])),
        ("overlaps_misplaced", float(count["misplaced"])),
        ("overlaps_that_differ", float(count["differs"])),
        ("overlaps_unclear", float(count["unclear"])),
    )
    edges = np.array((*BINS_PX, np.inf))
    histogram = tuple(
        (low, high, kept, seen)
        for low, high, kept, seen in zip(
            BINS_PX,
            (*BINS_PX[1:], None),
            np.histogram(residuals, edges)[0].tolist(),
            np.histogram(misfits, edges)[0].tolist(),
            strict=True,
        )
    )
    loops = tuple(
        (frames, len(gaps), float(np.sqrt(np.mean(gaps**2))), float(np.median(gaps)), float(gaps.max()))
        for frames, gaps in zip((3, 4), loop_closures(layout.pairs), strict=True)
        if gaps.size
    )
    return (
        Table("summary", ("quantity", "value"), summary),
        Table("residuals", ("from_px", "to_px", "kept_pairs", "overlaps"), histogram),
        Table("loops", ("frames_in_loop", "loops", "rms_px", "median_px", "largest_px"), loops),
    )


def _place_table(places: Sequence[WeakPlace]) -> Table:
    heads = ("first", "second", "suspect", "y_px", "x_px", "agreement", "best", "allowed", "what_is_wrong")
    rows = tuple(
        (
            place.overlap.first,
            place.overlap.second,
            place.suspect,
            *place.centre_px,
            place.overlap.agreement,
            place.overlap.best,
            place.overlap.allowed,
            place.wrong,
        )
        for place in places
    )
    return Table("weak places", heads, rows)


def _maps(overlaps: Sequence[Overlap], layout: Layout) -> tuple[GridMap, GridMap]:
    """Return what the overlaps say in each cell, weighted by area; cells that no overlap touches are NaN."""
    cell = np.maximum(np.median(layout.shapes, axis=0) / 2, 1)
    shape = layout.mosaic_shape
    rows, columns = (max(1, min(MAX_CELLS, round(shape[n] / cell[n]))) for n in (0, 1))
    grid = Grid(rows, columns, shape)
    seen = [overlap for overlap in overlaps if math.isfinite(overlap.agreement)]
    judged = [overlap for overlap in overlaps if overlap.verdict != "unclear"]
    agreement = _deposited(grid, [(overlap.box, overlap.agreement) for overlap in seen])
    misfit = _deposited(grid, [(overlap.box, overlap.distance_px) for overlap in judged])
    return (
        GridMap("agreement", "agreement of overlaps (correlation)", "1", *agreement),
        GridMap("misfit", "misfit of overlaps", "px", *misfit),
    )


def _deposited(
    grid: Grid, values: Sequence[tuple[Box, float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return area-weighted mean, lowest and highest value per cell."""
    total, weight = np.zeros((grid.rows, grid.columns)), np.zeros((grid.rows, grid.columns))
    low, high = np.full(total.shape, np.inf), np.full(total.shape, -np.inf)
    tops = np.array([grid.box(row, 0).y for row in range(grid.rows)] + [grid.shape[0]])
    lefts = np.array([grid.box(0, column).x for column in range(grid.columns)] + [grid.shape[1]])
    for box, value in values:
        along = []
        for edges, start, length in ((tops, box.y, box.height), (lefts, box.x, box.width)):
            first = max(int(np.searchsorted(edges, start, side="right")) - 1, 0)
            last = max(int(np.searchsorted(edges, start + length, side="left")), first + 1)
            cells = slice(first, min(last, len(edges) - 1))
            inside = np.minimum(edges[1:][cells], start + length) - np.maximum(edges[:-1][cells], start)
            along.append((cells, inside))
        (rows, heights), (columns, widths) = along
        area = np.outer(heights, widths).clip(0)
        total[rows, columns] += area * value
        weight[rows, columns] += area
        low[rows, columns] = np.where(area > 0, np.minimum(low[rows, columns], value), low[rows, columns])
        high[rows, columns] = np.where(area > 0, np.maximum(high[rows, columns], value), high[rows, columns])
    touched = weight > 0
    mean = np.full(total.shape, np.nan)
    mean[touched] = total[touched] / weight[touched]
    return mean, np.where(touched, low, np.nan), np.where(touched, high, np.nan)


def _notes(overlaps: Sequence[Overlap], layout: Layout) -> list[str]:
    notes = []
    area = sum(overlap.area_px for overlap in overlaps)
    unclear = sum(overlap.area_px for overlap in overlaps if overlap.verdict == "unclear")
    if not overlaps:
        notes.append("No two frames overlap, so that nothing can be said of their places.")
    elif unclear:
        notes.append(
            f"{100 * unclear / area:.0f} % of the overlap area cannot be judged: too narrow, empty, or too little "
            "structure beyond the noise; the score leaves it out."
        )
    unproven = _unproven(overlaps, layout)
    if unproven:
        notes.append(f"{unproven} of {len(layout)} frames have no overlap that vouches for their place.")
    if overlaps:
        notes.append(
            "A shift by a whole period of perfectly regular lamellae cannot be seen by any comparison of overlaps; "
            "the loops tell more there."
        )
    return notes
