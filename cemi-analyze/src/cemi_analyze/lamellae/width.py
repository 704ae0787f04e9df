"""Spacing of lamellae: one period of the two phases, measured across them, wherever they are regular."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells
from cemi_analyze.lamellae.paper_width import paper_widths
from cemi_analyze.lamellae.profile import share_of_tiles
from cemi_analyze.lamellae.regularity import isotropic_coherency, lamellar_coherency
from cemi_analyze.lamellae.spacing import LEAST_AREA, TileSpacing, cut_tiles, measure_spacing, tile_starts
from cemi_analyze.lamellae.width_cell import (
    NO_LAMELLAE,
    NO_PROFILE,
    TOO_SMALL,
    TOO_THIN,
    WidthCell,
    further_maps,
    groups_of,
    scaled,
    spacings_table,
    width_of,
)
from cemi_analyze.picture.cell import Cell, cell_of
from cemi_analyze.picture.fine_lamellae import FINE_PX, fine_lamellae
from cemi_analyze.picture.orientation import structure_tensor
from cemi_analyze.picture.texture import levelled, texture_length_px
from cemi_analyze.uncertainty.intervals import Interval, e562_interval, spatial_mean_interval
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.numeric.noise import noise_std

#: 95 % half-width, as a share of the spacing, of what the method itself is off by: of an autocorrelation, of one where
#: colonies meet in the tiles, and of lines in spectra, where power of noise and texture beside a line draws its
#: centroid. Measured on made specimens.
_FLOOR, _COLONY_FLOOR, _FINE_FLOOR = 0.002, 0.01, 0.015
_TILE_PX = (64, 512)
_WINDOW_PX = (5.0, 40.0)
#: Height of the autocorrelation peak over the depth of the valley that lamellae have: for sharp ones (1 - f) / f, where
#: f is the share of the thinner phase.
_PEAK = (0.75, 14.0)
#: Periods that differ by less than this share are alike; how much of all the area must be alike, and how much of the
#: area that shares the most common period.
_ALIKE = 0.12
_SHARED = 0.25
_OF_COMMONEST = 0.4
#: A tile should hold this many periods; and a cell so much lamellar area to look for them in larger tiles.
_MIN_PERIODS = 5
#: With fewer periods than this in the largest tile that fits, a chance peak below the true one is the likelier find.
_MIN_TILE_PERIODS = 3.5
_LAMELLAR_AREA = 0.2
#: Share of a cell that lamellae must fill for their spacing to be told.
_MIN_AREA = 0.02
#: Share of all that runs one way which must have a common period: stripes of milling and scratches have one here and
#: there by chance.
_REGULAR = 0.4
#: Tiles that must agree, where there are so many.
_FEWEST_TILES = 2
#: Share of a cell that runs one way without a known period for which larger tiles are tried, and how much wider, as a
#: ratio, what they add must be.
_WORTH_A_LOOK, _WIDER = 0.15, 1.3
#: Length of the mean doubled direction below which a cell holds colonies of unlike directions.
_ONE_WAY = 0.8


class LamellaWidthSettings(Settings):
    """How the spacing is measured."""

    method: Literal["autocorrelation", "paper"] = Field(
        default="autocorrelation",
        description="'autocorrelation': first peak across the lamellae, tile by tile; 'paper': across the smallest "
        "rectangle about each lamellar region, divided by the dark lines that are crossed, of Lang et al. 2025.",
    )
    sections: Literal["perpendicular", "random"] = Field(
        default="perpendicular",
        description="'random': add the map true_spacing, pi / 4 times the harmonic mean of the spacings seen: for "
        "lamellae of all directions that the polished plane cuts at random, in cells of many colonies.",
    )
    tile_px: int | None = Field(
        default=None,
        ge=32,
        le=1024,
        description="Edge of the tiles in which one spacing and direction is measured: several periods, but narrower "
        "than a colony; by default about five waves of the texture or periods, 64 px at least.",
    )


class LamellaWidth(CellAnalyzer):
    """Measures the spacing of lamellae, cell by cell.

    Parameters
    ----------
    settings : LamellaWidthSettings, optional
    """

    name: ClassVar[str] = "lamella-width"

    def __init__(self, settings: LamellaWidthSettings | None = None) -> None:
        self.settings = settings or LamellaWidthSettings()

    @property
    def halo(self) -> int:
        """For levelling, px."""
        return 32

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> WidthCell | None:
        """Measure one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        if self.settings.method == "paper":
            widths, lines = paper_widths(cell.image[cell.core])
            spacing, counted = (_positive(e562_interval(each)) for each in (widths, lines))
            return WidthCell(spacing, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, info.pixel_size_um, lines=counted)
        return self._by_autocorrelation(cell, info.pixel_size_um)

    def _by_autocorrelation(self, cell: Cell, pixel_size_um: float | None) -> WidthCell:
        length_px, edge = texture_length_px(cell.image[cell.core]), min(cell.valid[cell.core].shape)
        if not math.isfinite(length_px):
            return WidthCell(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, pixel_size_um)
        if self.settings.tile_px is not None:
            return self._in_tiles(cell, length_px, min(self.settings.tile_px, edge), pixel_size_um)[0]
        found = self._in_growing_tiles(cell, length_px, edge, pixel_size_um)
        if math.isfinite(found.spacing_px.value) and found.spacing_px.value > FINE_PX:
            return found
        return _in_spectra(cell, pixel_size_um) or (found if found.reason else replace(found, reason=NO_LAMELLAE))

    def _in_growing_tiles(self, cell: Cell, length_px: float, edge: int, pixel_size_um: float | None) -> WidthCell:
        """Measure in tiles as large as the texture asks for, and in larger ones where they hold too few periods."""
        tile_px = min(_tile_for(length_px), edge)
        found, too_small = self._in_tiles(cell, length_px, tile_px, pixel_size_um)
        while too_small and 2 * tile_px <= min(edge, _TILE_PX[1]):
            tile_px *= 2
            found, too_small = self._in_tiles(cell, length_px, tile_px, pixel_size_um)
        if too_small and not found.spacing_px.value <= tile_px / _MIN_TILE_PERIODS:
            return WidthCell(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, pixel_size_um, TOO_SMALL)
        return self._with_wider(found, cell, length_px, tile_px, edge)

    def _with_wider(self, found: WidthCell, cell: Cell, length_px: float, tile_px: int, edge: int) -> WidthCell:
        """Add the spacings of lamellae that only larger tiles show, where much of what runs one way has none yet."""
        unmeasured = found.unmeasured
        while unmeasured > _WORTH_A_LOOK and 2 * tile_px <= min(edge, _TILE_PX[1]):
            tile_px *= 2
            wider = self._in_tiles(cell, length_px, tile_px, found.pixel_size_um)[0]
            widest = max((group.spacing_px.value for group in found.groups), default=math.inf)
            more = tuple(group for group in wider.groups if group.spacing_px.value > _WIDER * widest)
            unmeasured -= sum(group.share for group in more)
            found = replace(found, groups=(*found.groups, *more), unmeasured=max(unmeasured, 0.0))
        return found

    @staticmethod
    def _in_tiles(cell: Cell, length_px: float, tile_px: int, pixel_size_um: float | None) -> tuple[WidthCell, bool]:
        """Return what tiles of one size show, and whether they are too small for the lamellae that are there."""
        core, valid = cell.image[cell.core], cell.valid[cell.core]
        flat = levelled(cell.image, cell.valid, tile_px / 2)[cell.core]
        tensor = structure_tensor(flat, float(np.clip(0.5 * length_px, *_WINDOW_PX)))
        coherency = tensor.coherency
        lamellar = valid & _lamellar(flat, coherency, length_px)
        tiles = measure_spacing(flat, tensor, lamellar, tile_px)
        weight = tile_weights(tiles)
        colonies = float(tiles.area[tiles.area >= LEAST_AREA].sum())
        told = int((weight > 0).sum())
        if weight.mean() < _MIN_AREA or weight.sum() < _REGULAR * colonies or told < min(_FEWEST_TILES, len(weight)):
            unknown = WidthCell(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, pixel_size_um)
            return unknown, bool(lamellar.mean() > _LAMELLAR_AREA)
        grid = len(tile_starts(core.shape[0], tile_px)), len(tile_starts(core.shape[1], tile_px))
        period = np.where(weight > 0, tiles.period_px, np.nan).reshape(grid)
        spacing = _positive(spatial_mean_interval(period, weight.reshape(grid)))
        some = weight > 0
        cut = cut_tiles(flat, tile_px)
        noise = noise_std(np.ascontiguousarray(core))
        share = share_of_tiles(
            cut[some].astype(np.float32), tiles.colony[some], tiles.normal_rad[some], tiles.period_px[some], noise
        )
        rest = None if share is None else Interval(1 - share.value, 1 - share.high, 1 - share.low)
        dark, bright = width_of(spacing, share), width_of(spacing, rest)
        weight = weight.reshape(grid)
        found = WidthCell(
            spacing_px=spacing,
            dark_px=dark,
            bright_px=bright,
            orientation_deg=line_direction(tiles.normal_rad, weight.ravel()),
            coherency=e562_interval(_colony_mean(coherency, tiles), weight.ravel()),
            pixel_size_um=pixel_size_um,
            no_widths="" if math.isfinite(dark.value) else NO_PROFILE,
            groups=groups_of(tiles.period_px, periodic_area(tiles)),
            unmeasured=float(max(colonies - periodic_area(tiles).sum(), 0.0)) / len(tiles.area),
            turned=_turned(tiles.normal_rad, weight.ravel()),
            true_px=true_spacing(period, weight),
        )
        return found, found.spacing_px.value > tile_px / _MIN_PERIODS

    def merge(self, partials: Iterable[tuple[int, int, WidthCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into the map ``lamella_spacing`` and those of widths, direction and coherency."""
        cells = list(measured_cells(partials))
        sizes = {cell.pixel_size_um for _, _, cell in cells}
        scale, unit = (sizes.pop(), "um") if len(sizes) == 1 and None not in sizes else (1.0, "px")
        along = self.settings.method == "autocorrelation"
        spacing, floor, reasons = [], {}, {}
        for row, column, cell in cells:
            found = scaled(cell.spacing_px, scale)
            share = _floor_of(cell) if along else 0.0
            half = share * found.value if math.isfinite(found.value) else 0.0
            spacing.append((row, column, found.widened(half)))
            floor[row, column] = half
            reasons[row, column] = cell.reason
        maps = [
            grid_map("lamella_spacing", "Lamella spacing", unit, spacing, grid_shape, floor if along else None, reasons)
        ]
        if along:
            maps += further_maps(cells, scale, unit, grid_shape)
        else:
            lines = [(row, column, cell.lines) for row, column, cell in cells]
            maps.append(grid_map("lines_per_region", "Lines counted per region", "1", lines, grid_shape))
        if along and self.settings.sections == "random":
            true = [(row, column, scaled(cell.true_px, scale)) for row, column, cell in cells]
            maps.append(grid_map("true_spacing", "True lamella spacing", unit, true, grid_shape, None, reasons))
        notes = [self._note()]
        for reason, number in Counter(cell.reason or cell.no_widths for _, _, cell in cells).most_common():
            what = "no widths" if reason in (TOO_THIN, NO_PROFILE) else "no spacing"
            notes += [f"{what} in {number} of {len(cells)} cells: {reason}"] if reason else []
        several = spacings_table(cells, scale, unit)
        if several is not None:
            places = len({row[:2] for row in several.rows})
            notes.append(f"{places} of {len(cells)} cells hold lamellae of several spacings: see the table")
        return Result(self.name, tuple(maps), tables=() if several is None else (several,), notes=tuple(notes))

    def _note(self) -> str:
        if self.settings.method == "paper":
            return (
                "spacing: across the smallest rectangle about each lamellar region, divided by the dark lines crossed "
                "(Lang et al. 2025); it overrates the spacing of wavy or noisy lamellae, by half and more"
            )
        return (
            "spacing: one period of dark and bright, first peak of the autocorrelation across the lamellae, mean over "
            "tiles weighted by the area of lamellae in them; it is that of the section, which is wider than the true "
            "one where lamellae stand oblique to it"
        )


def _in_spectra(cell: Cell, pixel_size_um: float | None) -> WidthCell | None:
    """Measure lamellae of two to four pixels per period; None where the spectrum of the cell shows no line.

    Their phases are thinner than two pixels each: no threshold tells how wide they are.
    """
    fine = fine_lamellae(np.ascontiguousarray(cell.image[cell.core]), cell.valid[cell.core])
    if fine is None or not fine.weight.any():
        return None
    normal, weight = fine.normal_rad.ravel(), fine.weight.ravel()
    return WidthCell(
        spacing_px=_positive(spatial_mean_interval(fine.period_px, fine.weight)),
        dark_px=UNKNOWN,
        bright_px=UNKNOWN,
        orientation_deg=line_direction(np.nan_to_num(normal), weight),
        coherency=UNKNOWN,
        pixel_size_um=pixel_size_um,
        no_widths=TOO_THIN,
    )


def _tile_for(length_px: float) -> int:
    return int(np.clip(2 ** round(math.log2(5 * length_px)), *_TILE_PX))


def tile_weights(tiles: TileSpacing) -> NDArray[np.float64]:
    """Return the weight of each tile: the area of its colony, 0 without a clear period that others share.

    Where irregular texture runs one way by chance it has a period too, but no two places have the same: a period counts
    if it is, within 12 %, that of a quarter of all the area, and 0.4 of what shares the most common one: where there
    are few lamellae, two or three places do agree by chance. Colonies of different spacings in one cell keep theirs.
    """
    area = periodic_area(tiles)
    size = np.log(np.where(area > 0, tiles.period_px, 1.0))
    alike = np.abs(size[:, None] - size[None, :]) <= _ALIKE
    shared = alike @ area
    return np.where(shared >= max(_SHARED * area.sum(), _OF_COMMONEST * shared.max()), area, 0.0)


def periodic_area(tiles: TileSpacing) -> NDArray[np.float64]:
    """Return the area of each tile's colony, 0 without a clear period."""
    periodic = np.isfinite(tiles.period_px) & (tiles.peak >= _PEAK[0]) & (tiles.peak <= _PEAK[1])
    return np.where(periodic, tiles.area, 0.0)


def _lamellar(image: NDArray[np.float32], coherency: NDArray[np.float32], length_px: float) -> NDArray[np.bool_]:
    typical, highest = isotropic_coherency(image, float(np.clip(0.5 * length_px, *_WINDOW_PX)))
    if not math.isfinite(highest):
        return np.zeros(coherency.shape, bool)
    counts = np.histogram(coherency, 100, (0, 1))[0]
    return coherency >= lamellar_coherency(counts, typical, highest)


def _colony_mean(values: NDArray[np.float32], tiles: TileSpacing) -> NDArray[np.float64]:
    """Return the mean of a picture over the measured colony of each tile; NaN where there is none."""
    total = tiles.colony.sum(axis=(1, 2), dtype=np.float64)
    cut = cut_tiles(values, tiles.colony.shape[1])
    return np.asarray(np.einsum("nyx,nyx->n", cut, tiles.colony) / np.where(total > 0, total, np.nan))


def _floor_of(cell: WidthCell) -> float:
    """Return the 95 % half-width of what the method is off by, as a share of the spacing."""
    if cell.no_widths == TOO_THIN:
        return _FINE_FLOOR
    return _FLOOR if cell.turned > _ONE_WAY else _COLONY_FLOOR


def _turned(normal_rad: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the length of the mean doubled direction: 1 where all lines run one way."""
    return float(abs(np.average(np.exp(2j * normal_rad), weights=weight)))


def true_spacing(period_px: NDArray[np.float64], weight: NDArray[np.float64]) -> Interval:
    """Return the spacing in space of lamellae of all directions, of which sections cut at random are seen.

    A plane cuts lamellae of spacing ``s`` at an angle ``phi`` to their normal and shows ``s / sin(phi)``; the mean of
    ``sin(phi)`` over all directions is pi / 4, so ``s = pi / 4`` times the harmonic mean of what is seen (E. E.
    Underwood, Quantitative Stereology 1970, chapter 3).

    Parameters
    ----------
    period_px : ndarray of float64, shape (rows, columns)
        NaN where there is none.
    weight : ndarray of float64, same shape
    """
    inverse = spatial_mean_interval(1 / period_px, weight)
    quarter = math.pi / 4
    high = quarter / inverse.low if inverse.low > 0 else math.inf
    return Interval(quarter / inverse.value, quarter / inverse.high, high)


def line_direction(normal_rad: NDArray[np.float64], weight: NDArray[np.float64]) -> Interval:
    """Return the mean direction of lines with its interval, degrees from x towards y, the value in [0, 180).

    Directions are means of doubled angles, since lines have no front end.
    """
    doubled = 2 * (normal_rad + 0.5 * math.pi)
    mean = math.atan2(float(weight @ np.sin(doubled)), float(weight @ np.cos(doubled)))
    away = np.degrees(np.angle(np.exp(1j * (doubled - mean)))) / 2
    value = math.degrees(mean) / 2 % 180
    spread = e562_interval(np.where(weight > 0, away, np.nan), weight)
    return Interval(value, value + spread.low - spread.value, value + spread.high - spread.value)


def _positive(interval: Interval) -> Interval:
    return Interval(
        interval.value, max(interval.low, 0.0) if math.isfinite(interval.low) else interval.low, interval.high
    )


def make(settings: LamellaWidthSettings, runtime: Runtime) -> LamellaWidth:
    """Make the analyzer for a recipe."""
    return LamellaWidth(settings)
