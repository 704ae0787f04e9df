"""Share of a phase whose amount runs from little to much over the specimen, such as Sr-rich in a PbSe-SrSe gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.phases.evidence import look_at
from cemi_analyze.phases.histogram import Histogram, without_steps
from cemi_analyze.phases.mixture import Mixture
from cemi_analyze.phases.mosaic_levels import BINS, GreyCell, fitted_to, levels_of
from cemi_analyze.phases.spots import Spots
from cemi_analyze.phases.trend import trend_along_x
from cemi_analyze.picture.cell import cell_of
from cemi_analyze.picture.texture import texture_length_px
from cemi_analyze.uncertainty.blocks import block_edges, block_means, blocks_along, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.numeric.noise import noise_std


class SrPhaseSettings(Settings):
    """Which phase is counted."""

    phase: Literal["dark", "bright"] = Field(
        default="dark", description="Which phase is counted; the Sr-rich one is darker in backscattered electrons."
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Grey level, 0 to 1, between the phases; by default found from all cells together.",
    )
    level_uncertainty: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="How far the threshold may be off, as a share of the distance between the phases.",
    )


class SrPhase(CellAnalyzer):
    """Measures the share of one phase, cell by cell, with the grey levels of the phases found in the whole mosaic.

    Where a phase runs from none to all, the levels of each cell's own find two phases even where there is one.

    Parameters
    ----------
    settings : SrPhaseSettings, optional
    """

    name: ClassVar[str] = "sr-phase"

    def __init__(self, settings: SrPhaseSettings | None = None) -> None:
        self.settings = settings or SrPhaseSettings()

    @property
    def halo(self) -> int:
        """Nothing outside a cell is looked at, px."""
        return 0

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> GreyCell | None:
        """Take the grey-level histograms of one cell, its shading taken out."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        found = look_at(cell)
        own = np.ascontiguousarray(cell.image[cell.core])
        # Where the cell's own fit is none, its shading cannot be told from its phases.
        image = found.image if found.fits or found.one_level else without_steps(own)
        valid = found.valid
        if not valid.any():
            return None
        length_px = texture_length_px(image)
        blocks = blocks_along(image.shape, 2 * length_px if math.isfinite(length_px) else 1.0)
        low, high = float(image[valid].min()), float(image[valid].max())
        high = max(high, low + 1e-6)
        level = np.clip((image - low) * (BINS / (high - low)), 0, BINS - 1).astype(np.int32)
        edges_y, edges_x = (block_edges(size, number) for size, number in zip(image.shape, blocks, strict=True))
        counts = np.zeros((*blocks, BINS), np.int32)
        for i, j in np.ndindex(*blocks):
            part = slice(edges_y[i], edges_y[i + 1]), slice(edges_x[j], edges_x[j + 1])
            counts[i, j] = np.bincount(level[part][valid[part]], minlength=BINS)
        spots = _of_spots(found.spots, valid, blocks)
        shown = thumbnail(np.clip(np.where(valid, own, 0), 0, 1))
        return GreyCell(counts, low, high, noise_std(own), spots, found.one_level, shown)

    def merge(self, partials: Iterable[tuple[int, int, GreyCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Find the levels from all cells and return the map ``sr_fraction``, with its trend along x."""
        cells = list(measured_cells(partials))
        mixture = levels_of([cell for _, _, cell in cells])
        intervals, shared, reasons = [], {}, {}
        for row, column, cell in cells:
            interval, systematic = self._share(cell, mixture)
            intervals.append((row, column, interval))
            shared[row, column] = systematic
            reasons[row, column] = "" if math.isfinite(interval.value) else "one grey level: which phase it is, is open"
        found = grid_map("sr_fraction", "Share of the Sr-rich phase", "1", intervals, grid_shape, shared, reasons)
        trend = trend_along_x(found.value)
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        notes = [self._note(mixture, any(cell.spots for _, _, cell in cells))]
        if trend is not None:
            sure = "changes" if trend.p_value < 0.05 else "shows no sure change"
            notes.append(
                f"along x it {sure}: {trend.change:+.3f} from the first to the last column "
                f"(95 %: {trend.low:+.3f} to {trend.high:+.3f}, p = {trend.p_value:.2g})"
            )
        return Result(
            self.name,
            (found,),
            tables=() if trend is None else (trend.table("sr_fraction"),),
            overlays={} if picture is None else {"grey": picture},
            notes=tuple(notes),
        )

    def _share(self, cell: GreyCell, mixture: Mixture | None) -> tuple[Interval, float]:
        """Return the share of a cell, and what of its interval the cells have in common."""
        dark = self.settings.phase == "dark"
        if self.settings.threshold is not None:
            return self._by_threshold(cell, self.settings.threshold, mixture)
        if mixture is None:
            if cell.spots is None:
                return UNKNOWN, 0.0
            means, numbers, of_dark, off = cell.spots
            return fraction_interval(means if of_dark == dark else 1 - means, numbers, off), off
        total = cell.counts.sum(axis=2, dtype=np.float64)
        whole = cell.counts.sum(axis=(0, 1)).astype(np.float64)
        shift, weights = fitted_to(mixture, cell.centres, whole)
        own = replace(mixture, weights=weights)
        part = own.coverage_at(cell.centres - shift)[:, 0 if dark else 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(total > 0, cell.counts @ part / total, np.nan)
        share = float(weights @ mixture.coverage[:, 0 if dark else 1] / weights.sum())
        contrast = float(mixture.levels[1] - mixture.levels[0])
        of_cell = Histogram(whole, cell.centres - shift)
        middle = 0.5 * float(mixture.levels.sum())
        near = 0.5 * of_cell.near(middle, self.settings.level_uncertainty * contrast)
        # What the fit leaves unexplained counts as far as there are pixels between the levels.
        between = 0.5 * of_cell.near(middle, 0.25 * contrast)
        unexplained = min(mixture.unexplained, between, share, 1 - share)
        off = math.hypot(near, 0.2 * own.mixed / max(mixture.separation, 1.0), unexplained)
        found = fraction_interval(means, total, off)
        moved = share - found.value
        return Interval(share, max(found.low + moved, 0.0), min(found.high + moved, 1.0)), off

    def _by_threshold(self, cell: GreyCell, threshold: float, mixture: Mixture | None) -> tuple[Interval, float]:
        step = (cell.high - cell.low) / BINS
        edge = np.clip((threshold - cell.low) / step, 0, BINS)
        taken = np.clip(edge - np.arange(BINS), 0, 1)
        total = cell.counts.sum(axis=2, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            dark = np.where(total > 0, cell.counts @ taken / total, np.nan)
        contrast = 0.0 if mixture is None else float(mixture.levels[1] - mixture.levels[0])
        whole = Histogram(cell.counts.sum(axis=(0, 1)).astype(np.float64), cell.centres)
        off = 0.5 * whole.near(threshold, self.settings.level_uncertainty * contrast) if contrast else 0.0
        return fraction_interval(dark if self.settings.phase == "dark" else 1 - dark, total, off), off

    def _note(self, mixture: Mixture | None, spots: bool) -> str:
        what = f"share of the {self.settings.phase} phase"
        unpublished = "the rule of Lang et al. 2025 is not published, so this is ours"
        if self.settings.threshold is not None:
            return f"{what}: below or above {self.settings.threshold:.3f} of full scale, as given; {unpublished}"
        if mixture is None and spots:
            return f"{what}: one grey level with spots, which are measured one by one; {unpublished}"
        if mixture is None:
            return "all cells together show one grey level only: there are no two phases to tell apart"
        return (
            f"{what}: grey levels {mixture.levels[0]:.3f} and {mixture.levels[1]:.3f} of full scale, their noise "
            "and the mixed pixels on borders are those of the whole mosaic, the brightness of each cell may drift; "
            f"{unpublished}"
        )


def _of_spots(
    spots: Spots | None, valid: NDArray[np.bool_], blocks: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool, float] | None:
    if spots is None:
        return None
    means, numbers = block_means(spots.coverage, valid, blocks)
    return means, numbers, spots.dark, spots.systematic


def make(settings: SrPhaseSettings, runtime: Runtime) -> SrPhase:
    """Make the analyzer for a recipe."""
    return SrPhase(settings)
