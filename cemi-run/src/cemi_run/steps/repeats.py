"""How well a measurement repeats: places that two frames show are measured in each of them alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.corrections import corrected_frames
from cemi_core.model.frame import FrameSource
from cemi_core.model.grid import Cells, FrameGrid
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box
from cemi_core.model.result import is_direction
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import AnalyzerPlugin
from cemi_run.recipe.check import Choice
from cemi_run.store.frames import StoredFrames

log = logging.getLogger("cemi")

#: Places that are measured twice, at most, and fewest that say anything.
MOST_PAIRS, FEWEST_PAIRS = 8, 5
#: Smallest edge of such a place, px.
_SMALLEST_PX = 48


@dataclass(frozen=True)
class Repeatability:
    """Repeatability standard deviation of one quantity (ISO 5725-2), for the area of a cell.

    Attributes
    ----------
    standard : float
        In the unit of the map.
    pairs : int
        Places that both frames gave a value for: its degrees of freedom.
    """

    standard: float
    pairs: int


@dataclass(frozen=True)
class SeenTwice:
    """A place that two frames show.

    Attributes
    ----------
    first, second : int
        Index of the frames.
    in_first, in_second : Box
        The place in each of them, px; both of one size.
    """

    first: int
    second: int
    in_first: Box
    in_second: Box


def places_seen_twice(
    layout: Layout, most: int = MOST_PAIRS, largest_px: tuple[int, int] = (1 << 30, 1 << 30)
) -> list[SeenTwice]:
    """Return places that two frames show, the largest spread evenly over the frames.

    Frames are compared where neighbours overlap by at least 48 px each way; each frame is the first of one pair at
    most, so that no place is counted twice.

    Parameters
    ----------
    layout : Layout
    most : int
    largest_px : (int, int)
        Height and width of a cell: of a wider overlap the middle is taken.
    """
    starts = np.rint(layout.positions_px).astype(int)
    ends = starts + layout.shapes
    usable = (layout.component == 0) & ~layout.placed_by_prior
    found: list[SeenTwice] = []
    for first in np.flatnonzero(usable):
        low = np.maximum(starts[first], starts)
        size = np.minimum(ends[first], ends) - low
        fits = usable & (np.arange(len(starts)) > first) & (size.min(axis=1) >= _SMALLEST_PX)
        if not fits.any():
            continue
        second = int(np.argmax(np.where(fits, size.prod(axis=1), -1)))
        height, width = (min(int(edge), most_px) for edge, most_px in zip(size[second], largest_px, strict=True))
        low[second] += (size[second] - (height, width)) // 2
        boxes = [
            Box(int(low[second][0] - starts[index][0]), int(low[second][1] - starts[index][1]), height, width)
            for index in (first, second)
        ]
        found.append(SeenTwice(int(first), second, *boxes))
    chosen = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    return [found[number] for number in chosen]


def repeatability_of(
    choice: Choice[AnalyzerPlugin],
    frames: FrameSource,
    places: Sequence[SeenTwice],
    cell_area_px: float,
    pixel_size_um: float | None,
    runtime: Runtime,
) -> dict[str, Repeatability]:
    """Return the repeatability of each quantity of an analyzer; quantities that too few places show are left out.

    All places are merged as the cells of one grid, so that one method answers for all of them, as in the run. The
    standard deviation ``sqrt(mean(d^2) / 2)`` of places of area a is that of noise in their pixels, so a cell of area A
    has ``sqrt(a / A)`` of it.

    Parameters
    ----------
    choice : Choice
    frames : FrameSource
    places : sequence of SeenTwice
    cell_area_px : float
    pixel_size_um : float or None
    runtime : Runtime
    """
    analyzer = make(choice.plugin, choice.settings, runtime)
    partials = []
    for row, place in enumerate(places):
        for column, (index, box) in enumerate(((place.first, place.in_first), (place.second, place.in_second))):
            part = np.ascontiguousarray(frames.read(index)[box.slices], np.float32)
            whole = Box(0, 0, box.height, box.width)
            info = BlockInfo(pixel_size_um, whole.slices, box=whole, row=row, column=column)
            partials.append((row, column, analyzer.process(part, info)))
    result = analyzer.merge(iter(partials), (len(places), 2))
    area = np.array([place.in_first.height * place.in_first.width for place in places], np.float64)
    found = {}
    for grid_map in result.maps:
        if not is_direction(grid_map.unit):
            spread = spread_of_pairs(grid_map.value, np.minimum(area / cell_area_px, 1.0))
            if spread is not None:
                found[grid_map.name] = spread
    return found


def spread_of_pairs(values: NDArray[np.float64], area_share: NDArray[np.float64]) -> Repeatability | None:
    """Return the repeatability from pairs of values; None for fewer than five.

    Parameters
    ----------
    values : ndarray of float, shape (n, 2)
        NaN where a place gave none.
    area_share : ndarray of float64, shape (n,)
        Area of each place over that of a cell.
    """
    known = np.isfinite(values).all(axis=1)
    if known.sum() < FEWEST_PAIRS:
        return None
    apart = (values[known, 0] - values[known, 1]) ** 2 * area_share[known]
    return Repeatability(math.sqrt(float(apart.mean()) / 2), int(known.sum()))


def measured_repeats(
    choices: Sequence[Choice[AnalyzerPlugin]],
    frames_path: Path,
    layout: Layout,
    cells: Cells,
    pixel_size_um: float | None,
    runtime: Runtime,
) -> dict[str, Repeatability]:
    """Return the repeatability of the quantities of a run, by the names of their maps.

    Nothing is known of images that stand alone, of frames that are turned against each other, and of quantities that
    places as small as overlaps do not show.

    Parameters
    ----------
    choices : sequence of Choice
        Those of other channels and those that leave out cells are not repeated.
    frames_path : Path
        Of the frames that were stitched.
    layout : Layout
    cells : Cells
    pixel_size_um : float or None
    runtime : Runtime
    """
    if isinstance(cells, FrameGrid) or layout.affine is not None or not frames_path.exists():
        return {}
    first = cells.box(0, 0)
    places = places_seen_twice(layout, largest_px=(first.height, first.width))
    if len(places) < FEWEST_PAIRS:
        return {}
    frames = corrected_frames(StoredFrames(frames_path), layout)
    found: dict[str, Repeatability] = {}
    for choice in choices:
        if choice.channel or choice.mask:
            continue
        try:
            found |= repeatability_of(choice, frames, places, first.height * first.width, pixel_size_um, runtime)
        except Exception as error:
            log.warning("%s could not measure places that two frames show: %s", choice.name, error)
    return found
