"""Share of one phase in a two-phase picture, such as BCC (dark) in AlCoCrFeNi2.1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.phases.levels import PhaseLevels, flat_noise, phase_levels
from cemi_analyze.picture.cell import Cell, cell_of
from cemi_analyze.picture.texture import levelled_by_texture, smoothed_against_noise, texture_length_px
from cemi_analyze.uncertainty.blocks import block_means, blocks_along, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

_PAPER_WINDOW_PX = 11
_PAPER_OFFSET = 2


class BccFractionSettings(Settings):
    """How the phase is told apart."""

    method: Literal["midpoint", "otsu", "paper"] = Field(
        default="midpoint",
        description="'midpoint': threshold half-way between the grey levels of the two phases; 'otsu': Otsu's "
        "threshold; 'paper': adaptive mean threshold, window 11, offset 2, of Lang et al. 2025.",
    )
    phase: Literal["dark", "bright"] = Field(default="dark", description="Which phase is counted.")
    levelling: bool = Field(
        default=True,
        description="Take out shading and the brightness of single grains by a local mean over a wave of the texture "
        "(not for 'paper'). Switch off where one phase forms areas much wider than the rest of the texture.",
    )
    least_contrast: float = Field(
        default=2.0,
        ge=0,
        description="Distance between the phases over the noise below which a cell counts as structureless (NaN).",
    )
    level_uncertainty: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="How far the threshold may be off, as a share of the distance between the phases; widens the "
        "interval (not for 'paper').",
    )


@dataclass(frozen=True)
class PhaseCell:
    """What is kept of one cell: the interval, why there is none, and a thumbnail of the phase."""

    interval: Interval
    reason: str
    thumbnail: NDArray[np.uint8]


class BccFraction(CellAnalyzer):
    """Measures the share of the dark (or bright) phase, cell by cell.

    Parameters
    ----------
    settings : BccFractionSettings, optional
    """

    name: ClassVar[str] = "bcc-fraction"

    def __init__(self, settings: BccFractionSettings | None = None) -> None:
        self.settings = settings or BccFractionSettings()

    @property
    def halo(self) -> int:
        """The local mean looks this far, px."""
        return 6 if self.settings.method == "paper" else 48

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> PhaseCell | None:
        """Measure one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        length_px = texture_length_px(cell.image[cell.core])
        if self.settings.method == "paper":
            dark, systematic, reason = paper_dark_phase(cell.image)[cell.core], 0.0, ""
        else:
            dark, systematic, reason = self._thresholded(cell, length_px)
        if reason:
            return PhaseCell(UNKNOWN, reason, thumbnail(np.zeros(dark.shape)))
        counted = dark if self.settings.phase == "dark" else ~dark
        blocks = blocks_along(dark.shape, 2 * length_px)
        means, counts = block_means(counted.astype(np.float32), cell.valid[cell.core], blocks)
        return PhaseCell(fraction_interval(means, counts, systematic), "", thumbnail(counted))

    def _thresholded(self, cell: Cell, length_px: float) -> tuple[NDArray[np.bool_], float, str]:
        image = smoothed_against_noise(cell.image)
        if self.settings.levelling:
            image = levelled_by_texture(image, cell.valid, length_px)
        image, valid = image[cell.core], cell.valid[cell.core]
        pixels = image[valid]
        levels = phase_levels(pixels, flat_noise(image))
        threshold = levels.midpoint if self.settings.method == "midpoint" else otsu_threshold(pixels)
        if is_structureless(pixels, levels, self.settings.least_contrast):
            return image < threshold, 0.0, "no two-phase contrast above the noise"
        shift = self.settings.level_uncertainty * levels.contrast
        systematic = 0.5 * float(np.mean(np.abs(pixels - threshold) < shift))
        return image < threshold, systematic, ""

    def merge(self, partials: Iterable[tuple[int, int, PhaseCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into the map ``bcc_fraction``."""
        cells = list(measured_cells(partials))
        intervals = [(row, column, cell.interval) for row, column, cell in cells]
        fraction = grid_map("bcc_fraction", "BCC fraction", "1", intervals, grid_shape)
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        return Result(
            self.name,
            (fraction,),
            overlays={} if picture is None else {"phase": picture},
            notes=(*self._notes(), *_missing([cell for _, _, cell in cells])),
        )

    def _notes(self) -> tuple[str, ...]:
        phase = f"share of the {self.settings.phase} phase"
        return {
            "midpoint": (
                f"{phase}: threshold half-way between the grey levels of the phases, found in each cell; the interval "
                f"holds the scatter between blocks and a threshold off by {self.settings.level_uncertainty:.0%} of the "
                "contrast",
            ),
            "otsu": (f"{phase}: Otsu's threshold of each cell; it draws fractions towards one half",),
            "paper": (
                f"{phase}: adaptive mean threshold (window 11, offset 2) of Lang et al. 2025; it answers about a third "
                "whatever the picture shows, structureless noise included, and its interval holds scatter only",
            ),
        }[self.settings.method]


def _missing(cells: list[PhaseCell]) -> list[str]:
    reasons = [cell.reason for cell in cells if cell.reason]
    return [f"{reasons.count(reason)} of {len(cells)} cells: {reason}" for reason in sorted(set(reasons))]


def paper_dark_phase(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the dark phase by the rule of Lang et al. 2025.

    3 x 3 Gaussian, then dark where a pixel is at least 2 grey levels (of 255) below the mean of its 11 x 11
    neighbourhood. It looks at no absolute level, so it finds a third of structureless noise dark.
    """
    grey = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    bright = cv2.adaptiveThreshold(
        smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, _PAPER_WINDOW_PX, _PAPER_OFFSET
    )
    return np.equal(bright, 0)


def otsu_threshold(pixels: NDArray[np.float32]) -> float:
    """Return the threshold of greatest variance between classes (N. Otsu, IEEE Trans. SMC 1979, 9, 62)."""
    low, high = np.quantile(pixels, [0.0005, 0.9995])
    counts, edges = np.histogram(pixels, 256, (low, max(high, low + 1e-6)))
    return otsu_of_histogram(counts, 0.5 * (edges[1:] + edges[:-1]))


def otsu_of_histogram(counts: NDArray[np.int64], centres: NDArray[np.float64]) -> float:
    """Return Otsu's threshold of a histogram with bins at ``centres``."""
    below = np.cumsum(counts)[:-1].astype(np.float64)
    sums = np.cumsum(counts * centres)
    above = below[-1] + counts[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    best = np.flatnonzero(between == np.nanmax(between)) if np.isfinite(between).any() else np.array([0])
    split = int(best.mean())
    return float(0.5 * (centres[split] + centres[split + 1]))


def is_structureless(pixels: NDArray[np.float32], levels: PhaseLevels, least_contrast: float) -> bool:
    """Return whether a cell shows no two phases.

    Either the variation of the grey levels is no more than a few times the noise and their distribution is that of
    noise (skewness and excess kurtosis near 0), or there is no contrast at all.
    """
    deviation = float(pixels.std(dtype=np.float64))
    if levels.contrast <= 0 or deviation < 1e-6:
        return True
    if levels.contrast < least_contrast * levels.noise:
        return True
    standard = (pixels - np.float32(pixels.mean(dtype=np.float64))) / np.float32(deviation)
    squares = standard * standard
    skewness, excess = float(np.mean(squares * standard)), float(np.mean(squares * squares)) - 3
    return deviation < 2.0 * levels.noise and abs(skewness) < 0.15 and abs(excess) < 0.25


def make(settings: BccFractionSettings, runtime: Runtime) -> BccFraction:
    """Make the analyzer for a recipe."""
    return BccFraction(settings)
