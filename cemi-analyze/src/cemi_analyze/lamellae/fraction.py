"""Share of the area that is regular lamellae: where the texture runs one way over several lamellae."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.lamellae.regularity import isotropic_coherency, lamellar_coherency
from cemi_analyze.picture.cell import cell_of
from cemi_analyze.picture.orientation import structure_tensor
from cemi_analyze.uncertainty.blocks import block_edges, blocks_along
from cemi_analyze.uncertainty.intervals import patch_share_intervals
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

_LEVELS = 100
#: Colonies are some ten lamellae wide; blocks no smaller than this many windows.
_BLOCK_WINDOWS = 8


class LamellaFractionSettings(Settings):
    """How regular lamellae are told from other texture."""

    window_px: float = Field(
        default=6.0,
        ge=2,
        le=60,
        description="Deviation of the window in which direction is averaged: about one lamella period.",
    )
    least_coherency: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Coherency from which on texture counts as lamellae; by default found from the picture itself.",
    )


@dataclass(frozen=True)
class CoherencyCell:
    """Histograms of the coherency of one cell.

    Attributes
    ----------
    counts : ndarray of int32, shape (rows, columns, 100)
        One histogram over [0, 1] per block.
    isotropic : ndarray of float64, shape (2,)
        Median and 99 % quantile of the coherency in an isotropic picture of the same spectrum; NaN in a plain cell.
    thumbnail : ndarray of uint8
        The coherency.
    """

    counts: NDArray[np.int32]
    isotropic: NDArray[np.float64]
    thumbnail: NDArray[np.uint8]


class LamellaFraction(CellAnalyzer):
    """Measures the share of regular lamellae, cell by cell, with one threshold for all cells.

    Parameters
    ----------
    settings : LamellaFractionSettings, optional
    """

    name: ClassVar[str] = "lamella-fraction"

    def __init__(self, settings: LamellaFractionSettings | None = None) -> None:
        self.settings = settings or LamellaFractionSettings()

    @property
    def halo(self) -> int:
        """Three deviations of the window and the reach of the slopes, px."""
        return int(np.ceil(3 * self.settings.window_px)) + 4

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> CoherencyCell | None:
        """Take the coherency histograms of one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        window_px = self.settings.window_px
        coherency = structure_tensor(cell.image, window_px).coherency[cell.core]
        valid = cell.valid[cell.core]
        counts = _block_histograms(coherency, valid, blocks_along(coherency.shape, _BLOCK_WINDOWS * window_px))
        return CoherencyCell(counts, self._isotropic(cell.image, valid), thumbnail(np.where(valid, coherency, 0)))

    def _isotropic(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        if self.settings.least_coherency is not None or not valid.all():
            return np.full(2, np.nan)
        return isotropic_coherency(image, self.settings.window_px)

    def merge(self, partials: Iterable[tuple[int, int, CoherencyCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Find the threshold from all cells and return the map ``lamella_fraction``."""
        cells = list(measured_cells(partials))
        threshold = self.settings.least_coherency or _common_threshold([cell for _, _, cell in cells])
        split = round(threshold * _LEVELS)
        shares = [_block_shares(cell.counts, split) for _, _, cell in cells]
        found = patch_share_intervals(shares)
        intervals = [(row, column, interval) for (row, column, _), interval in zip(cells, found, strict=True)]
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        how = "given" if self.settings.least_coherency else "half-way between isotropic texture and the lamellae"
        return Result(
            self.name,
            (grid_map("lamella_fraction", "Lamella fraction", "1", intervals, grid_shape),),
            overlays={} if picture is None else {"coherency": picture},
            notes=(
                f"lamellae: coherency of the structure tensor of at least {split / _LEVELS:.2f} ({how}), window "
                f"{self.settings.window_px:g} px; any texture that runs one way counts, scratches included",
            ),
        )


def _block_shares(counts: NDArray[np.int32], split: int) -> NDArray[np.float64]:
    total = counts.sum(axis=2, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        share = counts[..., split:].sum(axis=2) / total
    return np.where(total > 0.5 * np.median(total), share, np.nan)


def _block_histograms(
    coherency: NDArray[np.float32], valid: NDArray[np.bool_], blocks: tuple[int, int]
) -> NDArray[np.int32]:
    level = np.minimum((coherency * _LEVELS).astype(np.int32), _LEVELS - 1)
    rows, columns = blocks
    block_y = np.repeat(np.arange(rows), np.diff(block_edges(coherency.shape[0], rows)))
    block_x = np.repeat(np.arange(columns), np.diff(block_edges(coherency.shape[1], columns)))
    level += _LEVELS * (block_y[:, None] * columns + block_x[None, :]).astype(np.int32)
    chosen = level.ravel() if valid.all() else level[valid]
    counts = np.bincount(chosen, minlength=rows * columns * _LEVELS)
    return counts.reshape(rows, columns, _LEVELS).astype(np.int32)


def _common_threshold(cells: Sequence[CoherencyCell]) -> float:
    isotropic = np.array([cell.isotropic for cell in cells]).reshape(-1, 2)
    isotropic = isotropic[np.isfinite(isotropic).all(axis=1)]
    if not len(isotropic):
        return 0.5
    typical, highest = np.median(isotropic, axis=0)
    return lamellar_coherency(np.sum([cell.counts.sum(axis=(0, 1)) for cell in cells], axis=0), typical, highest)


def make(settings: LamellaFractionSettings, runtime: Runtime) -> LamellaFraction:
    """Make the analyzer for a recipe."""
    return LamellaFraction(settings)
