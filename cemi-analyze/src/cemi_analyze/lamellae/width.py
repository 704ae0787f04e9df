"""Spacing of lamellae: one period of the two phases, measured across them, wherever they are regular."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells
from cemi_analyze.lamellae.paper_width import paper_widths
from cemi_analyze.lamellae.regularity import isotropic_coherency, lamellar_coherency
from cemi_analyze.lamellae.spacing import TileSpacing, cut_tiles, measure_spacing, tile_starts
from cemi_analyze.phases.levels import flat_noise, phase_levels
from cemi_analyze.picture.cell import Cell, cell_of
from cemi_analyze.picture.fine_lamellae import FINE_PX, fine_lamellae
from cemi_analyze.picture.orientation import structure_tensor
from cemi_analyze.picture.texture import levelled, levelled_by_texture, texture_length_px
from cemi_analyze.uncertainty.intervals import Interval, e562_interval, spatial_mean_interval
from cemi_core.model.result import GridMap, Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

NO_LAMELLAE = "no regular lamellae"
TOO_SMALL = "the cell is too small for the lamellae in it: use cells of five periods"
TOO_THIN = "lamellae thinner than two pixels per phase"
#: 95 % half-width, as a share of the spacing, of what the method itself is off by: of an autocorrelation, and of lines
#: in spectra, where power of noise and texture beside a line draws its centroid. Measured on made specimens.
_FLOOR, _FINE_FLOOR = 0.002, 0.015
_TILE_PX = (64, 512)
_WINDOW_PX = (5.0, 40.0)
#: Height of the autocorrelation peak over the depth of the valley that lamellae have: for sharp ones (1 - f) / f, where
#: f is the share of the thinner phase.
_PEAK = (0.75, 4.0)
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


class LamellaWidthSettings(Settings):
    """How the spacing is measured."""

    method: Literal["autocorrelation", "paper"] = Field(
        default="autocorrelation",
        description="'autocorrelation': first peak across the lamellae, tile by tile; 'paper': across the smallest "
        "rectangle about each lamellar region, divided by the dark lines that are crossed, of Lang et al. 2025.",
    )
    tile_px: int | None = Field(
        default=None,
        ge=32,
        le=1024,
        description="Edge of the tiles in which one spacing and direction is measured: several periods, but narrower "
        "than a colony; by default about five waves of the texture or periods, 64 px at least.",
    )


@dataclass(frozen=True)
class WidthCell:
    """What was measured in one cell; lengths in px.

    ``reason`` tells why there is no spacing, ``no_widths`` why there is one but no width of either phase.
    """

    spacing_px: Interval
    dark_px: Interval
    bright_px: Interval
    orientation_deg: Interval
    coherency: Interval
    pixel_size_um: float | None
    reason: str = ""
    no_widths: str = ""


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
            widths = paper_widths(cell.image[cell.core])
            spacing = _positive(e562_interval(widths))
            return WidthCell(spacing, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, info.pixel_size_um)
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
        if weight.mean() < _MIN_AREA:
            unknown = WidthCell(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, pixel_size_um)
            return unknown, bool(lamellar.mean() > _LAMELLAR_AREA)
        grid = len(tile_starts(core.shape[0], tile_px)), len(tile_starts(core.shape[1], tile_px))
        period = np.where(weight > 0, tiles.period_px, np.nan).reshape(grid)
        dark = _colony_mean(_dark_phase(cell, length_px), tiles).reshape(grid)
        weight = weight.reshape(grid)
        found = WidthCell(
            spacing_px=_positive(spatial_mean_interval(period, weight)),
            dark_px=_positive(spatial_mean_interval(period * dark, weight)),
            bright_px=_positive(spatial_mean_interval(period * (1 - dark), weight)),
            orientation_deg=line_direction(tiles.normal_rad, weight.ravel()),
            coherency=e562_interval(_colony_mean(coherency, tiles), weight.ravel()),
            pixel_size_um=pixel_size_um,
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
            found = _scaled(cell.spacing_px, scale)
            share = (_FINE_FLOOR if cell.no_widths else _FLOOR) if along else 0.0
            half = share * found.value if math.isfinite(found.value) else 0.0
            spacing.append((row, column, found.widened(half)))
            floor[row, column] = half
            reasons[row, column] = cell.reason
        maps = [
            grid_map("lamella_spacing", "Lamella spacing", unit, spacing, grid_shape, floor if along else None, reasons)
        ]
        if along:
            maps += _further_maps(cells, scale, unit, grid_shape)
        notes = [self._note()]
        for reason, number in Counter(cell.reason or cell.no_widths for _, _, cell in cells).most_common():
            what = "no widths" if reason == TOO_THIN else "no spacing"
            notes += [f"{what} in {number} of {len(cells)} cells: {reason}"] if reason else []
        return Result(self.name, tuple(maps), notes=tuple(notes))

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
    periodic = np.isfinite(tiles.period_px) & (tiles.peak >= _PEAK[0]) & (tiles.peak <= _PEAK[1])
    area = np.where(periodic, tiles.area, 0.0)
    size = np.log(np.where(periodic, tiles.period_px, 1.0))
    alike = np.abs(size[:, None] - size[None, :]) <= _ALIKE
    shared = alike @ area
    return np.where(shared >= max(_SHARED * area.sum(), _OF_COMMONEST * shared.max()), area, 0.0)


def _lamellar(image: NDArray[np.float32], coherency: NDArray[np.float32], length_px: float) -> NDArray[np.bool_]:
    typical, highest = isotropic_coherency(image, float(np.clip(0.5 * length_px, *_WINDOW_PX)))
    if not math.isfinite(highest):
        return np.zeros(coherency.shape, bool)
    counts = np.histogram(coherency, 100, (0, 1))[0]
    return coherency >= lamellar_coherency(counts, typical, highest)


def _dark_phase(cell: Cell, length_px: float) -> NDArray[np.float32]:
    """Return the dark phase of the cell by the threshold half-way between the phases, 0 or 1."""
    image = levelled_by_texture(cell.image, cell.valid, length_px)[cell.core]
    levels = phase_levels(image[cell.valid[cell.core]], flat_noise(image))
    return (image < levels.midpoint).astype(np.float32)


def _colony_mean(values: NDArray[np.float32], tiles: TileSpacing) -> NDArray[np.float64]:
    """Return the mean of a picture over the measured colony of each tile; NaN where there is none."""
    total = tiles.colony.sum(axis=(1, 2), dtype=np.float64)
    cut = cut_tiles(values, tiles.colony.shape[1])
    return np.asarray(np.einsum("nyx,nyx->n", cut, tiles.colony) / np.where(total > 0, total, np.nan))


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


def _scaled(interval: Interval, scale: float) -> Interval:
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)


def _further_maps(
    cells: Sequence[tuple[int, int, WidthCell]], scale: float, unit: str, grid_shape: tuple[int, int]
) -> list[GridMap]:
    reasons = {(row, column): cell.reason or cell.no_widths for row, column, cell in cells}
    dark = [(row, column, _scaled(cell.dark_px, scale)) for row, column, cell in cells]
    bright = [(row, column, _scaled(cell.bright_px, scale)) for row, column, cell in cells]
    direction = [(row, column, cell.orientation_deg) for row, column, cell in cells]
    coherency = [(row, column, cell.coherency) for row, column, cell in cells]
    return [
        grid_map("dark_width", "Width of dark lamellae", unit, dark, grid_shape, None, reasons),
        grid_map("bright_width", "Width of bright lamellae", unit, bright, grid_shape, None, reasons),
        grid_map("orientation", "Direction of lamellae", "deg", direction, grid_shape),
        grid_map("coherency", "Coherency of lamellae", "1", coherency, grid_shape),
    ]


def make(settings: LamellaWidthSettings, runtime: Runtime) -> LamellaWidth:
    """Make the analyzer for a recipe."""
    return LamellaWidth(settings)
