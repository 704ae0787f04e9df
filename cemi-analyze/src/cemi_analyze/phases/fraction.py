"""Share of one phase in a two-phase picture, such as BCC (dark) in AlCoCrFeNi2.1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.phases.levels import PhaseLevels, flat_noise, phase_levels
from cemi_analyze.phases.lever import lever_interval, systematic_of
from cemi_analyze.picture.cell import Cell, cell_of
from cemi_analyze.picture.fine_lamellae import fine_lamellae
from cemi_analyze.picture.texture import levelled, levelled_by_texture, smoothed_against_noise, texture_length_px
from cemi_analyze.uncertainty.blocks import block_means, blocks_along, fraction_interval
from cemi_analyze.uncertainty.intervals import Interval
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

_PAPER_WINDOW_PX = 11
#: Width of the local mean that is taken away before grey levels are compared, px.
_EVEN_PX = 32.0
_PAPER_OFFSET = 2


class BccFractionSettings(Settings):
    """How the phase is told apart."""

    method: Literal["auto", "midpoint", "lever", "otsu", "paper"] = Field(
        default="auto",
        description="'midpoint': threshold half-way between the grey levels of the two phases; 'lever': the mean grey "
        "level between those of the pure phases, for phases thinner than two pixels; 'auto': 'lever' where the spectra "
        "of most cells show lamellae of less than 4.5 px, else 'midpoint'; 'otsu': Otsu's threshold; 'paper': adaptive "
        "mean threshold, window 11, offset 2, of Lang et al. 2025.",
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
        description="How far the threshold, or with 'lever' the level of each phase, may be off, as a share of the "
        "distance between the phases; widens the interval (not for 'paper').",
    )


@dataclass(frozen=True)
class PhaseCell:
    """What is kept of one cell.

    Attributes
    ----------
    interval : Interval
        Share by a threshold; with the method ``lever`` by the lever rule.
    reason : str
        Why there is none.
    thumbnail : ndarray of uint8
        Where the phase is, by the threshold.
    systematic : float
        95 % half-width of what is off in all cells alike.
    lever : Interval or None
        Share by the lever rule, where the spectrum of the cell shows lamellae too thin for a threshold.
    lever_systematic : float
    """

    interval: Interval
    reason: str
    thumbnail: NDArray[np.uint8]
    systematic: float = 0.0
    lever: Interval | None = None
    lever_systematic: float = 0.0


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
        found = PhaseCell(fraction_interval(means, counts, systematic), "", thumbnail(counted), systematic)
        return self._with_lever(found, cell, blocks) if self.settings.method in ("auto", "lever") else found

    def _with_lever(self, found: PhaseCell, cell: Cell, blocks: tuple[int, int]) -> PhaseCell:
        """Add what the lever rule says, where it is asked for or the lamellae are too thin for a threshold."""
        image, valid = np.ascontiguousarray(cell.image[cell.core]), cell.valid[cell.core]
        if self.settings.method == "auto" and fine_lamellae(image, valid) is None:
            return found
        even = levelled(cell.image, cell.valid, _EVEN_PX)[cell.core]
        dark = lever_interval(np.ascontiguousarray(even), valid, blocks, self.settings.level_uncertainty)
        if not math.isfinite(dark.value):
            return found
        share = dark if self.settings.phase == "dark" else Interval(1 - dark.value, 1 - dark.high, 1 - dark.low)
        return replace(found, lever=share, lever_systematic=systematic_of(dark.value, self.settings.level_uncertainty))

    def _thresholded(self, cell: Cell, length_px: float) -> tuple[NDArray[np.bool_], float, str]:
        image = smoothed_against_noise(cell.image)
        if self.settings.levelling:
            image = levelled_by_texture(image, cell.valid, length_px)
        image, valid = image[cell.core], cell.valid[cell.core]
        pixels = image[valid]
        levels = phase_levels(pixels, flat_noise(image))
        threshold = otsu_threshold(pixels) if self.settings.method == "otsu" else levels.midpoint
        if is_structureless(pixels, levels, self.settings.least_contrast):
            return image < threshold, 0.0, "no two-phase contrast above the noise"
        shift = self.settings.level_uncertainty * levels.contrast
        systematic = 0.5 * float(np.mean(np.abs(pixels - threshold) < shift))
        return image < threshold, systematic, ""

    def merge(self, partials: Iterable[tuple[int, int, PhaseCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into the map ``bcc_fraction``."""
        cells = list(measured_cells(partials))
        by_lever = self._by_lever([cell for _, _, cell in cells])
        intervals, shared, reasons = [], {}, {}
        for row, column, cell in cells:
            interval, systematic, reason = _answer_of(cell, by_lever)
            intervals.append((row, column, interval))
            shared[row, column], reasons[row, column] = systematic, reason
        known = None if self.settings.method == "paper" else shared
        fraction = grid_map("bcc_fraction", "BCC fraction", "1", intervals, grid_shape, known, reasons)
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        return Result(
            self.name,
            (fraction,),
            overlays={} if picture is None else {"phase": picture},
            notes=(*self._notes(by_lever), *_missing(list(reasons.values()))),
        )

    def _by_lever(self, cells: Sequence[PhaseCell]) -> bool:
        """Return whether the lever rule answers for all cells: one quantity is measured one way everywhere."""
        if self.settings.method == "lever":
            return True
        told = [cell.lever is not None for cell in cells if not cell.reason]
        return 2 * sum(told) > len(told)

    def _notes(self, by_lever: bool) -> tuple[str, ...]:
        phase = f"share of the {self.settings.phase} phase"
        if by_lever:
            return (
                f"{phase}: lever rule, the mean grey level between those of the widest places of each phase, since "
                "lamellae thinner than two pixels per phase have no threshold; the interval holds the scatter between "
                f"blocks and levels off by {self.settings.level_uncertainty:.0%} of the contrast",
            )
        method = "midpoint" if self.settings.method == "auto" else self.settings.method
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
        }[method]


def _answer_of(cell: PhaseCell, by_lever: bool) -> tuple[Interval, float, str]:
    """Return the share of a cell with its systematic part, and why there is none."""
    if cell.reason or not by_lever:
        return cell.interval, cell.systematic, cell.reason
    if cell.lever is None:
        return UNKNOWN, 0.0, "no lamellae are seen in it where those of most cells are too thin for a threshold"
    return cell.lever, cell.lever_systematic, ""


def _missing(reasons: list[str]) -> list[str]:
    told = sorted({reason for reason in reasons if reason})
    return [f"{reasons.count(reason)} of {len(reasons)} cells: {reason}" for reason in told]


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
