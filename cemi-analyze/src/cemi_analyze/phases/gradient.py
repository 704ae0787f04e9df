"""Share of a phase whose amount runs from little to much over the specimen, such as Sr-rich in a PbSe-SrSe gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.picture.cell import cell_of
from cemi_analyze.picture.texture import smoothed_against_noise, texture_length_px
from cemi_analyze.uncertainty.blocks import block_edges, blocks_along, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

_BINS = 256
_ROUNDS = 200
#: Distance between the phases over the mean of their deviations that makes them two.
_MIN_SEPARATION = 2.2


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


@dataclass(frozen=True)
class GreyCell:
    """Grey-level histograms of the blocks of one cell, int32 (rows, columns, 256) over [0, 1], and a thumbnail."""

    counts: NDArray[np.int32]
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TwoLevels:
    """Mean grey levels of the two phases of a whole mosaic, and the level that divides them."""

    dark: float
    bright: float
    threshold: float


class SrPhase(CellAnalyzer):
    """Measures the share of one phase, cell by cell, with one threshold for the whole mosaic.

    Where a phase runs from none to all, a threshold of each cell's own finds two phases even where there is one.

    Parameters
    ----------
    settings : SrPhaseSettings, optional
    """

    name: ClassVar[str] = "sr-phase"

    def __init__(self, settings: SrPhaseSettings | None = None) -> None:
        self.settings = settings or SrPhaseSettings()

    @property
    def halo(self) -> int:
        """For the light smoothing of noisy pictures, px."""
        return 4

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> GreyCell | None:
        """Take the grey-level histograms of one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        image, valid = smoothed_against_noise(cell.image)[cell.core], cell.valid[cell.core]
        length_px = texture_length_px(image)
        blocks = blocks_along(image.shape, 2 * length_px if math.isfinite(length_px) else 1.0)
        edges_y, edges_x = (block_edges(size, number) for size, number in zip(image.shape, blocks, strict=True))
        level = np.clip(image * _BINS, 0, _BINS - 1).astype(np.int32)
        counts = np.zeros((*blocks, _BINS), np.int32)
        for i, j in np.ndindex(*blocks):
            part = slice(edges_y[i], edges_y[i + 1]), slice(edges_x[j], edges_x[j + 1])
            counts[i, j] = np.bincount(level[part][valid[part]], minlength=_BINS)
        return GreyCell(counts, thumbnail(np.where(valid, image, 0)))

    def merge(self, partials: Iterable[tuple[int, int, GreyCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Find the threshold from all cells and return the map ``sr_fraction``."""
        cells = list(measured_cells(partials))
        levels = self._levels([cell for _, _, cell in cells])
        intervals = [
            (row, column, UNKNOWN if levels is None else self._share(cell, levels)) for row, column, cell in cells
        ]
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        return Result(
            self.name,
            (grid_map("sr_fraction", "Share of the Sr-rich phase", "1", intervals, grid_shape),),
            overlays={} if picture is None else {"grey": picture},
            notes=(self._note(levels),),
        )

    def _levels(self, cells: Sequence[GreyCell]) -> TwoLevels | None:
        if not cells:
            return None
        found = two_levels(np.sum([cell.counts.sum(axis=(0, 1), dtype=np.int64) for cell in cells], axis=0))
        given = self.settings.threshold
        if given is None:
            return found
        return TwoLevels(found.dark, found.bright, given) if found else TwoLevels(given, given, given)

    def _share(self, cell: GreyCell, levels: TwoLevels) -> Interval:
        total = cell.counts.sum(axis=2, dtype=np.float64)
        below = np.concatenate([[0], np.cumsum(cell.counts.sum(axis=(0, 1)))]) / total.sum()
        grey = np.linspace(0, 1, _BINS + 1)
        shift = self.settings.level_uncertainty * (levels.bright - levels.dark)
        lower, upper = np.interp([levels.threshold - shift, levels.threshold + shift], grey, below)
        split = levels.threshold * _BINS
        whole, rest = int(split), split - int(split)
        dark = cell.counts[..., :whole].sum(axis=2) + rest * cell.counts[..., min(whole, _BINS - 1)]
        with np.errstate(invalid="ignore"):
            share = np.where(total > 0, dark / total, np.nan)
        counted = share if self.settings.phase == "dark" else 1 - share
        return fraction_interval(counted, total, 0.5 * float(upper - lower))

    def _note(self, levels: TwoLevels | None) -> str:
        if levels is None:
            return "all cells together show one grey level only: there are no two phases to tell apart"
        how = "as given" if self.settings.threshold else "half-way between the two grey levels of the whole mosaic"
        return (
            f"share of the {self.settings.phase} phase: threshold {levels.threshold:.3f} of full scale, {how}; the "
            "rule of Lang et al. 2025 is not published, so this is ours; shading that is left in the mosaic shifts it"
        )


def two_levels(counts: NDArray[np.int64]) -> TwoLevels | None:
    """Return the grey levels of two phases from a histogram over [0, 1]; None if it shows one phase only.

    Two Gaussians by expectation maximisation, so that a rare phase keeps its level (Otsu's threshold moves towards the
    middle of the frequent one); the threshold is half-way between their means.
    """
    grey = (np.arange(len(counts)) + 0.5) / len(counts)
    share = counts / max(counts.sum(), 1)
    mean = float(share @ grey)
    spread = math.sqrt(float(share @ (grey - mean) ** 2))
    if spread < 1.5 / len(counts):
        return None
    means, deviations, weights = np.array([mean - spread, mean + spread]), np.full(2, 0.6 * spread), np.full(2, 0.5)
    for _ in range(_ROUNDS):
        density = weights * np.exp(-0.5 * ((grey[:, None] - means) / deviations) ** 2) / deviations
        belongs = share[:, None] * density / np.maximum(density.sum(axis=1, keepdims=True), 1e-300)
        weights = np.maximum(belongs.sum(axis=0), 1e-9)
        means = (belongs * grey[:, None]).sum(axis=0) / weights
        deviations = np.sqrt((belongs * (grey[:, None] - means) ** 2).sum(axis=0) / weights) + 0.3 / len(counts)
    dark, bright = sorted(means.tolist())
    if weights.min() < 0.002 or bright - dark < _MIN_SEPARATION * float(deviations.mean()):
        return None
    return TwoLevels(dark, bright, 0.5 * (dark + bright))


def make(settings: SrPhaseSettings, runtime: Runtime) -> SrPhase:
    """Make the analyzer for a recipe."""
    return SrPhase(settings)
